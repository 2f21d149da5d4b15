//! Submitted forms: size, content type, origin, cookie, CSRF token and context (OA-54).

use ::http::{StatusCode, header};
use askama::Template;

use super::{Browser, Context, message};
use crate::{
    app::App,
    config::Config,
    http::{Query, Request, Response},
    oauth::LinkContext,
    oauth_http::{self, OAuthErrorCode},
    secrets::{KeyPurpose, Secret, fields},
};

const CSRF_FIELD: &str = "csrf";
const CONTEXT_FIELD: &str = "context";

/// The start of a form: its tag and its hidden fields. Templates print it with `{{ form|safe }}`; the template of this
/// type escapes the values.
#[derive(Debug, Template)]
#[template(path = "oauth/form_start.html")]
pub struct FormStart {
    pub(super) action: String,
    pub(super) csrf: String,
    pub(super) context: String,
}

/// A submitted form that belongs to this server and to the browser.
#[derive(Debug)]
pub struct Submission {
    /// The browser.
    pub browser: Browser,
    /// The fields.
    pub form: Query,
}

/// The reason why a submitted form is rejected. Nothing was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The body is too large.
    #[error("the form is too large")]
    TooLarge,
    /// The body is not a form.
    #[error("the body is not a form")]
    NotAForm,
    /// The form was not sent by a page of this server in this browser.
    #[error("the form does not belong to a page of this server in this browser")]
    Foreign,
    /// The context has expired or belongs to an earlier state of the browser.
    #[error("the page is out of date")]
    OutOfDate,
}

impl FormError {
    /// The page of the error.
    pub fn page(self, config: &Config) -> Response {
        let (status, title, text) = match self {
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The form is too large",
                "Go back and enter less text.",
            ),
            Self::NotAForm => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This is not a form",
                "Start again in your app.",
            ),
            Self::Foreign => (
                StatusCode::BAD_REQUEST,
                "This form cannot be used",
                "It was not sent by a page of this server in this browser, or the browser does not keep cookies. \
                 Start again in your app.",
            ),
            Self::OutOfDate => (
                StatusCode::BAD_REQUEST,
                "This page is out of date",
                "Too much time has passed, or you have used another page of this server in the meantime. Start again \
                 in your app.",
            ),
        };
        message(config, status, title, text)
    }
}

impl Submission {
    /// Checks a submitted form. Makes no call.
    pub fn parse(app: &App, request: &Request) -> Result<Self, FormError> {
        let checked = oauth_http::check_body(request, "application/x-www-form-urlencoded");
        checked.map_err(|error| match error.code {
            OAuthErrorCode::TooLarge => FormError::TooLarge,
            _ => FormError::NotAForm,
        })?;
        if !is_from_own_page(&app.config, request) {
            return Err(FormError::Foreign);
        }
        let form = Query::parse(&request.body);
        let browser = Browser::of(app, request).ok_or(FormError::Foreign)?;
        let token = form.get(CSRF_FIELD).ok_or(FormError::Foreign)?;
        let about = csrf_message(browser.cookie(), &request.path);
        let keys = &app.config.keys;
        if !keys.hash_matches(KeyPurpose::CsrfToken, &about, token) {
            return Err(FormError::Foreign);
        }
        Ok(Self { browser, form })
    }

    /// The context of the form, and its sealed text.
    pub fn context(&self, app: &App) -> Result<(Context, &str), FormError> {
        let sealed = self.sealed()?;
        let context = Context::open(app, self.browser.cookie(), sealed);
        Ok((context.ok_or(FormError::OutOfDate)?, sealed))
    }

    /// The context of a form of the device authorization grant.
    pub fn link_context(&self, app: &App) -> Result<LinkContext, FormError> {
        let context = LinkContext::open(app, self.browser.cookie(), self.sealed()?);
        context.ok_or(FormError::OutOfDate)
    }

    fn sealed(&self) -> Result<&str, FormError> {
        self.form.get(CONTEXT_FIELD).ok_or(FormError::OutOfDate)
    }
}

/// The token of a form: a keyed hash of the cookie and of the path that the form posts to.
pub(super) fn csrf_token(app: &App, cookie: &Secret, path: &str) -> String {
    let about = csrf_message(cookie, path);
    app.config.keys.hash(KeyPurpose::CsrfToken, &about)
}

fn csrf_message(cookie: &Secret, path: &str) -> Vec<u8> {
    fields(&[cookie.reveal().as_bytes(), path.as_bytes()])
}

/// Whether the browser reports no other origin. Both headers are absent in old browsers.
fn is_from_own_page(config: &Config, request: &Request) -> bool {
    let has_only = |name: header::HeaderName, expected: &str| {
        let mut values = request.headers.get_all(name).iter();
        values.all(|value| value.as_bytes().eq_ignore_ascii_case(expected.as_bytes()))
    };
    has_only(header::ORIGIN, origin(config))
        && has_only(
            header::HeaderName::from_static("sec-fetch-site"),
            "same-origin",
        )
}

/// The origin of this server as browsers send it: without the default port.
fn origin(config: &Config) -> &str {
    let url = config.public_url.as_str();
    let authority = url.find("://").map_or(0, |start| start + 3);
    let path = url.get(authority..).and_then(|rest| rest.find('/'));
    let origin = path.and_then(|path| url.get(..authority + path));
    let origin = origin.unwrap_or(url);
    let default_port = if url.starts_with("https://") {
        ":443"
    } else {
        ":80"
    };
    origin.strip_suffix(default_port).unwrap_or(origin)
}
