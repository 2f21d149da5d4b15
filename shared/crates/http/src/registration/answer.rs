//! The response to a registration.

use crate::{
    accounts::NewDevice,
    app::App,
    ids::Localpart,
    tokens::{self, Issued, Login},
};
use serde::{Deserialize, Serialize};

/// The response body (REG-20, REG-21).
#[derive(Clone, Serialize, Deserialize)]
pub struct Response {
    /// The complete user ID: `@localpart:server`.
    pub user_id: String,
    /// The server name. The member is deprecated, but clients still read it (REG-21).
    pub home_server: String,
    /// The device and its tokens. They are absent if the client inhibits the login.
    #[serde(flatten)]
    pub issued: Issued,
}

crate::opaque_debug!(Response);

impl Response {
    /// A response without a login.
    pub fn without_login(app: &App, localpart: &Localpart) -> Self {
        Self {
            user_id: localpart.user_id(&app.config.server_name),
            home_server: app.config.server_name.as_str().to_owned(),
            issued: Issued::default(),
        }
    }

    /// A response with a new device, and the device to store (TOK-08, REG-17, REG-18).
    pub fn with_login(app: &App, localpart: &Localpart, login: &Login) -> (Self, NewDevice) {
        let (issued, device) = tokens::issue(app, localpart, login);
        let answer = Self {
            issued,
            ..Self::without_login(app, localpart)
        };
        (answer, device)
    }
}
