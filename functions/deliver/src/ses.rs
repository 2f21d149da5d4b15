//! Sends e-mails through SES. Only this file uses the SDK of SES.

use aws_sdk_ses::{
    Client,
    config::{Builder, retry::RetryConfig},
    types::{Body, Content, Destination, Message, MessageTag},
};
use shared::{
    aws::{Aws, AwsCallError},
    config::MailConfig,
};

use crate::{messages::RenderedEmail, send_error::SendError};

/// The error codes of an address that SES will never accept. `MessageRejected` is not one of them: SES responds with it
/// while the sender is not verified, which the operator can correct.
const PERMANENT: [&str; 2] = ["InvalidParameterValue", "ValidationError"];

/// The client of SES, with the sender settings.
pub(crate) struct Ses {
    client: Client,
    source: String,
    configuration_set: Option<String>,
}

impl Ses {
    /// Creates the client without opening a connection. The SDK must not retry, because the outbox retries.
    pub(crate) fn new(aws: &Aws, mail: &MailConfig) -> Self {
        let config = Builder::from(&aws.sdk_config(aws.endpoints.ses.as_deref()))
            .retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.build()),
            source: mail.from.clone(),
            configuration_set: mail.configuration_set.clone(),
        }
    }

    /// Sends an e-mail. Returns the message ID.
    pub(crate) async fn send(
        &self,
        to: &str,
        email: &RenderedEmail,
        kind: &str,
    ) -> Result<String, SendError> {
        let not_built = || SendError::Temporary("the e-mail could not be built".to_owned());
        let call = self
            .client
            .send_email()
            .source(&self.source)
            .destination(Destination::builder().to_addresses(to).build())
            .message(message(email).ok_or_else(not_built)?)
            .set_configuration_set_name(self.configuration_set.clone())
            .set_tags(tag("kind", kind).map(|tag| vec![tag]));
        match call.send().await {
            Ok(output) => Ok(output.message_id),
            Err(error) => Err(SendError::from_call(AwsCallError::from(&error), &PERMANENT)),
        }
    }
}

fn message(email: &RenderedEmail) -> Option<Message> {
    let content = |text: &str| Content::builder().charset("UTF-8").data(text).build().ok();
    let body = Body::builder()
        .text(content(&email.text)?)
        .html(content(&email.html)?);
    let subject = content(&email.subject)?;
    Some(
        Message::builder()
            .subject(subject)
            .body(body.build())
            .build(),
    )
}

/// A tag by which the operator's event destinations can distinguish e-mails.
fn tag(name: &str, value: &str) -> Option<MessageTag> {
    MessageTag::builder().name(name).value(value).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operator can verify the sender, and the e-mail is then sent.
    #[test]
    fn an_unverified_sender_is_a_temporary_error() {
        let sent =
            |code: &str| SendError::from_call(AwsCallError::Refused(code.to_owned()), &PERMANENT);
        for code in ["MessageRejected", "MailFromDomainNotVerifiedException"] {
            assert_eq!(sent(code), SendError::Temporary(code.to_owned()));
        }
        let code = "InvalidParameterValue".to_owned();
        assert_eq!(sent(&code), SendError::Permanent(code));
    }
}
