//! 3PIDs that are added to an existing account or removed from it.

use crate::{
    clock::Timestamp,
    ids::Localpart,
    outbox::NewMessage,
    store::{AccountRow, SessionCommit, StoreError},
    threepid::ThreePid,
    validation_session::ValidatedThreePid,
};

/// The maximum number of 3PIDs of an account. A deactivation, and a change that is notified to all 3PIDs,
/// is one transaction with items for each 3PID.
pub const MAX_THREEPIDS: usize = 16;

/// A 3PID to add to an account.
#[derive(Debug)]
pub struct NewThreePid {
    /// The username.
    pub localpart: Localpart,
    /// The account as it was read, before its 3PIDs were read.
    pub account: AccountRow,
    /// The validated 3PID. Its validation session is spent.
    pub validated: ValidatedThreePid,
    /// Whether the account already has the 3PID. Then only its validation time is updated.
    pub known: bool,
    /// The current time.
    pub added: Timestamp,
    /// The time at which the password was set, if the request was authenticated with it.
    pub known_password: Option<Timestamp>,
    /// The UIA session that this request finishes, if there is one.
    pub session: Option<SessionCommit>,
    /// The security notifications to enqueue.
    pub notices: Vec<NewMessage>,
}

/// A 3PID to remove from an account.
#[derive(Debug)]
pub struct RemovedThreePid {
    /// The username.
    pub localpart: Localpart,
    /// The account as it was read.
    pub account: AccountRow,
    /// The 3PID.
    pub threepid: ThreePid,
    /// The security notifications to enqueue.
    pub notices: Vec<NewMessage>,
}

/// The reason why a 3PID was not added. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AddThreePidError {
    /// The row of the UIA session has changed since it was read. Most likely a concurrent duplicate
    /// of this request has finished the session; the row then contains the response.
    #[error("a concurrent request has changed the UIA session")]
    SessionChanged,
    /// The account has changed since it was read: its devices were logged out, its status no longer
    /// allows the change, the validation session became invalid for it, or its 3PIDs changed.
    #[error("the account has changed")]
    AccountChanged,
    /// The password has changed since the request was authenticated with it.
    #[error("the password has changed")]
    PasswordChanged,
    /// Another account has the 3PID.
    #[error("the address belongs to another account")]
    Taken,
    /// The validation session has been spent or has expired.
    #[error("the validation session of the address is spent or has expired")]
    ValidationGone,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reason why a 3PID was not removed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RemoveThreePidError {
    /// The account has changed since it was read.
    #[error("the account has changed")]
    AccountChanged,
    /// The account does not have the 3PID.
    #[error("the account does not have the address")]
    NotThere,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
