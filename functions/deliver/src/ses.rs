//! SES: the only file that knows its SDK.

use aws_sdk_ses::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
    types::{Body, Content, Destination, Message, MessageTag},
};
use shared::{
    aws::{self, Aws, AwsCallError},
    config::MailConfig,
};

use crate::{messages::RenderedEmail, providers::SendError};

/// What SES says of a mail, or of an address, that it will never take.
const FINAL: [&str; 3] = [
    "InvalidParameterValue",
    "MessageRejected",
    "ValidationError",
];

/// SES, and how mail is sent here.
pub(crate) struct Ses {
    client: Client,
    source: String,
    configuration_set: Option<String>,
}

impl Ses {
    /// Opens no connection. Nothing is repeated here: the outbox does that.
    pub(crate) fn new(aws: &Aws, mail: &MailConfig) -> Self {
        let mut config = aws_sdk_ses::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws::http_client())
            .region(aws.region())
            .credentials_provider(aws.credentials())
            .retry_config(RetryConfig::disabled())
            .timeout_config(aws::timeouts());
        if let Some(endpoint) = &aws.endpoints.ses {
            config = config.endpoint_url(endpoint);
        }
        Self {
            client: Client::from_conf(config.build()),
            source: source(&mail.from),
            configuration_set: mail.configuration_set.clone(),
        }
    }

    /// Sends a mail, and gives its id.
    pub(crate) async fn send(
        &self,
        to: &str,
        letter: &RenderedEmail,
        kind: &str,
    ) -> Result<String, SendError> {
        let call = self
            .client
            .send_email()
            .source(&self.source)
            .destination(Destination::builder().to_addresses(to).build())
            .message(message(letter).ok_or_else(|| SendError::NotNow("unbuilt".to_owned()))?)
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tags(tag("kind", kind).map(|tag| vec![tag]));
        match call.send().await {
            Ok(answer) => Ok(answer.message_id),
            Err(error) => Err(SendError::of(AwsCallError::from(&error), &FINAL)),
        }
    }
}

fn message(letter: &RenderedEmail) -> Option<Message> {
    let content = |text: &str| Content::builder().charset("UTF-8").data(text).build().ok();
    let body = Body::builder()
        .text(content(&letter.text)?)
        .html(content(&letter.html)?);
    let subject = content(&letter.subject)?;
    Some(
        Message::builder()
            .subject(subject)
            .body(body.build())
            .build(),
    )
}

/// Tags tell an operator's event destinations what a mail was.
fn tag(name: &str, value: &str) -> Option<MessageTag> {
    MessageTag::builder().name(name).value(value).build().ok()
}

/// The sender as a header has it. The setting is an address, or a name and an address in angle
/// brackets; a name with a dot in it is a quoted string.
fn source(from: &str) -> String {
    match from.split_once(" <") {
        Some((name, address)) if name.contains('.') => format!("\"{name}\" <{address}"),
        _ => from.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_s_name_is_quoted_where_it_must_be() {
        for (from, expected) in [
            ("a@example.org", "a@example.org"),
            (
                "Our Accounts <a@example.org>",
                "Our Accounts <a@example.org>",
            ),
            (
                "example.org accounts <a@example.org>",
                "\"example.org accounts\" <a@example.org>",
            ),
        ] {
            assert_eq!(source(from), expected);
        }
    }
}
