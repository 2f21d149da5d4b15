//! `GET /account` and the account pages: HS-09, OA-125 to OA-130, OA-140.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod addresses;
mod changes;
mod devices;
mod forms;
mod pages;

use serde_json::Value;
use test_support::{Reply, TestServer};

use super::support::homeserver::HOMESERVER;
use crate::flows::support::{
    oauth_pages::LEGACY,
    threepid_helpers::{MAIL, SMS},
};

const PATH: &str = "/account";

/// The page of a server with these settings.
async fn page(settings: &[(&str, &str)]) -> Reply {
    let server = TestServer::with(&[&HOMESERVER[..], &[LEGACY], settings].concat()).await;
    let (reply, calls) = server.calls_of(server.get(PATH)).await;
    assert!(calls.is_empty(), "{calls:?}");
    assert_eq!(reply.status, 200);
    reply
}

/// The names of the changes on the page of a server with these settings.
async fn changes(settings: &[(&str, &str)]) -> Vec<String> {
    let page = page(settings).await.text();
    let names = page.split("<strong>").skip(1);
    let names = names.filter_map(|rest| rest.split(".</strong>").next());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn hs_01_without_a_homeserver_the_account_page_is_404() {
    let server = TestServer::with(&[LEGACY]).await;
    let unknown = server.get("/unknown").await;
    let reply = server.get(PATH).await;
    reply.error(404, "M_UNRECOGNIZED");
    assert_eq!(reply.body, unknown.body);
}

#[tokio::test]
async fn hs_09_the_page_is_plain_html_with_the_strict_policy() {
    let reply = page(&[]).await;
    assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(reply.headers["x-frame-options"], "DENY");
    assert_eq!(reply.headers["cache-control"], "no-store");
    let policy = reply.headers["content-security-policy"].to_str();
    let policy = policy.unwrap_or_default();
    for directive in [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "style-src 'sha256-",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("script-src"), "{policy}");
    let page = reply.text();
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("name=\"viewport\""));
    assert!(page.contains("Your account on localhost"));
    for element in ["<script", "<form", "<a ", "<img", "<link"] {
        assert!(!page.contains(element), "{element}");
    }
}

/// Clients add the action that the user has chosen (`action`, `device_id`).
#[tokio::test]
async fn hs_09_a_query_has_no_effect() {
    let server = TestServer::with(&[&HOMESERVER[..], &[LEGACY]].concat()).await;
    let plain = server.get(PATH).await.text();
    for query in [
        "?action=org.matrix.session_end&device_id=PHONE",
        "?action=%3Cscript%3E",
        "?access_token=x",
    ] {
        let reply = server.get(&format!("{PATH}{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, plain.clone()));
    }
}

#[tokio::test]
async fn hs_09_the_page_describes_what_the_settings_permit() {
    let plain = [
        "Change your password",
        "Sign out devices",
        "Deactivate your account",
    ];
    let without_messages = [("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")];
    assert_eq!(changes(&without_messages).await, plain);
    let with_messages = [
        "Change your password",
        "Set a new password if you have forgotten the old one",
        "Sign out devices",
        "Manage your e-mail addresses",
        "Manage your phone numbers",
        "Deactivate your account",
    ];
    assert_eq!(changes(&[MAIL, SMS]).await, with_messages);
    let off = [
        ("GATEHOUSE_PASSWORD_CHANGES", "off"),
        ("GATEHOUSE_3PID_CHANGES", "off"),
        ("GATEHOUSE_DEACTIVATION", "off"),
        MAIL,
        SMS,
    ];
    assert_eq!(changes(&off).await, ["Sign out devices"]);
}

/// HS-08: the URL in the metadata is the URL of the page.
#[tokio::test]
async fn hs_09_discovery_leads_to_the_page() {
    let public = ("GATEHOUSE_PUBLIC_URL", "https://example.org");
    let server = TestServer::with(&[&HOMESERVER[..], &[public]].concat()).await;
    let metadata: Value = server.get("/.well-known/openid-configuration").await.ok();
    let url = metadata["account_management_uri"].as_str();
    let path = url.and_then(|url| url.strip_prefix(public.1));
    assert_eq!(path, Some(PATH));
}
