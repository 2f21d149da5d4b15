//! Sends text messages through SNS. Only this file uses the SDK of SNS.

use std::collections::HashMap;

use aws_sdk_sns::{
    Client,
    config::{Builder, retry::RetryConfig},
    types::MessageAttributeValue,
};
use shared::{
    aws::{Aws, AwsCallError},
    config::SmsConfig,
};

use crate::send_error::SendError;

/// The error codes of a number that SNS will never send to: the number is invalid, or its owner has opted out. SNS
/// reports an opt-out as an invalid parameter too.
const PERMANENT: [&str; 5] = [
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "OptedOut",
    "ValidationError",
];

/// The client of SNS, with the attributes of every text message.
pub(crate) struct Sns {
    client: Client,
    attributes: HashMap<String, MessageAttributeValue>,
}

impl Sns {
    /// Creates the client without opening a connection. The SDK must not retry, because a text message that is sent
    /// twice costs twice as much.
    pub(crate) fn new(aws: &Aws, sms: &SmsConfig) -> Self {
        let config = Builder::from(&aws.sdk_config(aws.endpoints.sns.as_deref()))
            .retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.build()),
            attributes: attributes(sms),
        }
    }

    /// Sends a text message to a number. Returns the message ID.
    pub(crate) async fn send(&self, digits: &str, text: &str) -> Result<String, SendError> {
        let call = self
            .client
            .publish()
            // Numbers are stored without `+` (3PID-65).
            .phone_number(format!("+{digits}"))
            .message(text)
            .set_message_attributes(Some(self.attributes.clone()));
        match call.send().await {
            Ok(output) => Ok(output.message_id.unwrap_or_default()),
            Err(error) => Err(SendError::from_call(AwsCallError::from(&error), &PERMANENT)),
        }
    }
}

fn attributes(sms: &SmsConfig) -> HashMap<String, MessageAttributeValue> {
    let transactional = "Transactional".to_owned();
    let attributes = [
        ("SMSType", "String", Some(&transactional)),
        ("SenderID", "String", sms.sender_id.as_ref()),
        ("MaxPrice", "Number", sms.max_price.as_ref()),
    ];
    let built = attributes.into_iter().filter_map(|(name, kind, value)| {
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

    /// Sends a text message to a local port.
    async fn send_to(port: u16) -> Result<String, SendError> {
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

    /// A message may be sent again only if it certainly did not reach SNS.
    #[tokio::test]
    async fn a_refused_connection_is_temporary_and_a_broken_one_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sent, ()) = tokio::join!(send_to(port), async {
            // Accepts the connection and closes it without a response.
            drop(listener.accept().await);
        });
        assert_eq!(sent, Err(SendError::Unknown));
        // A bound port without a listener refuses connections, and no other process can take it.
        let unused = TcpSocket::new_v4().unwrap();
        unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = unused.local_addr().unwrap().port();
        assert_eq!(send_to(port).await, Err(SendError::unreachable()));
    }

    fn attributes_of(sender_id: Option<&str>, max_price: Option<&str>) -> BTreeMap<String, String> {
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
    fn a_text_is_transactional_and_has_the_set_sender_and_price() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let bare = BTreeMap::from([pair("AWS.SNS.SMS.SMSType", "String Transactional")]);
        assert_eq!(attributes_of(None, None), bare);
        let full = BTreeMap::from([
            pair("AWS.SNS.SMS.MaxPrice", "Number 0.10"),
            pair("AWS.SNS.SMS.SMSType", "String Transactional"),
            pair("AWS.SNS.SMS.SenderID", "String Gatehouse"),
        ]);
        assert_eq!(attributes_of(Some("Gatehouse"), Some("0.10")), full);
    }
}
