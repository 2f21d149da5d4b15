//! The messages that would have been sent: what `/_local/outbox` shows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// A message that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its number, as text.
    pub id: String,
    /// How it would have travelled.
    pub medium: Medium,
    /// To whom.
    pub to: String,
    /// A mail's subject; a text message has none.
    pub subject: Option<String>,
    /// The plain text.
    pub text: String,
    /// A mail's HTML, if it has any.
    pub html: Option<String>,
    /// When, in milliseconds since the epoch.
    pub sent_at: i64,
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

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
