//! The messages that the fakes have accepted. `/_local/outbox` shows them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// A message that SES or SNS would have sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The id in the response to the caller.
    pub id: String,
    /// The kind of message.
    pub medium: Medium,
    /// The recipients, separated by commas.
    pub to: String,
    /// The sender. Optional for a text message.
    pub from: Option<String>,
    /// The subject of an e-mail.
    pub subject: Option<String>,
    /// The plain text.
    pub text: String,
    /// The HTML of an e-mail, if it has an HTML part.
    pub html: Option<String>,
    /// The tags of an e-mail, or the attributes of a text message.
    pub tags: BTreeMap<String, String>,
    /// The time of sending, in milliseconds since the epoch.
    pub sent_at: i64,
}

impl Message {
    /// The links in the plain text.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let words = self.text.split_whitespace();
        words.filter(|word| word.starts_with("http://") || word.starts_with("https://"))
    }
}

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// An e-mail.
    Email,
    /// A text message.
    Sms,
}

/// Every message since the start or since the last `clear`, oldest first.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Vec<Message>>);

impl Outbox {
    /// The messages, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// Deletes every message.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Adds a message. A message that is sent twice is added twice.
    pub(crate) fn push(&self, message: Message) {
        self.lock().push(message);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
