//! Two equal final requests: one request overtakes the other at each of its calls. These tests force the
//! order of calls that the race tests cause only by chance. The request that is overtaken gets the same
//! bytes.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::flows::{
    races::{delayed, send_overtaken, start_delayed},
    support::{
        DUMMY, TWO_STAGES, assert_complete, flows, new_token, registration, stage, token_stage,
        users, uses_left, with,
    },
};

async fn guest_upgrade(server: &TestServer) -> Value {
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(path, &json!({})).await.ok();
    let name = guest["user_id"].as_str().unwrap();
    let name = name.strip_prefix('@').unwrap().split(':').next().unwrap();
    with(
        registration(name),
        &json!({ "guest_access_token": guest["access_token"] }),
    )
}

/// UIA-15: the other final request runs before any one of the reads and writes of this request.
#[tokio::test]
async fn uia_15_an_overtaken_final_gets_the_same_bytes() {
    for parameters in [registration("alice"), json!({ "password": PASSWORD })] {
        for at in [("BatchGetItem", 1), ("TransactWriteItems", 1)] {
            let server = Arc::new(TestServer::new().await);
            let (_, session) = server.begin(&parameters).await;
            let (slow, quick) = send_overtaken(&server, at, &stage(DUMMY, &session)).await;
            quick.ok();
            assert_eq!(slow.text(), quick.text(), "{at:?}");
            assert_eq!(users(&server).len(), 1);
            assert_complete(&users(&server));
        }
    }
}

/// UIA-15, UIA-60
#[tokio::test]
async fn uia_15_an_overtaken_final_accepts_its_duplicates_token() {
    for parameters in [registration("alice"), json!({ "password": PASSWORD })] {
        for at in [("BatchGetItem", 1), ("Query", 1), ("TransactWriteItems", 1)] {
            let server = Arc::new(TestServer::with(&[TWO_STAGES]).await);
            let token = new_token(&server, &["--uses", "1"]).await;
            let (_, session) = server.begin(&parameters).await;
            server
                .register(&token_stage(&token, Some(&session)))
                .await
                .challenge();
            let (slow, quick) = send_overtaken(&server, at, &stage(DUMMY, &session)).await;
            quick.ok();
            assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
            assert_eq!(slow.text(), quick.text(), "{at:?}");
        }
    }
}

/// UIA-15, UIA-60: the stage of the token is the last stage.
#[tokio::test]
async fn uia_15_an_overtaken_final_with_the_token_gets_same_bytes() {
    for at in [("BatchGetItem", 1), ("Query", 1), ("TransactWriteItems", 1)] {
        let offered = flows("m.login.dummy+m.login.registration_token");
        let server = Arc::new(TestServer::with(&[offered]).await);
        let token = new_token(&server, &["--uses", "1"]).await;
        let (_, session) = server.begin(&registration("alice")).await;
        server.register(&stage(DUMMY, &session)).await.challenge();
        let last = token_stage(&token, Some(&session));
        let (slow, quick) = send_overtaken(&server, at, &last).await;
        quick.ok();
        assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
        assert_eq!(slow.text(), quick.text(), "{at:?}");
    }
}

/// UIA-15, GUEST-08
#[tokio::test]
async fn uia_15_an_overtaken_guest_upgrade_gets_the_same_bytes() {
    for at in [
        ("BatchGetItem", 1),
        ("BatchGetItem", 2),
        ("TransactWriteItems", 1),
    ] {
        let server = Arc::new(TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await);
        let parameters = guest_upgrade(&server).await;
        let (_, session) = server.begin(&parameters).await;
        let (slow, quick) = send_overtaken(&server, at, &stage(DUMMY, &session)).await;
        quick.ok();
        assert_eq!(users(&server).len(), 1);
        assert_eq!(slow.text(), quick.text(), "{at:?}");
    }
}

/// UIA-09, UIA-15: a poll changes the session without finishing it. No completed stage and no parameter
/// of the session is lost.
#[tokio::test]
async fn uia_15_a_final_overtaken_by_a_poll_makes_one_account() {
    let server = Arc::new(TestServer::with(&[TWO_STAGES]).await);
    let token = new_token(&server, &["--uses", "1"]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    let last = stage(DUMMY, &session);
    let own = Arc::clone(&server);
    let fault = delayed("Register", "TransactWriteItems");
    let slow = start_delayed(&server, fault, async move { own.register(&last).await }).await;
    let poll = json!({ "device_id": "OTHER", "auth": { "session": session } });
    server.register(&poll).await.challenge();
    let answer = slow.await.unwrap().ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
    assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
}
