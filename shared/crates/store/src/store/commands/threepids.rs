//! Addresses that an account gets or loses after it was made: what one transaction writes, and why
//! it did not.

use crate::{
    clock::Timestamp,
    ids::Localpart,
    outbox::NewMessage,
    store::{AccountRow, SessionCommit, StoreError},
    threepid::ThreePid,
    validation_session::ValidatedThreePid,
};

/// How many addresses an account may have: what ends an account, or tells its owner something, is
/// one transaction over all of them.
pub const MAX_THREEPIDS: usize = 16;

/// An address that an account is to get.
#[derive(Debug)]
pub struct NewThreePid {
    /// Whose it will be.
    pub localpart: Localpart,
    /// The account as it was read, before its addresses were.
    pub account: AccountRow,
    /// The address, with the proof that is spent for it.
    pub proven: ValidatedThreePid,
    /// Whether the account has it already: then it was only proven anew.
    pub known: bool,
    /// When.
    pub added: Timestamp,
    /// When the password was set that was given for it, if one was asked for.
    pub known_password: Option<Timestamp>,
    /// The UIA session that is finished by this, if there is one.
    pub session: Option<SessionCommit>,
    /// Who is told.
    pub notices: Vec<NewMessage>,
}

/// An address that an account is to lose.
#[derive(Debug)]
pub struct RemovedThreePid {
    /// Whose it is.
    pub localpart: Localpart,
    /// The account as it was read.
    pub account: AccountRow,
    /// The address.
    pub threepid: ThreePid,
    /// Who is told.
    pub notices: Vec<NewMessage>,
}

/// Why no address was added. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AddThreePidError {
    /// The session row is no longer as it was read: finished by a twin of this request, most
    /// likely, whose answer it then holds.
    #[error("the UIA session has moved on")]
    SessionMoved,
    /// The account is no longer as it was read: its devices were ended, it may not do this any
    /// more, its older proofs count no more, or another address was added to it.
    #[error("the account has changed")]
    AccountMoved,
    /// The password is not the one that was given for it any more.
    #[error("the password has changed")]
    PasswordMoved,
    /// Somebody else has the address.
    #[error("the address is taken")]
    Taken,
    /// The proof has been spent, or has expired.
    #[error("the proof is spent")]
    ValidationGone,
    /// The write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no address was removed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RemoveThreePidError {
    /// The account is no longer as it was read.
    #[error("the account has changed")]
    AccountMoved,
    /// It has no such address, or has it no more.
    #[error("the account does not have the address")]
    NotThere,
    /// The write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
