//! Commands: the content of one transaction for an account, and the reasons why it was not written.

mod changes;
mod threepids;

use std::collections::BTreeMap;

pub use changes::{ChangeAccountError, Deactivation, DeviceLogout, PasswordChange};
pub use threepids::{
    AddThreePidError, MAX_THREEPIDS, NewThreePid, RemoveThreePidError, RemovedThreePid,
};

use super::{AccountKind, BrowserSessionRow, HomeserverState, SessionCommit, StoreError, TokenUse};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash::PasswordHash,
    secrets::TokenHash,
    threepid::Medium,
    validation_session::ValidatedThreePid,
};

/// A new account with everything that the final transaction of a registration writes.
#[derive(Debug)]
pub struct NewAccount {
    /// The username to reserve.
    pub localpart: Localpart,
    /// The kind of the account.
    pub kind: AccountKind,
    /// The time of creation.
    pub created: Timestamp,
    /// The hash of the password, if the account has a password.
    pub password: Option<PasswordHash>,
    /// The first device, unless login is inhibited.
    pub device: Option<NewDevice>,
    /// The browser session of the user, after a sign-up on the pages.
    pub browser_session: Option<BrowserSessionRow>,
    /// The accepted version of each policy.
    pub terms: BTreeMap<String, String>,
    /// The use of a limited registration token.
    pub registration_token: Option<TokenUse>,
    /// The validated 3PIDs; their validation sessions are spent (REG-27).
    pub threepids: Vec<ValidatedThreePid>,
    /// The UIA session that this registration finishes, if there is one.
    pub session: Option<SessionCommit>,
    /// The epoch of the guest account that becomes the account of this user (GUEST-08).
    pub upgraded_guest: Option<i64>,
    /// Whether the homeserver is about to be asked to create the account.
    pub homeserver: HomeserverState,
}

impl NewAccount {
    /// An account without password, device, 3PIDs and UIA session.
    pub fn new(localpart: Localpart, kind: AccountKind, created: Timestamp) -> Self {
        Self {
            localpart,
            kind,
            created,
            password: None,
            device: None,
            browser_session: None,
            terms: BTreeMap::new(),
            registration_token: None,
            threepids: Vec::new(),
            session: None,
            upgraded_guest: None,
            homeserver: HomeserverState::NotProvisioned,
        }
    }
}

/// A device with the hashes of its tokens.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// The device ID.
    pub id: DeviceId,
    /// The display name, if the client sent one.
    pub display_name: Option<String>,
    /// The hash of the access token.
    pub access_hash: TokenHash,
    /// The time at which the access token expires.
    pub access_expires: Option<Timestamp>,
    /// The hash of the refresh token, if the client requested one.
    pub refresh_hash: Option<TokenHash>,
    /// The session of the OAuth 2.0 API that the device belongs to. `None` for a login of the account API.
    pub oauth: Option<OAuthSession>,
    /// The response with the tokens, if the client gets it again until it uses one of them.
    pub repeated: Option<RepeatedResponse>,
}

/// The response with the tokens of a new device, which the client gets again until it uses one of the tokens (OA-117).
#[derive(Debug, Clone)]
pub struct RepeatedResponse {
    /// The hash of the device code that was exchanged for the tokens.
    pub device_code: TokenHash,
    /// The response, sealed with the device code.
    pub sealed: Vec<u8>,
}

/// The session of a device whose tokens belong to the OAuth 2.0 API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthSession {
    /// The client ID.
    pub client: String,
    /// The hash of the session ID, which every refresh token of the session contains.
    pub id: TokenHash,
    /// The granted scope.
    pub scope: String,
}

/// The reason why an account was not created. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// The row of the UIA session has changed since it was read. Most likely a concurrent duplicate
    /// of this request has finished the session; the row then contains the response.
    #[error("a concurrent request has changed the UIA session")]
    SessionChanged,
    /// An account has the username.
    #[error("the username is taken")]
    NameTaken,
    /// Another account has one of the 3PIDs.
    #[error("the address belongs to another account")]
    ThreePidTaken(Medium),
    /// The validation session of a 3PID has been spent or has expired.
    #[error("the validation session of the address is spent or has expired")]
    ValidationGone(Medium),
    /// The share of the registration token has no uses left.
    #[error("the registration token has no uses left")]
    RegistrationTokenSpent,
    /// The account to upgrade is no longer the active guest account that was read.
    #[error("the guest account has changed")]
    GuestChanged,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
