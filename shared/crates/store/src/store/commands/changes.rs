//! What is done to an account that exists.

use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    outbox::NewMessage,
    password_hash::PasswordHash,
    secrets::TokenHash,
    store::{AccountRow, StoreError},
    threepid::{Medium, ThreePid},
    validation_session::ValidatedThreePid,
};

/// Which devices outlive a change of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceLogout {
    /// All (PWD-09).
    Everybody,
    /// This one (PWD-07).
    Device {
        /// Its id.
        id: DeviceId,
        /// Its row's epoch.
        epoch: i64,
        /// The access token that the request came with. Whoever has logged in to that device since
        /// is not spared, and a pair of tokens that waits for it is gone.
        access: TokenHash,
    },
    /// None (PWD-10).
    Nobody,
}

/// Another password, with everything that one transaction writes for it.
#[derive(Debug)]
pub struct PasswordChange {
    /// Whose.
    pub user: Localpart,
    /// The account's epoch, as it was when the request was found right.
    pub epoch: i64,
    /// The new password.
    pub password: PasswordHash,
    /// Which devices live on.
    pub sparing: DeviceLogout,
    /// When the old password was set that was given for it.
    pub known: Option<Timestamp>,
    /// The proof of an address that is spent for it: a reset.
    pub proof: Option<ValidatedThreePid>,
    /// What is to be sent or done afterwards.
    pub messages: Vec<NewMessage>,
    /// When.
    pub now: Timestamp,
}

/// The end of an account, with everything that one transaction writes for it.
#[derive(Debug)]
pub struct Deactivation {
    /// Whose.
    pub user: Localpart,
    /// The account as it was read, before its addresses were.
    pub account: AccountRow,
    /// When the password was set that was given for it; nothing if none was asked for.
    pub known: Option<Timestamp>,
    /// Its addresses, which are released.
    pub addresses: Vec<ThreePid>,
    /// Whether nothing is to be kept that is not needed (DEACT-12).
    pub erase: bool,
    /// What is to be sent or done afterwards.
    pub messages: Vec<NewMessage>,
    /// When.
    pub now: Timestamp,
}

/// Why an account was not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAccountError {
    /// The session row is no longer as it was read: finished by a twin of this request, most
    /// likely, whose answer it then holds.
    #[error("the UIA session has moved on")]
    SessionMoved,
    /// The account is no longer as it was read: another password, the end, a lock.
    #[error("the account has changed")]
    AccountMoved,
    /// The proof of an address has been spent, or has expired.
    #[error("the proof is spent")]
    ValidationGone(Medium),
    /// The write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
