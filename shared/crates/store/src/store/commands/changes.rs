//! Changes of an existing account: a new password and the deactivation.

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

/// The devices that a password change logs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceLogout {
    /// No device (PWD-09).
    None,
    /// All devices except one (PWD-07).
    AllExcept {
        /// The device ID.
        id: DeviceId,
        /// The epoch of the device row.
        epoch: i64,
        /// The hash of the access token of the request. The device stays logged in only if it still
        /// has this token; its next pair of tokens is deleted.
        access: TokenHash,
    },
    /// All devices (PWD-10).
    All,
}

/// A new password with everything that its transaction writes.
#[derive(Debug)]
pub struct PasswordChange {
    /// The username.
    pub user: Localpart,
    /// The account at the time of the authentication.
    pub account: AccountRow,
    /// The new password.
    pub password: PasswordHash,
    /// The devices to log out.
    pub device_logout: DeviceLogout,
    /// The time at which the old password was set, if the request was authenticated with it.
    pub known: Option<Timestamp>,
    /// The validated 3PID of a password reset. Its validation session is spent.
    pub validated: Option<ValidatedThreePid>,
    /// Whether that 3PID is recent. The reset then invalidates no validation session of an established 3PID.
    pub is_by_recent_threepid: bool,
    /// The messages to enqueue.
    pub messages: Vec<NewMessage>,
    /// The current time.
    pub now: Timestamp,
}

/// A deactivation with everything that its transaction writes.
#[derive(Debug)]
pub struct Deactivation {
    /// The username.
    pub user: Localpart,
    /// The account as it was read, before its 3PIDs were read.
    pub account: AccountRow,
    /// The time at which the password was set, if the request was authenticated with it.
    pub known: Option<Timestamp>,
    /// All 3PIDs of the account. They are released.
    pub addresses: Vec<ThreePid>,
    /// Whether the user or the operator requests erasure (DEACT-12).
    pub erase: bool,
    /// The messages to enqueue.
    pub messages: Vec<NewMessage>,
    /// The current time.
    pub now: Timestamp,
}

/// The reason why an account was not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ChangeAccountError {
    /// The row of the UIA session has changed since it was read. Most likely a concurrent duplicate
    /// of this request has finished the session; the row then contains the response.
    #[error("a concurrent request has changed the UIA session")]
    SessionChanged,
    /// The account has changed since it was read: it has a new password, it was deactivated or locked, its
    /// 3PIDs changed, or the device to keep has another access token.
    #[error("the account has changed")]
    AccountChanged,
    /// The validation session has been spent or has expired, or its 3PID no longer belongs to
    /// the account.
    #[error("the validation session of the address is no longer valid")]
    ValidationGone(Medium),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
