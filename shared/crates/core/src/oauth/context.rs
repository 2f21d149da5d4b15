//! The context of an authorization: the checked request, sealed and carried by the browser from page to page.
//!
//! A request that opens a page therefore writes nothing (OA-47). The context can be opened only together with the cookie
//! of the browser that it was sealed for, so that no other browser can continue with it (OA-48).

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{AuthorizationRequest, Prompt};
use crate::{
    app::App,
    clock::Timestamp,
    secrets::{KeyPurpose, Secret, sha256_base64},
};

/// The time in which the user must finish (OA-47).
const LIFETIME: Duration = Duration::from_hours(1);
/// The maximum length of a sealed context (OA-47).
const MAX_CHARS: usize = 4 * 1024;
/// The bytes that sealing adds: the ID of the key, the nonce and the authentication tag.
const OVERHEAD_BYTES: usize = 8 + 24 + 16;
/// The version of the format.
const PLACE: &[u8] = b"authorization context 1";

/// The context of one authorization.
///
/// A page puts the text from [`seal`](Self::seal) into the hidden field `context` of its form. The handler of the form
/// opens it with the cookie of the request. The cookie changes at login, at sign-up and at logout, so these handlers
/// seal the context again, for the new cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The request of the client.
    pub request: AuthorizationRequest,
    /// The time at which the context expires. A context that is sealed again keeps it.
    pub expires: Timestamp,
    /// Whether the user must enter the password before the consent, even with a browser session (OA-43).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_login: bool,
}

crate::opaque_debug!(Context);

/// The request of the client is too large for a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request is too large")]
pub struct ContextTooLargeError;

impl Context {
    /// The context of a new request. Fails if the request is so large that the sealed context would exceed its maximum.
    pub fn new(app: &App, request: AuthorizationRequest) -> Result<Self, ContextTooLargeError> {
        let context = Self {
            expires: app.clock.now().plus(LIFETIME),
            requires_login: request.prompt == Prompt::Login,
            request,
        };
        let bytes = OVERHEAD_BYTES + plaintext(&context).reveal().len();
        if bytes * 4 / 3 < MAX_CHARS {
            Ok(context)
        } else {
            Err(ContextTooLargeError)
        }
    }

    /// The context after the user has entered the password or has signed up.
    #[must_use]
    pub fn after_login(self) -> Self {
        Self {
            requires_login: false,
            ..self
        }
    }

    /// Seals the context for the browser with this cookie. The result is URL-safe text of at most 4 KiB.
    pub fn seal(&self, app: &App, cookie: &Secret) -> String {
        seal(app, cookie, PLACE, self)
    }

    /// Opens a context. Returns `None` if it has expired, belongs to another browser, or was not sealed by this server.
    /// The text has exactly one spelling, so its bytes identify the context (OA-66).
    pub fn open(app: &App, cookie: &Secret, text: &str) -> Option<Self> {
        let context: Self = open(app, cookie, PLACE, text)?;
        (app.clock.now() < context.expires).then_some(context)
    }
}

fn plaintext(context: &impl Serialize) -> Secret<Vec<u8>> {
    // Serialisation cannot fail: no member is a map.
    Secret::new(serde_json::to_vec(context).unwrap_or_default())
}

/// Seals a context for the browser with this cookie. `place` is the version of its format.
pub(super) fn seal(app: &App, cookie: &Secret, place: &[u8], context: &impl Serialize) -> String {
    let sealed = app.config.keys.seal(
        KeyPurpose::AuthorizationContext,
        sha256_base64(cookie.reveal().as_bytes()).as_bytes(),
        place,
        plaintext(context).reveal(),
        &*app.rng,
    );
    BASE64_URL_SAFE_NO_PAD.encode(sealed)
}

/// Opens a context that [`seal`] sealed for the same browser and the same format. The caller checks its expiry.
pub(super) fn open<T: DeserializeOwned>(
    app: &App,
    cookie: &Secret,
    place: &[u8],
    text: &str,
) -> Option<T> {
    if text.len() > MAX_CHARS {
        return None;
    }
    let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let salt = sha256_base64(cookie.reveal().as_bytes());
    let keys = &app.config.keys;
    let (purpose, salt) = (KeyPurpose::AuthorizationContext, salt.as_bytes());
    let plaintext = Secret::new(keys.open(purpose, salt, place, &sealed).ok()?);
    serde_json::from_slice(plaintext.reveal()).ok()
}
