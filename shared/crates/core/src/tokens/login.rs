//! Creation of a device with new tokens, the last step of every login.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Token, TokenKind};
use crate::{
    app::App,
    clock::millis,
    homeserver::{self, AddedDevice, Homeserver, UpdateError},
    ids::{DeviceId, Localpart},
    store::{AccountKind, AccountRow, ListedDevice, NewDevice, SaveDeviceError, StoreError},
};

/// The properties of the new device.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// The device ID, if the client chose one (REG-17).
    pub device_id: Option<DeviceId>,
    /// The display name (REG-19).
    pub display_name: Option<String>,
    /// Whether the client requested a refresh token (TOK-16).
    pub refreshable: bool,
    /// The lifetime of the access token. `None` if the token does not expire.
    pub lifetime: Option<Duration>,
}

/// The members of the response about a new device.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Issued {
    /// The access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// The device ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The refresh token, if the client requested one (TOK-16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The lifetime of the access token in milliseconds, if it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<i64>,
}

crate::opaque_debug!(Issued);

/// Creates the tokens of a device. Returns the members of the response and the row to store (TOK-08, REG-18).
pub fn issue(app: &App, localpart: &Localpart, login: &Login) -> (Issued, NewDevice) {
    let rng = &*app.rng;
    let id = login
        .device_id
        .clone()
        .unwrap_or_else(|| DeviceId::generate(rng));
    let access = Token::mint(TokenKind::Access, localpart, &id, rng);
    let refresh = login
        .refreshable
        .then(|| Token::mint(TokenKind::Refresh, localpart, &id, rng));
    let issued = Issued {
        access_token: Some(access.reveal().to_owned()),
        device_id: Some(id.as_str().to_owned()),
        refresh_token: refresh.as_ref().map(|token| token.reveal().to_owned()),
        expires_in_ms: login.lifetime.map(millis),
    };
    let device = NewDevice {
        id,
        display_name: login.display_name.clone(),
        access_hash: access.hash(),
        access_expires: login
            .lifetime
            .map(|lifetime| app.clock.now().plus(lifetime)),
        refresh_hash: refresh.map(|token| token.hash()),
        oauth: None,
        repeated: None,
    };
    (issued, device)
}

/// The reason why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The device was not written.
    #[error(transparent)]
    Device(#[from] SaveDeviceError),
    /// The homeserver did not create the device.
    #[error(transparent)]
    Homeserver(#[from] UpdateError),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Device(error.into())
    }
}

/// Writes a device with new tokens, and returns the members of the response (TOK-09). Fails if the account has changed
/// since it was read. If a homeserver is configured, the device exists there before the tokens are returned (HS-11).
pub async fn log_in(
    app: &App,
    user: &Localpart,
    account: &AccountRow,
    login: &Login,
) -> Result<Issued, LoginError> {
    let (issued, device) = issue(app, user, login);
    let now = app.clock.now();
    let save = app.store.save_device(user, &device, account.epoch, now);
    // Users of application services are created at the homeserver by the application services themselves (HS-23).
    match homeserver::of(app).filter(|_| account.kind == AccountKind::User) {
        Some(homeserver) => {
            let chosen = login.device_id.is_some();
            let account = (user, account);
            let save = async { save.await.map_err(LoginError::from) };
            Box::pin(log_in_at(app, homeserver, account, &device, chosen, save)).await?;
        }
        None => save.await?,
    }
    Ok(issued)
}

/// Writes the device with `save`, and creates it at the homeserver. `chosen` states whether the client chose the device
/// ID.
pub(crate) async fn log_in_at<E: From<StoreError> + From<UpdateError>>(
    app: &App,
    homeserver: Homeserver<'_>,
    (user, account): (&Localpart, &AccountRow),
    device: &NewDevice,
    chosen: bool,
    save: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let update = homeserver.begin(user).await?;
    let stored = if chosen {
        app.store.find_device(user, &device.id).await
    } else {
        Ok(None)
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            update.cancel().await;
            return Err(error.into());
        }
    };
    if let Err(error) = save.await {
        update.leave(None).await;
        return Err(error);
    }
    // An existing device keeps its display name (REG-19), and its keys if it is logged in.
    let is_logged_in = |stored: &ListedDevice| account.is_device_valid(&stored.id, stored.epoch);
    let is_known = stored.as_ref().is_some_and(is_logged_in);
    let display_name = stored
        .as_ref()
        .and_then(|stored| stored.display_name.as_ref());
    let added = AddedDevice {
        id: &device.id,
        display_name: display_name
            .or(device.display_name.as_ref())
            .map(String::as_str),
        may_be_outdated: chosen && !is_known,
    };
    let added = update.add_device(user, account, added).await;
    if added.is_err() && !is_known {
        // No client has the tokens. A device that was logged in before is kept: otherwise the homeserver would delete
        // its keys.
        let store = &app.store;
        let removed = store.remove_device(user, &device.id, &device.access_hash);
        if let Err(error) = removed.await {
            tracing::warn!(%error, "the device of a failed login was not deleted");
        }
    }
    Ok(update.close_login(user, added).await?)
}
