//! The context of the pages on which a user enters a code, sealed and carried by the browser from page to page, like the
//! [`Context`](crate::oauth::Context) of an authorization request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UserCode;
use crate::{
    app::App,
    clock::Timestamp,
    oauth::context,
    secrets::{Secret, TokenHash},
};

/// The time in which the user must finish.
const LIFETIME: Duration = Duration::from_hours(1);
/// The version of the format.
const PLACE: &[u8] = b"device link 1";

/// The context of one visit.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkContext {
    /// The user code: the one to fill in, or the one that the user has entered.
    pub user_code: Option<UserCode>,
    /// The device code that the user code leads to, on the consent page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<TokenHash>,
    /// The time at which the context expires.
    pub expires: Timestamp,
}

crate::opaque_debug!(LinkContext);

impl LinkContext {
    /// The context of the first page, with the code from its URL.
    pub fn new(app: &App, user_code: Option<UserCode>) -> Self {
        Self {
            user_code,
            device_code: None,
            expires: app.clock.now().plus(LIFETIME),
        }
    }

    /// The context of the pages before the consent page.
    #[must_use]
    pub fn before_consent(self) -> Self {
        Self {
            device_code: None,
            ..self
        }
    }

    /// Seals the context for the browser with this cookie.
    pub fn seal(&self, app: &App, cookie: &Secret) -> String {
        context::seal(app, cookie, PLACE, self)
    }

    /// Opens a context. Returns `None` if it has expired, belongs to another browser, or was not sealed by this server.
    pub fn open(app: &App, cookie: &Secret, text: &str) -> Option<Self> {
        let context: Self = context::open(app, cookie, PLACE, text)?;
        (app.clock.now() < context.expires).then_some(context)
    }
}
