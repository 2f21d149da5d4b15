//! The answer to a registration, and the device whose tokens are in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{
    accounts::NewDevice,
    app::App,
    clock::millis,
    ids::{DeviceId, Localpart},
    tokens::{Token, TokenKind},
};

/// The answer (REG-20, REG-21).
#[derive(Clone, Serialize, Deserialize)]
pub struct Response {
    /// The new user's id.
    pub user_id: String,
    /// The server's name; deprecated and still sent (REG-21).
    pub home_server: String,
    /// The access token, unless login was inhibited.
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

/// What is wanted of the first device.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// Its id, if the client chose one.
    pub(crate) device_id: Option<DeviceId>,
    /// What it is called.
    pub(crate) display_name: Option<String>,
    /// Whether to make a refresh token.
    pub(crate) refreshable: bool,
    /// How long the access token lives.
    pub(crate) lifetime: Option<Duration>,
}

shared::opaque_debug!(Response);

impl Response {
    /// An answer without login.
    pub(crate) fn without_login(app: &App, localpart: &Localpart) -> Self {
        Self {
            user_id: localpart.user_id(&app.config.server_name),
            home_server: app.config.server_name.as_str().to_owned(),
            access_token: None,
            device_id: None,
            refresh_token: None,
            expires_in_ms: None,
        }
    }

    /// An answer with a new device, and what is to be stored of that (TOK-08, REG-17, REG-18).
    pub(crate) fn with_login(app: &App, localpart: &Localpart, login: &Login) -> (Self, NewDevice) {
        let chance = &*app.chance;
        let id = login
            .device_id
            .clone()
            .unwrap_or_else(|| DeviceId::generate(chance));
        let access = Token::mint(TokenKind::Access, localpart, &id, chance);
        let refresh = login
            .refreshable
            .then(|| Token::mint(TokenKind::Refresh, localpart, &id, chance));
        let answer = Self {
            access_token: Some(access.reveal().to_owned()),
            device_id: Some(id.as_str().to_owned()),
            refresh_token: refresh.as_ref().map(|token| token.reveal().to_owned()),
            expires_in_ms: login.lifetime.map(millis),
            ..Self::without_login(app, localpart)
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
        (answer, device)
    }
}
