//! SES: the only file that knows its SDK.

use aws_sdk_ses::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
    types::{Body, Content, Destination, Message, MessageTag},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::{
    aws::{self, Aws, CallFailure},
    config::MailConfig,
};

use crate::{messages::Letter, providers::SendError};

/// What SES says of a mail, or of an address, that it will never take.
const FINAL: [&str; 3] = [
    "InvalidParameterValue",
    "MessageRejected",
    "ValidationError",
];
/// The longest piece of a name in one encoded word, in bytes: 45 are 60 in base64, and a word has
/// at most 75.
const WORD_BYTES: usize = 45;

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
        letter: &Letter,
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
            Err(error) => Err(SendError::of(CallFailure::from(&error), &FINAL)),
        }
    }
}

fn message(letter: &Letter) -> Option<Message> {
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
/// brackets; SES takes a name that is not ASCII only as encoded words, and one with a dot in it is
/// a quoted string.
fn source(from: &str) -> String {
    let Some((name, address)) = from.split_once('<') else {
        return from.to_owned();
    };
    let name = name.trim();
    if name.is_ascii() {
        return if name.contains('.') {
            format!("\"{name}\" <{address}")
        } else {
            from.to_owned()
        };
    }
    let mut words = vec![String::new()];
    for character in name.chars() {
        match words.last_mut() {
            Some(word) if word.len() + character.len_utf8() <= WORD_BYTES => word.push(character),
            _ => words.push(character.to_string()),
        }
    }
    let encoded = words
        .iter()
        .map(|word| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word)));
    let encoded: Vec<_> = encoded.collect();
    format!("{} <{address}", encoded.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_s_name_is_quoted_or_encoded() {
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
            (
                "B\u{fc}ro <a@example.org>",
                "=?UTF-8?B?QsO8cm8=?= <a@example.org>",
            ),
        ] {
            assert_eq!(source(from), expected);
        }
    }

    #[test]
    fn no_encoded_word_is_too_long_or_splits_a_character() {
        let name = "\u{fc}".repeat(100);
        let source = source(&format!("{name} <a@example.org>"));
        let words = source.strip_suffix(" <a@example.org>").unwrap();
        let mut decoded = String::new();
        for word in words.split(' ') {
            assert!(word.len() <= 75, "{word}");
            let inside = word.strip_prefix("=?UTF-8?B?").unwrap();
            let bytes = BASE64_STANDARD
                .decode(inside.strip_suffix("?=").unwrap())
                .unwrap();
            decoded.push_str(&String::from_utf8(bytes).unwrap());
        }
        assert_eq!(decoded, name);
    }
}
