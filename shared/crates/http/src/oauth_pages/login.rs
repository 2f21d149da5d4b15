//! The login page.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, Context, FormStart, sign_up_link};
use crate::{app::App, http::Response, oauth::Prompt};

/// The path that the login form posts to.
pub const PATH: &str = "/oauth2/authorize/login";

#[derive(Template)]
#[template(path = "oauth/login.html")]
struct LoginPage<'a> {
    server: &'a str,
    form: FormStart,
    user: &'a str,
    error: Option<&'a str>,
    notice: Option<&'a str>,
    sign_up: Option<String>,
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
    let page = LoginPage {
        server: app.config.server_name.as_str(),
        form: browser.form(app, PATH, &sealed),
        user: match failure {
            Some(failure) => failure.user,
            None => request.login_hint.as_deref().unwrap_or_default(),
        },
        error: failure.map(|failure| failure.message),
        notice: is_closed.then_some(super::REGISTRATION_CLOSED),
        sign_up,
    };
    let status = failure.map_or(StatusCode::OK, |failure| failure.status);
    browser.page(app, status, &page)
}
