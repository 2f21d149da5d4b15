//! The scenario with devices and their tokens: every login, every logout, the first use of a refreshed
//! token at every endpoint that accepts a token, and the removal of logged-out devices.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use http::Request;
use serde_json::{Value, json};
use shared::{clock::Clock, secrets::KeyPurpose};
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::start_every_function;
use crate::{
    api::support::{
        homeserver::{FunctionUrl, set_homeserver_state},
        post_as, request, text,
    },
    flows::support::{
        account_helpers::{DEACTIVATE_PATH, LOGIN, login_of, password_of},
        page, submit,
    },
};

/// The methods and paths of endpoints that accept a user's token.
const UIA_PROTECTED: [(&str, &str); 7] = [
    ("GET", "account/whoami"),
    ("GET", "capabilities"),
    ("GET", "devices"),
    ("GET", "devices/PHONE"),
    ("PUT", "devices/PHONE"),
    ("DELETE", "devices/PHONE"),
    ("GET", "account/3pid"),
];

/// `POST` endpoints that accept a token. The test sends an empty object, which is rejected.
const POSTED: [&str; 8] = [
    "delete_devices",
    "account/password",
    "account/deactivate",
    "account/3pid",
    "account/3pid/add",
    "account/3pid/bind",
    "account/3pid/delete",
    "account/3pid/unbind",
];

async fn log_in(server: &TestServer, device: &str) -> Value {
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = device.into();
    server.post(LOGIN, &body).await.ok()
}

/// Returns an access token of a refresh that has never been used.
async fn unused_token(server: &TestServer, device: &str) -> String {
    let pair = log_in(server, device).await;
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let next = server.post("/_matrix/client/v3/refresh", &body).await.ok();
    text(&next, "access_token").to_owned()
}

/// Exhausts the password attempts of all networks together.
pub(super) fn exhaust_attempts(server: &TestServer, key: &str) {
    let config = server.local.config();
    let hash = config.keys.hash(KeyPurpose::LimitKey, key.as_bytes());
    let far = (server.local.clock().now().0 + 1_000_000_000).to_string();
    server.raw_dynamodb(
        "PutItem",
        &json!({
            "TableName": format!("{}-limits", config.tables),
            "Item": { "pk": { "S": format!("account-guess#{hash}") }, "tat": { "N": far } },
        }),
    );
}

/// Causes password checks without a token while the attempts of all networks together are exhausted.
async fn log_in_with_exhausted_attempts(server: &TestServer) {
    server.advance(Duration::from_hours(1));
    exhaust_attempts(server, "alice");
    log_in(server, "PHONE").await;
    let auth = password_of("alice", "wrong", None);
    let attempt = server.post(DEACTIVATE_PATH, &json!({ "auth": auth })).await;
    attempt.refused("M_FORBIDDEN");
    let challenge = server.post(DEACTIVATE_PATH, &json!({})).await.challenge();
    let session = text(&challenge, "session");
    let path = page(PREFIXES[1], "m.login.password", session);
    submit(server, &path, "user=alice&password=wrong").await;
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let addresses = (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity m.login.msisdn",
    );
    let directory = tempfile::tempdir().unwrap();
    let limits = ("GATEHOUSE_LIMITS", "on");
    let server = TestServer::in_directory(&[addresses, limits], directory.path()).await;
    server.sign_up("alice").await;
    drop(server);
    let cost = ("GATEHOUSE_ARGON2", "m=16,t=1,p=1");
    let server = TestServer::in_directory(&[addresses, limits, cost], directory.path()).await;
    start_every_function(&server).await;
    let by_address = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "medium": "email", "address": "nobody@example.org" },
    });
    server
        .post(LOGIN, &by_address)
        .await
        .error(403, "M_FORBIDDEN");
    for (method, path) in UIA_PROTECTED {
        let token = unused_token(&server, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body: &[u8] = if method == "PUT" {
            b"{\"display_name\":\"x\"}"
        } else {
            b""
        };
        server.send(request(method, &path, &headers, body)).await;
    }
    for path in POSTED {
        let token = unused_token(&server, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        post_as(&server, &token, &path, &json!({})).await;
    }
    let token = unused_token(&server, "PHONE").await;
    set_homeserver_state(&server, "alice", "provisioned");
    assert!(FunctionUrl::of(&server).is_active(&token).await);
    set_homeserver_state(&server, "alice", "none");
    log_in_with_exhausted_attempts(&server).await;
    server.advance(Duration::from_hours(1));
    for path in ["logout", "logout/all"] {
        let token = unused_token(&server, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        server.send(request.body(Vec::new()).unwrap()).await.ok();
    }
    server.deliver().await;
    server.local.proxy().used()
}
