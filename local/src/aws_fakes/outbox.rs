//! The messages that would have been sent: what `/_local/outbox` shows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// A message that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The id that its sender was told.
    pub id: String,
    /// How it would have travelled.
    pub medium: Medium,
    /// To whom; several addresses are separated by commas.
    pub to: String,
    /// From whom; a text message need not say.
    pub from: Option<String>,
    /// A mail's subject; a text message has none.
    pub subject: Option<String>,
    /// The plain text.
    pub text: String,
    /// A mail's HTML, if it has any.
    pub html: Option<String>,
    /// What else the sender said: a mail's tags, a text message's attributes.
    pub tags: BTreeMap<String, String>,
    /// When, in milliseconds since the epoch.
    pub sent_at: i64,
}

impl Message {
    /// The links in its plain text.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let words = self.text.split_whitespace();
        words.filter(|word| word.starts_with("http://") || word.starts_with("https://"))
    }
}

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// By mail.
    Email,
    /// By text message.
    Sms,
}

/// Every message since the start or the last clearing, oldest first.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Vec<Message>>);

impl Outbox {
    /// The messages.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().clone()
    }

    /// Forgets every message.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Adds a message, one that is there already too: a message that is sent twice arrives twice.
    pub(crate) fn push(&self, message: Message) {
        self.lock().push(message);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
