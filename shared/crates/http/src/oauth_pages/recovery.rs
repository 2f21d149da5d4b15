//! The pages of a recovery that are not the form of a stage: the choice of an address, and the form with the new password.

use ::http::StatusCode;
use askama::Template;

use super::{Browser, FormStart};
use crate::{app::App, http::Response};

#[derive(Template)]
#[template(path = "oauth/recovery.html")]
struct RecoveryPage<'a> {
    server: &'a str,
    form: FormStart,
    content: &'a Content<'a>,
}

/// The content of a page.
#[derive(Debug)]
pub struct Content<'a> {
    /// The reason why the last form was not accepted, without the full stop at its end.
    pub error: Option<&'a str>,
    /// The URL of the login page.
    pub login: String,
    /// The URLs and the labels of the next steps. If there are none, the page asks for the new password.
    pub choices: Vec<(String, &'static str)>,
}

/// A page of a recovery.
pub fn page(
    app: &App,
    browser: &Browser,
    status: StatusCode,
    form: FormStart,
    content: &Content<'_>,
) -> Response {
    let server = app.config.server_name.as_str();
    let page = RecoveryPage {
        server,
        form,
        content,
    };
    browser.page(app, status, &page)
}
