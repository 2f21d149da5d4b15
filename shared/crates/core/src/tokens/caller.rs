//! The caller of an endpoint that application services may use too: a user with a device, or an application
//! service acting as one of its users.

use super::{
    AuthenticationError, GuestForbiddenError, OAuthTokenError, Session, authenticate,
    authenticate_appservice, check_not_guest,
};
use crate::{
    app::App,
    appservices::Appservice,
    ids::{DeviceId, Localpart},
    metrics,
    secrets::Secret,
    store::{AccountRow, AccountStatus, StoreError},
};

/// The authenticated caller.
#[derive(Debug)]
pub enum Caller {
    /// A user with the token of a device.
    User(Session),
    /// An application service that acts as its own user or as a user of its namespaces.
    Appservice {
        /// The user.
        localpart: Localpart,
        /// The account of the user. The application service's own user may have none.
        account: Option<AccountRow>,
    },
}

/// The reason why the caller is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The token is rejected.
    #[error(transparent)]
    Token(#[from] AuthenticationError),
    /// The application service may not act as the user that the request names.
    #[error("the application service may not act as this user")]
    NotItsUser,
}

impl From<StoreError> for CallerError {
    fn from(error: StoreError) -> Self {
        Self::Token(error.into())
    }
}

impl Caller {
    /// The user.
    pub fn localpart(&self) -> &Localpart {
        match self {
            Self::User(session) => &session.localpart,
            Self::Appservice { localpart, .. } => localpart,
        }
    }

    /// The device. Application services have none.
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::User(session) => Some(&session.device),
            Self::Appservice { .. } => None,
        }
    }

    /// The account.
    pub fn account(&self) -> Option<&AccountRow> {
        match self {
            Self::User(session) => Some(&session.account),
            Self::Appservice { account, .. } => account.as_ref(),
        }
    }

    /// Fails for a token of the OAuth 2.0 API.
    pub fn ensure_account_api(&self) -> Result<(), OAuthTokenError> {
        match self {
            Self::User(session) => session.ensure_account_api(),
            Self::Appservice { .. } => Ok(()),
        }
    }

    /// Fails for guests.
    pub fn ensure_not_guest(&self) -> Result<(), GuestForbiddenError> {
        self.account().map_or(Ok(()), check_not_guest)
    }

    /// Fails for an application service whose own user has no account.
    pub fn ensure_account(&self) -> Result<(), CallerError> {
        match self.account() {
            Some(_) => Ok(()),
            None => Err(CallerError::NotItsUser),
        }
    }
}

/// Authenticates the caller. `asserted` is the user that an application service acts as; it is ignored for
/// other callers.
pub async fn identify(
    app: &App,
    text: &Secret,
    asserted: Option<&str>,
) -> Result<Caller, CallerError> {
    match authenticate_appservice(app, text).await? {
        Some(appservice) => as_user(app, &appservice, asserted).await,
        None => Ok(Caller::User(authenticate(app, text).await?)),
    }
}

/// Authenticates an application service as its own user, or as a user of its namespaces that exists and is not
/// deactivated.
pub async fn as_user(
    app: &App,
    appservice: &Appservice,
    asserted: Option<&str>,
) -> Result<Caller, CallerError> {
    let server = &app.config.server_name;
    let own = appservice.sender_localpart();
    let name = match asserted {
        None => Localpart::parse(own, server).ok(),
        Some(user_id) => Localpart::of_user_id(user_id, server),
    };
    let localpart = name
        .filter(|name| appservice.may_use(name, server))
        .ok_or(CallerError::NotItsUser)?;
    let is_own = localpart.as_str() == own;
    let account = app.store.find_account(&localpart).await?;
    match account.as_ref().map(|account| account.status) {
        None if !is_own => return Err(CallerError::NotItsUser),
        Some(AccountStatus::Deactivated) => return Err(CallerError::NotItsUser),
        Some(AccountStatus::Locked) => return Err(AuthenticationError::Locked.into()),
        None | Some(AccountStatus::Active | AccountStatus::Suspended) => {}
    }
    metrics::user(&localpart);
    Ok(Caller::Appservice { localpart, account })
}
