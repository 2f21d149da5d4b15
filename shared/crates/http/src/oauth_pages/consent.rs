//! The consent page (OA-62, OA-63, OA-64). Every authorization needs consent, because no client can prove its identity.

use ::http::StatusCode;
use askama::Template;

use super::{Access, Browser, Context, FormStart, sign_up_link};
use crate::{
    app::App,
    http::Response,
    ids::Localpart,
    oauth::{Client, Destination, Prompt},
};

/// The path that the consent form posts to.
pub const PATH: &str = "/oauth2/authorize/consent";
/// The path that the form for another account posts to.
pub const LOGOUT_PATH: &str = "/oauth2/authorize/logout";

#[derive(Template)]
#[template(path = "oauth/consent.html")]
struct ConsentPage<'a> {
    server: &'a str,
    user_id: String,
    access: Access<'a>,
    notice: Option<&'static str>,
    sign_up: Option<String>,
    form: FormStart,
    logout: FormStart,
}

/// The content of a consent page.
#[derive(Debug)]
pub struct Consent<'a> {
    /// The request of the client.
    pub context: &'a Context,
    /// The client.
    pub client: &'a Client,
    /// The user, who has the browser session of the browser's cookie.
    pub user: &'a Localpart,
    /// Whether the account has a live device with the ID of the request.
    pub replaces_device: bool,
    /// Whether the user had the browser session before this request. A request for a sign-up then gets a choice (OA-42).
    pub is_returning: bool,
}

/// The consent page for a browser.
pub fn page(app: &App, browser: &Browser, consent: &Consent<'_>) -> Response {
    let Consent {
        context,
        client,
        user,
        ..
    } = consent;
    let sealed = context.seal(app, browser.cookie());
    let request = &context.request;
    let is_choice = consent.is_returning && request.prompt == Prompt::Create;
    let sign_up = sign_up_link(&app.config, &sealed).filter(|_| is_choice);
    let is_closed = is_choice && sign_up.is_none();
    let destination = match request.target.destination() {
        Destination::Host(host) => host,
        Destination::App => "an app on this device",
        Destination::Program => "a program on this computer",
    };
    let device = (request.scope.device_id.as_str(), consent.replaces_device);
    let page = ConsentPage {
        server: app.config.server_name.as_str(),
        user_id: user.user_id(&app.config.server_name),
        access: Access::new(client, destination, device),
        notice: is_closed.then_some(super::REGISTRATION_CLOSED),
        sign_up,
        form: browser.form(app, PATH, &sealed),
        logout: browser.form(app, LOGOUT_PATH, &sealed),
    };
    browser.page(app, StatusCode::OK, &page)
}
