//! A browser in the course of a sign-up: the authorization that the sign-up belongs to, and its UIA session.
//!
//! The forms carry a key of the sign-up. The session string is a hash of this key and of the sealed context, so that a
//! session can be used only with its own context, and the context only with the cookie of its browser (OA-48). The key is
//! a keyed hash of the first form, so that a form that is sent twice has the same session (OA-67). Another person cannot
//! derive the key without the password.

use shared::{
    app::App,
    http::Query,
    oauth::{AuthorizationRequest, Context, Prompt},
    oauth_pages::{Browser, FormError, sign_up::SESSION_FIELD},
    secrets::{KeyPurpose, Secret, fields, sha256_base64},
    store::StoreError,
    uia::OpenSession,
};

/// The maximum length of a key. The keys of this server are shorter.
const MAX_KEY_CHARS: usize = 128;

/// The key of a sign-up.
#[derive(Debug, Clone)]
pub(crate) struct SignUpKey(Secret);

impl SignUpKey {
    /// The key in a form or in a URL. `None` if there is none, or if this server makes no such key.
    pub(crate) fn parse(form: &Query) -> Option<Self> {
        let text = form.get(SESSION_FIELD)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_valid = (1..=MAX_KEY_CHARS).contains(&text.len()) && text.bytes().all(is_allowed);
        is_valid.then(|| Self(Secret::new(text.to_owned())))
    }

    /// The text in forms and URLs.
    pub(crate) fn as_str(&self) -> &str {
        self.0.reveal()
    }
}

/// A browser with the authorization that its sign-up belongs to.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) browser: Browser,
    pub(crate) context: Context,
    /// The sealed context, as the browser sent it.
    pub(crate) sealed: String,
}

impl Visitor {
    /// The visitor of a URL.
    pub(crate) fn of_query(app: &App, browser: Browser, query: &Query) -> Result<Self, FormError> {
        let sealed = query.get("context").unwrap_or_default();
        let context = Context::open(app, browser.cookie(), sealed);
        Ok(Self {
            context: context.ok_or(FormError::OutOfDate)?,
            sealed: sealed.to_owned(),
            browser,
        })
    }

    /// The key of the sign-up that begins with these values.
    pub(crate) fn first_key(&self, app: &App, username: &str, password: &Secret) -> SignUpKey {
        let message = Secret::new(fields(&[
            self.sealed.as_bytes(),
            username.as_bytes(),
            password.reveal().as_bytes(),
        ]));
        let hash = app.config.keys.hash(KeyPurpose::SignUp, message.reveal());
        SignUpKey(Secret::new(hash))
    }

    /// The session string of a sign-up.
    pub(crate) fn session(&self, key: &SignUpKey) -> Secret {
        let parts = fields(&[b"sign-up", self.sealed.as_bytes(), key.as_str().as_bytes()]);
        Secret::new(sha256_base64(&parts))
    }

    /// The UIA session of a sign-up, if it exists.
    pub(crate) async fn find_session(
        &self,
        app: &App,
        key: &SignUpKey,
    ) -> Result<Option<OpenSession>, StoreError> {
        OpenSession::find(app, &self.session(key)).await
    }

    /// The context as if the client had asked for a sign-up. The login page then says that registration is closed
    /// (OA-42).
    pub(crate) fn context_of_sign_up(&self) -> Context {
        let context = self.context.clone();
        Context {
            request: AuthorizationRequest {
                prompt: Prompt::Create,
                ..context.request
            },
            ..context
        }
    }
}
