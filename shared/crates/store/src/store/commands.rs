//! Commands: what one transaction writes for an account, and why it did not.

mod changes;
mod threepids;

use std::collections::BTreeMap;

pub use changes::{ChangeAccountError, Deactivation, DeviceLogout, PasswordChange};
pub use threepids::{
    AddThreePidError, MAX_THREEPIDS, NewThreePid, RemoveThreePidError, RemovedThreePid,
};

use super::{AccountKind, SessionCommit, StoreError, TokenUse};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash::PasswordHash,
    secrets::TokenHash,
    threepid::Medium,
    validation_session::ValidatedThreePid,
};

/// Everything one finishing transaction writes: all of it or nothing.
#[derive(Debug)]
pub struct NewAccount {
    /// The name to claim.
    pub localpart: Localpart,
    /// What kind of account.
    pub kind: AccountKind,
    /// When.
    pub created: Timestamp,
    /// The password's hash, if the account has a password.
    pub password: Option<PasswordHash>,
    /// The first device, unless login is inhibited.
    pub device: Option<NewDevice>,
    /// The accepted version of each policy.
    pub terms: BTreeMap<String, String>,
    /// The use of a limited registration token.
    pub registration_token: Option<TokenUse>,
    /// Its addresses, with the proofs that are spent for them (REG-27).
    pub threepids: Vec<ValidatedThreePid>,
    /// The UIA session that is finished by this, if there is one.
    pub session: Option<SessionCommit>,
    /// The epoch of the guest who becomes this user (GUEST-08).
    pub upgraded_guest: Option<i64>,
}

impl NewAccount {
    /// An account of which there is nothing but its name so far.
    pub fn new(localpart: Localpart, kind: AccountKind, created: Timestamp) -> Self {
        Self {
            localpart,
            kind,
            created,
            password: None,
            device: None,
            terms: BTreeMap::new(),
            registration_token: None,
            threepids: Vec::new(),
            session: None,
            upgraded_guest: None,
        }
    }
}

/// A device with its tokens, of which only hashes are kept.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its id.
    pub id: DeviceId,
    /// What its user calls it.
    pub display_name: Option<String>,
    /// The access token.
    pub access_hash: TokenHash,
    /// When that expires.
    pub access_expires: Option<Timestamp>,
    /// The refresh token, if the client asked for one.
    pub refresh_hash: Option<TokenHash>,
}

/// Why no account was made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// The session row is no longer as it was read: finished by a twin of this request, most
    /// likely, whose answer it then holds.
    #[error("the UIA session has moved on")]
    SessionMoved,
    /// Somebody has the name.
    #[error("the name is taken")]
    NameTaken,
    /// Somebody has one of the addresses.
    #[error("the address is taken")]
    ThreePidTaken(Medium),
    /// The proof of an address has been spent, or has expired.
    #[error("the proof is spent")]
    ValidationGone(Medium),
    /// The registration token has no use left in that share of it.
    #[error("the registration token is spent")]
    RegistrationTokenSpent,
    /// The guest to be upgraded is none any more.
    #[error("the guest has changed")]
    GuestGone,
    /// The write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
