//! The pages that take a response to the client (OA-52). No response of this server redirects to a client: the page has
//! one link, and a page for a web or loopback client opens the link itself.

use ::http::StatusCode;
use askama::Template;

use super::page;
use crate::{
    config::Config,
    http::Response,
    oauth::{AuthorizationErrorCode, Destination, ResponseTarget},
    secrets::Secret,
};

#[derive(Template)]
#[template(path = "oauth/response.html")]
struct ResponsePage<'a> {
    server: &'a str,
    title: &'a str,
    text: &'a str,
    link: String,
    url: &'a str,
    opens_itself: bool,
}

/// The last page after consent: its link takes the code to the client.
pub fn success(config: &Config, target: &ResponseTarget, code: &Secret) -> Response {
    let url = Secret::new(target.url(config, ("code", code.reveal())));
    let page_of = ResponsePage {
        title: "You are signed in",
        text: "Go back to your app to continue.",
        ..ResponsePage::new(config, target, url.reveal())
    };
    page(StatusCode::OK, &page_of)
}

/// The last page after a refusal by the user (OA-65).
pub fn denied(config: &Config, target: &ResponseTarget) -> Response {
    let url = error_url(config, target, AuthorizationErrorCode::AccessDenied);
    let page_of = ResponsePage {
        title: "You have not given access",
        text: "The app gets no access to your account.",
        ..ResponsePage::new(config, target, &url)
    };
    page(StatusCode::OK, &page_of)
}

/// The page of an error before or without a decision of the user. Only a click opens the link, because any party can
/// register a client (OA-33).
pub fn refused(
    config: &Config,
    target: &ResponseTarget,
    code: AuthorizationErrorCode,
    status: StatusCode,
    text: &str,
) -> Response {
    let url = error_url(config, target, code);
    let page_of = ResponsePage {
        title: "The sign-in failed",
        text,
        opens_itself: false,
        ..ResponsePage::new(config, target, &url)
    };
    page(status, &page_of)
}

fn error_url(config: &Config, target: &ResponseTarget, code: AuthorizationErrorCode) -> String {
    target.url(config, ("error", code.as_str()))
}

impl<'a> ResponsePage<'a> {
    fn new(config: &'a Config, target: &ResponseTarget, url: &'a str) -> Self {
        let link = match target.destination() {
            Destination::Host(host) => format!("Continue to {host}"),
            Destination::App => "Continue in the app".to_owned(),
            Destination::Program => "Continue in the program on this computer".to_owned(),
        };
        Self {
            server: config.server_name.as_str(),
            title: "",
            text: "",
            link,
            url,
            opens_itself: target.opens_itself(),
        }
    }
}
