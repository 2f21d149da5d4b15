//! A device with new tokens: what every way to log in ends with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Token, TokenKind};
use crate::{
    app::App,
    clock::millis,
    ids::{DeviceId, Localpart},
    store::NewDevice,
};

/// What is wanted of a device.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Its id, if the client chose one (REG-17).
    pub device_id: Option<DeviceId>,
    /// What it is called (REG-19).
    pub display_name: Option<String>,
    /// Whether the client can refresh tokens (TOK-16).
    pub refreshable: bool,
    /// How long the access token lives.
    pub lifetime: Option<Duration>,
}

/// What a client is told of its new device; the members of an answer.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Issued {
    /// The access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// Its device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// The refresh token, if the client can refresh (TOK-16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// When the access token expires, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<i64>,
}

crate::opaque_debug!(Issued);

/// Makes the tokens of a device: what the client is told, and what is to be stored (TOK-08,
/// REG-18).
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
