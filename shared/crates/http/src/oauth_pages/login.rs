//! The login page.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, Context, FormStart, recovery_link, sign_up_link};
use crate::{app::App, http::Response, oauth::Prompt};

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

/// The advice on the login page of an authorization.
const FROM_AN_APP: &str = "Continue only if you have just opened this page from your app.";

impl Default for Login<'_> {
    fn default() -> Self {
        Self {
            what: FROM_AN_APP,
            user: "",
            notice: None,
            sign_up: None,
            recovery: None,
        }
    }
}

/// The result of an earlier attempt.
#[derive(Debug)]
pub struct Failure<'a> {
    /// The status of the page.
    pub status: StatusCode,
    /// The message, without the full stop at its end.
    pub message: &'a str,
    /// The name that was entered.
    pub user: &'a str,
}

/// The login page of an authorization for a browser. The link to the sign-up page is there while registration is open
/// (OA-43).
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
    let login = Login {
        what: FROM_AN_APP,
        user: request.login_hint.as_deref().unwrap_or_default(),
        notice: is_closed.then_some(super::REGISTRATION_CLOSED),
        sign_up,
        recovery: recovery_link(&app.config, &sealed),
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
    browser.page(app, status, &page)
}
