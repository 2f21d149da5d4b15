//! The outbox: messages that a transaction queues and the function `deliver` sends.
//!
//! Request handlers never call SES or SNS. A row contains IDs only: no code and no link, and a 3PID only if
//! no other row contains it. A row starts as `queued`. While a delivery has the lease on the row, the row is
//! `sending`. Its final state is one of [`DeliveryResult`]. This module depends neither on the keys of the tables
//! nor on the texts of the messages.

use crate::{clock::Timestamp, ids::Localpart, rng::Rng, threepid::ThreePid};

/// A message for the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The random ID of the message.
    pub id: String,
    /// The content.
    pub content: Content,
    /// The time of the transaction that queued it.
    pub created: Timestamp,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The link or the code of a validation session.
    Validation {
        /// The ID of the session.
        sid: String,
        /// The nonce of the session; stored as `generation`.
        session_nonce: String,
        /// The number of the message in that session, from 1.
        send: i64,
    },
    /// A security notification for the account owner. The row contains the recipient because the 3PID may have been
    /// removed from the account.
    Notice {
        /// The change of the account.
        notice: Notice,
        /// The recipient.
        to: ThreePid,
    },
    /// Not a message: a request to remove the rows of a deactivated user that are no longer needed.
    Purge {
        /// The localpart of the user.
        user: Localpart,
    },
}

/// A change of an account that its owner is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The password was changed.
    PasswordChanged,
    /// A 3PID was added.
    AddressAdded,
    /// A 3PID was removed.
    AddressRemoved,
    /// The account was deactivated.
    Deactivated,
    /// The session of a client was ended, because another party may have its tokens.
    SessionEnded,
}

impl Notice {
    const ALL: [Self; 5] = [
        Self::PasswordChanged,
        Self::AddressAdded,
        Self::AddressRemoved,
        Self::Deactivated,
        Self::SessionEnded,
    ];

    /// The name in tables and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password-changed",
            Self::AddressAdded => "address-added",
            Self::AddressRemoved => "address-removed",
            Self::Deactivated => "deactivated",
            Self::SessionEnded => "session-ended",
        }
    }

    /// The notice with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == name)
    }
}

/// A message under a lease. Until the lease expires, no other delivery may send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The ID of the message.
    pub id: String,
    /// The ID of the lease. A later write to the row succeeds only while the row still has this lease.
    pub lease: String,
    /// The content.
    pub content: Content,
    /// The time of the transaction that queued it.
    pub created: Timestamp,
    /// The X-Ray trace ID of the request that queued it.
    pub trace: Option<String>,
    /// The number of deliveries so far, including this one.
    pub attempts: i64,
    /// Whether the previous delivery recorded no result. It may or may not have sent the message.
    pub interrupted: bool,
    /// Whether a previous delivery has charged the message to the rate limits.
    pub charged: bool,
}

impl Leased {
    /// Whether a previous delivery has charged the message to the rate limits, or may have done so.
    pub const fn may_be_charged(&self) -> bool {
        self.charged || self.interrupted
    }
}

/// The final state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The provider accepted the message.
    Sent,
    /// The provider will never accept the message, or it is unknown whether the provider accepted it and a
    /// second attempt would be worse.
    Failed,
    /// The message could not be sent before it became useless, or exceeded the daily limit.
    Expired,
    /// There is no longer anything to send.
    Skipped,
}

impl DeliveryResult {
    /// The name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Expired => "dead",
            Self::Skipped => "moot",
        }
    }
}

impl NewMessage {
    /// Creates a message that is due immediately.
    pub fn new(content: Content, created: Timestamp, rng: &dyn Rng) -> Self {
        Self {
            id: rng.base64::<18>(),
            content,
            created,
        }
    }

    /// Creates a request to remove the rows of a deactivated user that are no longer needed.
    pub fn purge(user: &Localpart, created: Timestamp, rng: &dyn Rng) -> Self {
        let user = user.clone();
        Self::new(Content::Purge { user }, created, rng)
    }
}
