//! Creation of a device with new tokens, the last step of every login.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Token, TokenKind};
use crate::{
    app::App,
    clock::millis,
    ids::{DeviceId, Localpart},
    store::NewDevice,
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
    };
    (issued, device)
}
