//! The name of a new user: everything that can be checked before UIA (REG-13).

use crate::{
    accounts::{self, NameError},
    app::App,
    appservices::Appservices,
    config::Config,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, HomeserverNameError},
    ids::{Localpart, LocalpartError},
    secrets::Secret,
    store::{AccountKind, AccountRow, AccountStatus, StoreError},
    tokens,
};

use super::parameters::Parameters;

/// A name that a client requests, parsed once.
pub(super) struct RequestedName(Result<Localpart, LocalpartError>);

impl RequestedName {
    pub(super) fn parse(text: &str, config: &Config) -> Self {
        Self(Localpart::parse(text, &config.server_name))
    }

    /// The name, if it is a valid localpart.
    pub(super) fn localpart(&self) -> Option<&Localpart> {
        self.0.as_ref().ok()
    }
}

/// The name that the account is going to have.
pub(super) enum Name {
    /// A generated name, because the client requests none (REG-09).
    Generated,
    /// The requested name, which was free at the first read.
    Chosen(Localpart),
    /// The name and the token epoch of a guest account that becomes a user account (GUEST-08).
    Upgraded(Localpart, i64),
}

impl Name {
    /// The name to claim, and the token epoch of the upgraded guest.
    pub(super) fn claim(
        &self,
        app: &App,
        appservices: &Appservices,
    ) -> Result<(Localpart, Option<i64>), NameError> {
        Ok(match self {
            Self::Generated => {
                let name = accounts::generate(&app.config, appservices, &*app.rng)?;
                (name, None)
            }
            Self::Chosen(name) => (name.clone(), None),
            Self::Upgraded(name, epoch) => (name.clone(), Some(*epoch)),
        })
    }
}

/// The reason why the account cannot have the name.
pub(super) enum NameCheckError {
    /// The name is not allowed or not free.
    Name(NameError),
    /// The homeserver does not allow the name, or does not respond.
    Homeserver(HomeserverNameError),
    /// The guest access token does not belong to an active guest with this name.
    NotTheGuest,
    /// DynamoDB failed.
    Store(StoreError),
}

impl NameCheckError {
    /// Whether the cause may be a concurrent duplicate of the request that completed first.
    pub(super) const fn may_follow_from_duplicate(&self) -> bool {
        matches!(
            self,
            Self::Name(NameError::Taken)
                | Self::Homeserver(HomeserverNameError::Name(NameError::Taken))
                | Self::NotTheGuest
        )
    }
}

impl From<NameError> for NameCheckError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<NameCheckError> for Rejection {
    fn from(error: NameCheckError) -> Self {
        match error {
            NameCheckError::Name(error) => error.into(),
            NameCheckError::NotTheGuest => MatrixError::new(
                ErrorCode::Forbidden,
                "The guest access token does not belong to this user",
            )
            .into(),
            NameCheckError::Homeserver(error) => error.into(),
            NameCheckError::Store(error) => error.into(),
        }
    }
}

/// Checks the name as far as possible before UIA (REG-13). `is_new` is whether this request is the first with the name.
pub(super) async fn check(
    app: &App,
    parameters: &Parameters,
    requested: Option<&RequestedName>,
    holder: Option<&AccountRow>,
    appservices: &Appservices,
    is_new: bool,
) -> Result<Name, NameCheckError> {
    if let Some(token) = &parameters.guest_access_token {
        let name = requested.and_then(RequestedName::localpart);
        return check_upgrade(app, name, token).await;
    }
    let Some(RequestedName(parsed)) = requested else {
        return Ok(Name::Generated);
    };
    let name = parsed.clone().map_err(NameError::Grammar)?;
    let name = accounts::check_name(name, &app.config, appservices, None)?;
    if holder.is_some() {
        return Err(NameError::Taken.into());
    }
    // HS-10: a name that the session stores is not checked here, because the final transaction checks it.
    if is_new {
        let checked = homeserver::check_name(app, &name).await;
        checked.map_err(NameCheckError::Homeserver)?;
    }
    Ok(Name::Chosen(name))
}

async fn check_upgrade(
    app: &App,
    requested: Option<&Localpart>,
    token: &Secret,
) -> Result<Name, NameCheckError> {
    let guest = match tokens::authenticate(app, token).await {
        Ok(guest) => guest,
        Err(tokens::AuthenticationError::Store(error)) => return Err(NameCheckError::Store(error)),
        Err(_) => return Err(NameCheckError::NotTheGuest),
    };
    let is_active_guest =
        guest.account.status == AccountStatus::Active && guest.account.kind == AccountKind::Guest;
    if !is_active_guest || requested != Some(&guest.localpart) {
        return Err(NameCheckError::NotTheGuest);
    }
    Ok(Name::Upgraded(guest.localpart, guest.account.epoch))
}
