//! The pages of the device authorization grant: login, entry of the code, and consent (OA-118, OA-119).

use std::time::Duration;

use ::http::StatusCode;
use askama::Template;

use super::{Access, Browser, FormStart, login};
use crate::{
    app::App,
    error::MatrixError,
    http::Response,
    ids::Localpart,
    oauth::{LinkContext, LinkedDevice, UserCode},
};

/// The path of the first page, and of the form with the code.
pub const PATH: &str = "/link";
/// The path that the login form posts to.
pub const LOGIN_PATH: &str = "/link/login";
/// The path that the consent form posts to.
pub const CONSENT_PATH: &str = "/link/consent";
/// The path that the form for another account posts to.
pub const LOGOUT_PATH: &str = "/link/logout";

/// The login page for a browser.
pub fn login_page(
    app: &App,
    browser: &Browser,
    context: &LinkContext,
    failure: Option<&login::Failure<'_>>,
) -> Response {
    let sealed = context.seal(app, browser.cookie());
    let page = login::PageContent {
        text: "Continue only if you have just started to sign in on another device.",
        form: browser.form(app, LOGIN_PATH, &sealed),
        user: "",
        notice: None,
        sign_up: None,
    };
    login::form_page(app, browser, page, failure)
}

#[derive(Template)]
#[template(path = "oauth/link_code.html")]
struct CodePage<'a> {
    server: &'a str,
    user_id: String,
    user_code: String,
    error: Option<&'a str>,
    form: FormStart,
}

/// The page on which the user enters the code of the device. `error` is the result of an earlier attempt.
pub fn code_page(
    app: &App,
    browser: &Browser,
    user: &Localpart,
    context: &LinkContext,
    error: Option<&MatrixError>,
) -> Response {
    let sealed = context.seal(app, browser.cookie());
    let page = CodePage {
        server: app.config.server_name.as_str(),
        user_id: user.user_id(&app.config.server_name),
        user_code: display(context.user_code.as_ref()),
        error: error.map(|error| error.message.as_ref()),
        form: browser.form(app, PATH, &sealed),
    };
    let status = error.map_or(StatusCode::OK, |error| error.code.status());
    Response {
        retry_after: error.and_then(|error| error.response("").retry_after),
        ..browser.page(app, status, &page)
    }
}

fn display(code: Option<&UserCode>) -> String {
    code.map(UserCode::display).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "oauth/link_consent.html")]
struct ConsentPage<'a> {
    server: &'a str,
    user_id: String,
    user_code: String,
    network: Option<&'a str>,
    user_agent: Option<&'a str>,
    age: String,
    access: Access<'a>,
    form: FormStart,
    logout: FormStart,
}

/// The consent page for the user of a browser. The context gets the device code.
pub fn consent_page(
    app: &App,
    browser: &Browser,
    user: &Localpart,
    context: LinkContext,
    device: &LinkedDevice,
) -> Response {
    let context = LinkContext {
        device_code: Some(device.code.clone()),
        ..context
    };
    let sealed = context.seal(app, browser.cookie());
    let requester = device.requester.as_ref();
    let device_id = (device.scope.device_id.as_str(), device.replaces_device);
    let page = ConsentPage {
        server: app.config.server_name.as_str(),
        user_id: user.user_id(&app.config.server_name),
        user_code: display(context.user_code.as_ref()),
        network: requester.map(|requester| requester.network.as_str()),
        user_agent: requester.and_then(|requester| requester.user_agent.as_deref()),
        age: age(app.clock.now().since(device.requested_at)),
        access: Access::new(&device.client, "the device that shows this code", device_id),
        form: browser.form(app, CONSENT_PATH, &sealed),
        logout: browser.form(app, LOGOUT_PATH, &sealed),
    };
    browser.page(app, StatusCode::OK, &page)
}

/// The age of a request in words.
fn age(passed: Duration) -> String {
    match passed.as_secs() / 60 {
        0 => "less than a minute ago".to_owned(),
        1 => "1 minute ago".to_owned(),
        minutes => format!("{minutes} minutes ago"),
    }
}
