//! The outbox: messages that a transaction calls for, to be sent by the function `deliver`.
//!
//! No request handler calls SES or SNS. A row holds ids and nothing that anybody could use: no
//! address, no code, no link. Knows neither the tables' keys nor how a message reads.

use crate::{chance::Chance, clock::Timestamp};

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id, drawn by chance.
    pub id: String,
    /// What it is about.
    pub content: Content,
    /// When it was called for.
    pub created: Timestamp,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The link or the code of a validation session.
    Validation {
        /// The session.
        sid: String,
        /// Its generation.
        generation: String,
        /// Which message of that generation it is, from 1.
        send: i64,
    },
}

impl NewMessage {
    /// A message that is due now.
    pub fn new(content: Content, created: Timestamp, chance: &dyn Chance) -> Self {
        Self {
            id: chance.base64::<18>(),
            content,
            created,
        }
    }
}
