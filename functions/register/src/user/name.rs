//! The name of a new user: everything about it that can be said before UIA (REG-13).

use shared::{
    accounts::{self, NameError},
    app::App,
    appservices::Appservices,
    error::{ErrorCode, MatrixError, Rejection},
    ids::Localpart,
    secrets::Secret,
    store::{AccountKind, AccountRow, AccountStatus},
    tokens,
};

use crate::parameters::Parameters;

/// What is to be done about the name.
pub(super) enum Name {
    /// Nobody chose one: any will do (REG-09).
    Any,
    /// Free, as far as is known.
    Chosen(Localpart),
    /// A guest's, at this epoch, who becomes a user (GUEST-08).
    Upgrade(Localpart, i64),
}

impl Name {
    /// The name to claim, and the epoch of the guest who becomes this user.
    pub(super) fn claimed(
        &self,
        app: &App,
        appservices: &Appservices,
    ) -> Result<(Localpart, Option<i64>), NameError> {
        Ok(match self {
            Self::Any => {
                let name = accounts::generate(&app.config, appservices, &*app.rng)?;
                (name, None)
            }
            Self::Chosen(name) => (name.clone(), None),
            Self::Upgrade(name, epoch) => (name.clone(), Some(*epoch)),
        })
    }
}

/// Everything about the name that can be said before UIA (REG-13).
pub(super) async fn check(
    app: &App,
    asked: &Parameters,
    holder: Option<&AccountRow>,
    appservices: &Appservices,
) -> Result<Name, Rejection> {
    if let Some(token) = &asked.guest_access_token {
        return check_upgrade(app, asked, token).await;
    }
    let Some(text) = &asked.username else {
        return Ok(Name::Any);
    };
    let name = accounts::choose(text, &app.config, appservices, None)?;
    if holder.is_some() {
        return Err(NameError::Taken.into());
    }
    Ok(Name::Chosen(name))
}

async fn check_upgrade(app: &App, asked: &Parameters, token: &str) -> Result<Name, Rejection> {
    let not_theirs = || {
        MatrixError::new(
            ErrorCode::Forbidden,
            "The guest access token is not one of this user",
        )
    };
    let name = asked
        .username
        .as_deref()
        .and_then(|text| Localpart::parse(text, &app.config.server_name).ok());
    let guest = match tokens::authenticate(app, &Secret::new(token.to_owned())).await {
        Ok(guest) => guest,
        Err(tokens::AuthenticationError::Store(error)) => return Err(error.into()),
        Err(_) => return Err(not_theirs().into()),
    };
    let active = guest.account.status == AccountStatus::Active;
    if !active
        || guest.account.kind != AccountKind::Guest
        || name.as_ref() != Some(&guest.localpart)
    {
        return Err(not_theirs().into());
    }
    Ok(Name::Upgrade(guest.localpart, guest.account.epoch))
}
