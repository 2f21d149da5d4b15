//! The outbox: messages that a transaction calls for, to be sent by the function `deliver`.
//!
//! No request handler calls SES or SNS. A row holds ids and nothing that anybody could use: no
//! code, no link, and an address only where it is the last to know it. It is `queued`; then
//! `sending`, under a lease that one delivery has for a while; in the end one of [`DeliveryResult`]. Knows
//! neither the tables' keys nor how a message reads.

use crate::{clock::Timestamp, ids::Localpart, rng::Rng, threepid::ThreePid};

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
        /// The nonce of the session; stored as `session_nonce`.
        session_nonce: String,
        /// The number of the message in that session, from 1.
        send: i64,
    },
    /// The mail that tells an account's owner what has been done to it. The address is in the row,
    /// since the account may have it no more.
    Notice {
        /// What has been done.
        notice: Notice,
        /// Whom it tells.
        to: ThreePid,
    },
    /// No message at all: what is dead of a user's rows is to be removed.
    Purge {
        /// The user's localpart.
        user: Localpart,
    },
}

/// What an account's owner is told after the fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The password is another.
    PasswordChanged,
    /// An address has been added.
    AddressAdded,
    /// An address has been removed.
    AddressRemoved,
    /// The account is deactivated.
    Deactivated,
}

impl Notice {
    const ALL: [Self; 4] = [
        Self::PasswordChanged,
        Self::AddressAdded,
        Self::AddressRemoved,
        Self::Deactivated,
    ];

    /// Its name in tables and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password-changed",
            Self::AddressAdded => "address-added",
            Self::AddressRemoved => "address-removed",
            Self::Deactivated => "deactivated",
        }
    }

    /// The notice of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == name)
    }
}

/// A message that is nobody else's to send until the lease on it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// Its id.
    pub id: String,
    /// The lease: what is written down afterwards is written under it or not at all.
    pub lease: String,
    /// What it is about.
    pub content: Content,
    /// When it was called for.
    pub created: Timestamp,
    /// The trace of the request that called for it.
    pub trace: Option<String>,
    /// How many deliveries have had it, this one included.
    pub attempts: i64,
    /// Whether the one before never said how it ended: it may have sent the message or not.
    pub interrupted: bool,
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryResult {
    /// Its provider has it.
    Sent,
    /// Its provider will never take it, or nobody knows whether it has, and once more would be worse.
    Failed,
    /// It could not be sent while it was worth anything.
    Expired,
    /// There is nothing to be sent any more.
    Skipped,
}

impl DeliveryResult {
    /// Its name in tables.
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
    /// A message that is due now.
    pub fn new(content: Content, created: Timestamp, rng: &dyn Rng) -> Self {
        Self {
            id: rng.base64::<18>(),
            content,
            created,
        }
    }

    /// What has what is dead of a user's rows removed.
    pub fn purge(user: &Localpart, created: Timestamp, rng: &dyn Rng) -> Self {
        let user = user.clone();
        Self::new(Content::Purge { user }, created, rng)
    }
}
