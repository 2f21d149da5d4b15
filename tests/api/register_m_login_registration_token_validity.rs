//! `GET /register/m.login.registration_token/validity`.

use std::time::Duration;

use serde_json::json;
use test_support::{PASSWORD, TestServer};

const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity";
const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.registration_token+m.login.dummy",
);

async fn is_valid(server: &TestServer, token: &str) -> bool {
    let answer = server.get(&format!("{VALIDITY}?token={token}")).await.ok();
    let valid = answer["valid"]
        .as_bool()
        .unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(answer, json!({ "valid": valid }));
    valid
}

/// Signs up with the token and returns whether the registration succeeded.
async fn sign_up(server: &TestServer, name: &str, token: &str) -> bool {
    let (_, session) = server
        .begin(&json!({ "username": name, "password": PASSWORD }))
        .await;
    let auth = json!({ "type": "m.login.registration_token", "token": token, "session": session });
    server.register(&json!({ "auth": auth })).await.challenge();
    let auth = json!({ "type": "m.login.dummy", "session": session });
    server.register(&json!({ "auth": auth })).await.status == 200
}

#[tokio::test]
async fn rtok_01_only_an_existing_token_is_valid() {
    let server = TestServer::with(&[FLOWS]).await;
    let token = server.registration_token(&[]).await;
    assert!(is_valid(&server, &token).await);
    let long = "a".repeat(65);
    let cut = &token[1..];
    let other_case = token.to_lowercase();
    for junk in [
        "nobody",
        "",
        "%20",
        "a%2Fb",
        "%FF",
        "%00",
        &long,
        cut,
        &other_case,
    ] {
        assert!(!is_valid(&server, junk).await, "{junk}");
    }
}

/// RTOK-01, incident 21: a validity request does not use the token, and each limit is exact.
#[tokio::test]
async fn rtok_01_a_token_is_valid_until_its_last_use_or_expiry() {
    let server = TestServer::with(&[FLOWS]).await;
    let twice = server.registration_token(&["--uses", "2"]).await;
    for name in ["alice", "bob"] {
        for _ in 0..3 {
            assert!(is_valid(&server, &twice).await, "before {name}");
        }
        assert!(sign_up(&server, name, &twice).await);
    }
    assert!(!is_valid(&server, &twice).await);
    assert!(!sign_up(&server, "carol", &twice).await);

    let server = TestServer::with(&[FLOWS]).await;
    let one_hour = server.registration_token(&["--expires-in", "1h"]).await;
    server.advance(Duration::from_millis(3_599_999));
    assert!(is_valid(&server, &one_hour).await);
    server.advance(Duration::from_millis(1));
    assert!(!is_valid(&server, &one_hour).await);
    assert!(!sign_up(&server, "dave", &one_hour).await);
}

#[tokio::test]
async fn rtok_01_a_revoked_token_is_not_valid() {
    let server = TestServer::with(&[FLOWS]).await;
    let token = server.registration_token(&["--uses", "5"]).await;
    assert!(is_valid(&server, &token).await);
    let list = server
        .admin_run(&["registration-tokens", "list"])
        .await
        .unwrap();
    let id = list[0]["id"].as_str().unwrap();
    let revoked = server
        .admin_run(&["registration-tokens", "revoke", id])
        .await;
    assert_eq!(revoked.unwrap(), json!({ "revoked": id }));
    assert!(!is_valid(&server, &token).await);
}

#[tokio::test]
async fn rtok_01_the_token_is_required() {
    let server = TestServer::new().await;
    for query in ["", "?", "?tokens=x", "?Token=x"] {
        let reply = server.get(&format!("{VALIDITY}{query}")).await;
        reply.error(400, "M_MISSING_PARAM");
    }
}

#[tokio::test]
async fn rtok_01_a_closed_server_validates_no_token() {
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let token = server.registration_token(&[]).await;
    for token in [token.as_str(), "nobody"] {
        let (reply, calls) = server
            .calls_of(server.get(&format!("{VALIDITY}?token={token}")))
            .await;
        reply.error(403, "M_FORBIDDEN");
        assert!(calls.is_empty(), "{calls:?}");
    }
}

/// The endpoint is newer than r0 and exists only under v1.
#[tokio::test]
async fn rtok_01_the_path_does_not_exist_under_r0_and_v3() {
    let server = TestServer::new().await;
    for prefix in test_support::PREFIXES {
        let path = format!("{prefix}/register/m.login.registration_token/validity?token=x");
        server.get(&path).await.error(404, "M_UNRECOGNIZED");
    }
}
