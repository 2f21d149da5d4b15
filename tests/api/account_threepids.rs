//! Helpers that validate, add, list and remove the 3PIDs of an account.
//!
//! As in `threepids`, the content of messages is computed from the row of the session.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::{
    support::{password_login, post_as, text, with},
    threepids::{MAIL, SMS, submit, token},
};

/// The path that lists 3PIDs, and adds a 3PID with the deprecated request.
pub(crate) const LIST: &str = "/_matrix/client/v3/account/3pid";
/// The path that adds a 3PID, after UIA.
pub(crate) const ADD: &str = "/_matrix/client/v3/account/3pid/add";
/// The path that removes a 3PID.
pub(crate) const DELETE: &str = "/_matrix/client/v3/account/3pid/delete";

pub(crate) const ALICE: &str = "alice@example.org";
pub(crate) const BOB: &str = "bob@example.org";
pub(crate) const NUMBER: &str = "447400123456";

/// A server that sends e-mails and text messages, with these settings.
pub(crate) async fn test_server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&[MAIL, SMS], settings].concat()).await
}

/// Signs up a user and returns the access token.
pub(crate) async fn user_token(server: &TestServer, name: &str) -> String {
    text(&server.sign_up(name).await, "access_token").to_owned()
}

/// The medium of a 3PID.
pub(crate) fn medium(address: &str) -> &'static str {
    if address.contains('@') {
        "email"
    } else {
        "msisdn"
    }
}

/// The path and body of a request for a message that adds this 3PID.
pub(crate) fn validation_request(address: &str, secret: &str) -> (String, Value) {
    let kind = medium(address);
    let path = format!("/_matrix/client/v3/account/3pid/{kind}/requestToken");
    let common = json!({ "client_secret": secret, "send_attempt": 1 });
    let own = match kind {
        "email" => json!({ "email": address }),
        _ => json!({ "country": "GB", "phone_number": format!("+{address}") }),
    };
    (path, with(common, &own))
}

/// Requests a message that adds a 3PID and returns the credentials of its session.
pub(crate) async fn request_validation(server: &TestServer, address: &str, secret: &str) -> Value {
    let (path, body) = validation_request(address, secret);
    let answer = server.post(&path, &body).await.ok();
    json!({ "sid": answer["sid"], "client_secret": secret })
}

/// Validates a session with the token of its last message.
pub(crate) async fn validate(server: &TestServer, address: &str, creds: &Value) {
    let (sid, secret) = (text(creds, "sid"), text(creds, "client_secret"));
    let token = token(server, medium(address), sid);
    submit(server, medium(address), sid, secret, &token)
        .await
        .ok();
}

/// The credentials of a validated session that adds a 3PID.
pub(crate) async fn validated_credentials(
    server: &TestServer,
    address: &str,
    secret: &str,
) -> Value {
    let creds = request_validation(server, address, secret).await;
    validate(server, address, &creds).await;
    creds
}

/// Adds a 3PID with the deprecated request.
pub(crate) async fn add(server: &TestServer, token: &str, creds: &Value) -> Reply {
    post_as(server, token, LIST, &json!({ "three_pid_creds": creds })).await
}

/// Validates and adds a 3PID.
pub(crate) async fn add_threepid(server: &TestServer, token: &str, address: &str) {
    let creds = validated_credentials(server, address, "added").await;
    assert_eq!(add(server, token, &creds).await.ok(), json!({}));
}

/// The body that adds a 3PID with a password in the same request.
pub(crate) fn with_password(name: &str, creds: &Value) -> Value {
    let auth = password_login(name, PASSWORD);
    with(creds.clone(), &json!({ "auth": auth }))
}

/// Removes a 3PID.
pub(crate) async fn remove(server: &TestServer, token: &str, address: &str) -> Reply {
    let body = json!({ "medium": medium(address), "address": address });
    post_as(server, token, DELETE, &body).await
}

/// The 3PIDs in a user's list, sorted.
pub(crate) async fn list(server: &TestServer, token: &str) -> Vec<String> {
    let answer = server.get_as(token, LIST).await.ok();
    let all = answer["threepids"].as_array().unwrap();
    let mut all: Vec<String> = all
        .iter()
        .map(|own| text(own, "address").to_owned())
        .collect();
    all.sort();
    all
}
