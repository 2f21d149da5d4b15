//! Requests to the pages of the OAuth 2.0 API.

use std::net::IpAddr;

use http::StatusCode;
use test_support::{PASSWORD, TestServer};

use super::network;
use crate::flows::support::{
    device_grant::{self, Device},
    oauth_pages::{Authorization, Browser, client_row},
    threepid_helpers::EMAIL,
};

/// The status of the form of a page. `None` if the path belongs to no page.
pub(super) async fn status(server: &TestServer, peer: IpAddr, path: &str) -> Option<StatusCode> {
    let of_accounts = [
        "/oauth2/authorize/",
        "/oauth2/recovery",
        "/oauth2/sign-up",
        "/account/",
    ];
    if path == "/link" || path.starts_with("/link/") {
        Some(status_of_link(server, peer, path).await)
    } else if of_accounts.iter().any(|start| path.starts_with(start)) {
        Some(status_of_form(server, peer, path).await)
    } else {
        None
    }
}

/// Submits a form of the pages of the OAuth 2.0 API. The page with the form is opened from another network.
async fn status_of_form(server: &TestServer, peer: IpAddr, path: &str) -> StatusCode {
    let valid = Authorization::native(server);
    let mut browser = Browser::new(server);
    let page = if path.starts_with("/account/") {
        browser.log_in_at("/account", "alice", PASSWORD).await
    } else if path.ends_with("/login") {
        browser.open(&valid).await
    } else if path.ends_with("/recovery") {
        let login = browser.open(&valid).await;
        let link = login.link("Set a new password").unwrap();
        browser.get(&format!("{link}&stage={EMAIL}")).await
    } else if path.ends_with("/sign-up") {
        browser.open(&valid.with("prompt", "create")).await
    } else {
        browser.log_in(&valid, "alice", PASSWORD).await
    };
    browser.peer = peer;
    let values = [
        ("user", "nobody"),
        ("username", "alice"),
        ("password", "x"),
        ("password_again", "x"),
        ("action", "allow"),
    ];
    browser.submit(&page.form(path), &values).await.reply.status
}

/// Submits a form of the pages of the device authorization grant. The page is opened from another network.
async fn status_of_link(server: &TestServer, peer: IpAddr, path: &str) -> StatusCode {
    let client = client_row(server, &device_grant::metadata());
    let mut browser = Browser::new(server);
    browser.peer = network(2);
    let mut page = browser.get("/link").await;
    if path != "/link/login" {
        let device = Device::request(server, &client).await;
        let consent = device.consent(&mut browser, "alice").await;
        page = match path {
            "/link" => browser.get(path).await,
            _ => consent,
        };
    }
    browser.peer = peer;
    let form = page.form(path).with(&[("action", "allow")]);
    let form = match path {
        "/link/login" => form.with(&[("user", "nobody"), ("password", "x")]),
        _ => form,
    };
    browser.submit(&form, &[]).await.reply.status
}
