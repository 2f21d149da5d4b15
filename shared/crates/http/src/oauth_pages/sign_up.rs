//! The pages of a sign-up that are not the form of a stage: the first page, the choice of the next step, and the page
//! without a form.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, FormStart};
use crate::{app::App, http::Response};

/// The field with the key of the sign-up.
pub const SESSION_FIELD: &str = "session";

#[derive(Template)]
#[template(path = "oauth/sign_up.html")]
struct DetailsPage<'a> {
    server: &'a str,
    form: FormStart,
    details: &'a Details<'a>,
}

/// The content of the first page, which asks for the username and the password.
#[derive(Debug, Default)]
pub struct Details<'a> {
    /// The username that was entered.
    pub username: &'a str,
    /// The reason why the form was not accepted, without the full stop at its end.
    pub error: Option<&'a str>,
    /// The key of the sign-up, if it has begun.
    pub session: Option<&'a str>,
    /// The URL of the login page.
    pub login: String,
}

/// The first page.
pub fn details(
    app: &App,
    browser: &Browser,
    status: StatusCode,
    form: FormStart,
    details: &Details<'_>,
) -> Response {
    let server = app.config.server_name.as_str();
    let page = DetailsPage {
        server,
        form,
        details,
    };
    browser.page(app, status, &page)
}

#[derive(Template)]
#[template(path = "oauth/sign_up_step.html")]
struct StepPage<'a> {
    server: &'a str,
    form: FormStart,
    step: &'a Step<'a>,
}

/// The content of a page that asks for no input.
#[derive(Debug, Default)]
pub struct Step<'a> {
    /// The text.
    pub text: &'a str,
    /// The reason why the last form was not accepted, without the full stop at its end.
    pub error: Option<&'a str>,
    /// The key of the sign-up.
    pub session: &'a str,
    /// The URLs and the labels of the next steps. If there are none, the page has a button.
    pub choices: Vec<(String, &'static str)>,
}

/// A page that asks for no input.
pub fn step(
    app: &App,
    browser: &Browser,
    status: StatusCode,
    form: FormStart,
    step: &Step<'_>,
) -> Response {
    let server = app.config.server_name.as_str();
    let page = StepPage { server, form, step };
    browser.page(app, status, &page)
}
