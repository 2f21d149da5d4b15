//! The login page.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, Context, FormStart, sign_up_link};
use crate::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::{Query, Response},
    oauth::Prompt,
};

/// The path that the login form posts to.
pub const PATH: &str = "/oauth2/authorize/login";

#[derive(Template)]
#[template(path = "oauth/login.html")]
struct LoginPage<'a> {
    server: &'a str,
    text: &'a str,
    form: FormStart,
    user: &'a str,
    error: Option<&'a str>,
    notice: Option<&'a str>,
    sign_up: Option<String>,
}

/// The result of an earlier attempt.
#[derive(Debug)]
pub struct Failure<'a> {
    status: StatusCode,
    /// The message, without the full stop at its end.
    message: &'a str,
    /// The name that was entered.
    user: &'a str,
    retry_after: Option<u64>,
}

impl<'a> Failure<'a> {
    /// The failure of a submitted login form. `None` for an error that the user cannot correct.
    pub fn of(error: &'a MatrixError, form: &'a Query) -> Option<Self> {
        let status = match error.code {
            ErrorCode::Forbidden | ErrorCode::UserLocked => StatusCode::FORBIDDEN,
            ErrorCode::MissingParam | ErrorCode::LimitExceeded => error.code.status(),
            _ => return None,
        };
        Some(Self {
            status,
            message: &error.message,
            user: form.get("user").unwrap_or_default(),
            retry_after: error.response("").retry_after,
        })
    }
}

/// The content of a login page.
#[derive(Debug)]
pub(super) struct PageContent<'a> {
    /// The reason to log in.
    pub(super) text: &'a str,
    /// The form.
    pub(super) form: FormStart,
    /// The name to fill in.
    pub(super) user: &'a str,
    pub(super) notice: Option<&'a str>,
    pub(super) sign_up: Option<String>,
}

/// The login page for a browser. The link to the sign-up page is there while registration is open (OA-43).
pub fn page(
    app: &App,
    browser: &Browser,
    context: &Context,
    failure: Option<&Failure<'_>>,
) -> Response {
    let sealed = context.seal(app, browser.cookie());
    let request = &context.request;
    let sign_up = sign_up_link(&app.config, &sealed);
    // OA-42
    let is_closed = request.prompt == Prompt::Create && sign_up.is_none();
    let page = PageContent {
        text: "Continue only if you have just opened this page from your app.",
        form: browser.form(app, PATH, &sealed),
        user: request.login_hint.as_deref().unwrap_or_default(),
        notice: is_closed.then_some(super::REGISTRATION_CLOSED),
        sign_up,
    };
    form_page(app, browser, page, failure)
}

/// A login page with this content.
pub(super) fn form_page(
    app: &App,
    browser: &Browser,
    content: PageContent<'_>,
    failure: Option<&Failure<'_>>,
) -> Response {
    let page = LoginPage {
        server: app.config.server_name.as_str(),
        text: content.text,
        form: content.form,
        user: failure.map_or(content.user, |failure| failure.user),
        error: failure.map(|failure| failure.message),
        notice: content.notice,
        sign_up: content.sign_up,
    };
    let status = failure.map_or(StatusCode::OK, |failure| failure.status);
    Response {
        retry_after: failure.and_then(|failure| failure.retry_after),
        ..browser.page(app, status, &page)
    }
}
