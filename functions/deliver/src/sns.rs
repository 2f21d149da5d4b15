//! SNS: the only file that knows its SDK.

use std::collections::HashMap;

use aws_sdk_sns::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
    types::MessageAttributeValue,
};
use shared::{
    aws::{self, Aws, AwsCallError},
    config::SmsConfig,
};

use crate::providers::SendError;

/// What SNS says of a number that it will never write to: none, or one whose owner has opted out
/// (which is an invalid parameter too).
const FINAL: [&str; 5] = [
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "OptedOut",
    "ValidationError",
];

/// SNS, and how text messages are sent here.
pub(crate) struct Sns {
    client: Client,
    attributes: HashMap<String, MessageAttributeValue>,
}

impl Sns {
    /// Opens no connection. Nothing is repeated here: what is sent twice is paid twice.
    pub(crate) fn new(aws: &Aws, sms: &SmsConfig) -> Self {
        let mut config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws::http_client())
            .region(aws.region())
            .credentials_provider(aws.credentials())
            .retry_config(RetryConfig::disabled())
            .timeout_config(aws::timeouts());
        if let Some(endpoint) = &aws.endpoints.sns {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            attributes: attributes(sms),
        }
    }

    /// Sends a text to a number without `+` (3PID-65), and gives its id.
    pub(crate) async fn send(&self, digits: &str, text: &str) -> Result<String, SendError> {
        let call = self
            .client
            .publish()
            .phone_number(format!("+{digits}"))
            .message(text)
            .set_message_attributes(Some(self.attributes.clone()));
        match call.send().await {
            Ok(answer) => Ok(answer.message_id.unwrap_or_default()),
            Err(error) => Err(SendError::of(AwsCallError::from(&error), &FINAL)),
        }
    }
}

fn attributes(sms: &SmsConfig) -> HashMap<String, MessageAttributeValue> {
    let transactional = "Transactional".to_owned();
    let wanted = [
        ("SMSType", "String", Some(&transactional)),
        ("SenderID", "String", sms.sender_id.as_ref()),
        ("MaxPrice", "Number", sms.max_price.as_ref()),
    ];
    let built = wanted.into_iter().filter_map(|(name, kind, value)| {
        let value = MessageAttributeValue::builder()
            .data_type(kind)
            .string_value(value?)
            .build();
        Some((format!("AWS.SNS.SMS.{name}"), value.ok()?))
    });
    built.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use shared::{aws::Endpoints, config::SmsNumbers, secrets::Secret};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// What comes of a text that is sent to this port.
    async fn sent_to(port: u16) -> Result<String, SendError> {
        let aws = Aws {
            region: "us-east-1".to_owned(),
            endpoints: Endpoints {
                sns: Some(format!("http://127.0.0.1:{port}")),
                ..Endpoints::default()
            },
            access_key_id: "key".to_owned(),
            secret_access_key: Secret::new("secret".to_owned()),
            session_token: None,
        };
        let sms = SmsConfig {
            countries: BTreeSet::new(),
            numbers: SmsNumbers::Valid,
            sender_id: None,
            max_price: None,
        };
        Sns::new(&aws, &sms).send("447400123456", "text").await
    }

    /// The line between a text that may be tried again and one that may have been sent.
    #[tokio::test]
    async fn a_refused_connection_is_no_broken_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sent, ()) = tokio::join!(sent_to(port), async {
            // Taken, and closed without a word.
            drop(listener.accept().await);
        });
        assert_eq!(sent, Err(SendError::Unsure));
        // Nobody else's port, on which nobody listens.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = silent.local_addr().unwrap().port();
        let unreached = SendError::NotNow("unreached".to_owned());
        assert_eq!(sent_to(port).await, Err(unreached));
    }

    fn told(sender_id: Option<&str>, max_price: Option<&str>) -> BTreeMap<String, String> {
        let sms = SmsConfig {
            countries: BTreeSet::from(["GB".to_owned()]),
            numbers: SmsNumbers::Valid,
            sender_id: sender_id.map(str::to_owned),
            max_price: max_price.map(str::to_owned),
        };
        let pair = |(name, value): (String, MessageAttributeValue)| {
            let text = value.string_value().unwrap_or_default();
            (name, format!("{} {text}", value.data_type()))
        };
        attributes(&sms).into_iter().map(pair).collect()
    }

    #[test]
    fn a_text_is_transactional_and_says_sender_and_price_where_they_are_set() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let bare = BTreeMap::from([pair("AWS.SNS.SMS.SMSType", "String Transactional")]);
        assert_eq!(told(None, None), bare);
        let full = BTreeMap::from([
            pair("AWS.SNS.SMS.MaxPrice", "Number 0.10"),
            pair("AWS.SNS.SMS.SMSType", "String Transactional"),
            pair("AWS.SNS.SMS.SenderID", "String Gatehouse"),
        ]);
        assert_eq!(told(Some("Gatehouse"), Some("0.10")), full);
    }
}
