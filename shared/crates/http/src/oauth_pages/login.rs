//! The login page.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, Context, FormStart, recovery_link, sign_up_link};
use crate::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::{Query, Response},
    oauth::Prompt,
};

/// The path that the login form of an authorization posts to.
pub const PATH: &str = "/oauth2/authorize/login";

#[derive(Template)]
#[template(path = "oauth/login.html")]
struct LoginPage<'a> {
    server: &'a str,
    form: FormStart,
    user: &'a str,
    login: &'a Login<'a>,
    error: Option<&'a str>,
}

/// The content of a login page.
#[derive(Debug)]
pub struct Login<'a> {
    /// The advice to a user who did not expect this page.
    pub what: &'static str,
    /// The name in the form before the first attempt.
    pub user: &'a str,
    /// A notice above the form.
    pub notice: Option<&'static str>,
    /// The URL of the sign-up page.
    pub sign_up: Option<String>,
    /// The URL of the recovery pages.
    pub recovery: Option<String>,
}

impl Login<'_> {
    /// A page with this advice, and nothing else.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            user: "",
            notice: None,
            sign_up: None,
            recovery: None,
        }
    }

    /// The page of an authorization.
    fn of_authorization() -> Self {
        Self::new("Continue only if you have just opened this page from your app.")
    }
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

/// The login page of an authorization for a browser. The link to the sign-up page is there while registration is open
/// (OA-43).
pub fn page(
    app: &App,
    browser: &Browser,
    context: &Context,
    failure: Option<&Failure<'_>>,
) -> Response {
    let request = &context.request;
    // OA-42
    let is_closed = request.prompt == Prompt::Create && app.config.flows().is_empty();
    let notice = is_closed.then_some(super::REGISTRATION_CLOSED);
    page_of_authorization(app, browser, context, notice, failure)
}

/// The login page of an authorization after a recovery (OA-61).
pub fn page_after_recovery(app: &App, browser: &Browser, context: &Context) -> Response {
    let notice = "Your new password has been set. Log in with it.";
    page_of_authorization(app, browser, context, Some(notice), None)
}

fn page_of_authorization(
    app: &App,
    browser: &Browser,
    context: &Context,
    notice: Option<&'static str>,
    failure: Option<&Failure<'_>>,
) -> Response {
    let sealed = context.seal(app, browser.cookie());
    let login = Login {
        user: context.request.login_hint.as_deref().unwrap_or_default(),
        notice,
        sign_up: sign_up_link(&app.config, &sealed),
        recovery: recovery_link(&app.config, &sealed),
        ..Login::of_authorization()
    };
    let form = browser.form(app, PATH, &sealed);
    page_with(app, browser, form, &login, failure)
}

/// A login page with this form.
pub fn page_with(
    app: &App,
    browser: &Browser,
    form: FormStart,
    login: &Login<'_>,
    failure: Option<&Failure<'_>>,
) -> Response {
    let page = LoginPage {
        server: app.config.server_name.as_str(),
        form,
        user: failure.map_or(login.user, |failure| failure.user),
        login,
        error: failure.map(|failure| failure.message),
    };
    let status = failure.map_or(StatusCode::OK, |failure| failure.status);
    Response {
        retry_after: failure.and_then(|failure| failure.retry_after),
        ..browser.page(app, status, &page)
    }
}
