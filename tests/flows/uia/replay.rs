//! Finished sessions: the response is replayed to the request that finished the session and to no
//! other request.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::support::{
    DUMMY, TWO_STAGES, assert_users, new_token, page, registration, stage, submit, token_stage,
    uses_left, whoami, with,
};

const TEN_MINUTES: Duration = Duration::from_mins(10);
const A_MOMENT: Duration = Duration::from_millis(1);

/// Finishes a session. Returns the session, the final request and its response.
async fn finish(server: &TestServer, registration: &Value) -> (String, Value, Reply) {
    let (_, session) = server.begin(registration).await;
    let last = stage(DUMMY, &session);
    let reply = server.register(&last).await;
    reply.ok();
    (session, last, reply)
}

/// UIA-15
#[tokio::test]
async fn uia_15_the_same_request_gets_the_same_bytes_for_ten_minutes() {
    let server = TestServer::new().await;
    let (session, last, first) = finish(&server, &registration("alice")).await;
    for wait in [
        Duration::ZERO,
        A_MOMENT,
        Duration::from_millis(10 * 60 * 1000 - 2),
    ] {
        server.advance(wait);
        for prefix in PREFIXES {
            let again = server.post(&format!("{prefix}/register"), &last).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body));
        }
    }
    // A body with its members in another order is the same request.
    let reordered = format!(r#"{{ "auth" : {{"session":"{session}", "type":"{DUMMY}"}} }}"#);
    let again = server
        .post_text("/_matrix/client/v3/register", &reordered)
        .await;
    assert_eq!(again.body, first.body);
    assert_eq!(
        whoami(&server, &again.ok()).await["user_id"],
        "@alice:localhost"
    );
    server.advance(A_MOMENT);
    server.register(&last).await.error(400, "M_INVALID_PARAM");
    assert_users(&server, &["alice"]);
}

/// UIA-15, L7 (a finished session is accepted again with another body)
#[tokio::test]
async fn l7_another_request_on_a_finished_session_is_rejected() {
    let server = TestServer::new().await;
    let (session, last, first) = finish(&server, &registration("alice")).await;
    for other in [
        json!({ "auth": { "session": session } }),
        with(json!({ "username": "bob" }), &last),
        with(registration("alice"), &last),
        with(json!({ "password": "another one 4 the road" }), &last),
        with(json!({ "device_id": "OTHER" }), &last),
        with(json!({ "zzz": 1 }), &last),
        stage("m.login.terms", &session),
        stage("x.y", &session),
    ] {
        server.register(&other).await.error(400, "M_INVALID_PARAM");
    }
    let path = page(PREFIXES[1], DUMMY, &session);
    assert_eq!(submit(&server, &path, "").await.status, 200);
    assert_eq!(server.register(&last).await.body, first.body);
    assert_users(&server, &["alice"]);
}

/// L10 (a finished session returns its access token to a client that has only a part of the session ID)
#[tokio::test]
async fn l10_the_response_is_replayed_to_the_full_session_id_only() {
    let server = TestServer::new().await;
    let (session, last, first) = finish(&server, &registration("alice")).await;
    let rows = server.local.dynamodb().table("UiaSessions").unwrap();
    let key = rows[0]["pk"]["S"].as_str().unwrap();
    for guess in [
        key,
        &session[1..],
        &session.to_uppercase(),
        &format!("{session}="),
        &format!("{session} "),
    ] {
        let body = with(json!({ "username": "bob" }), &stage(DUMMY, guess));
        server.register(&body).await.refused("M_UNKNOWN");
    }
    assert_eq!(server.register(&last).await.body, first.body);
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn uia_15_the_response_is_replayed_while_its_token_is_valid() {
    let server = TestServer::with(&[("GATEHOUSE_TOKEN_LIFETIME", "5m")]).await;
    let (_, last, first) = finish(&server, &registration("alice")).await;
    server.advance(Duration::from_millis(5 * 60 * 1000 - 1));
    assert_eq!(server.register(&last).await.body, first.body);
    server.advance(A_MOMENT);
    server.register(&last).await.error(400, "M_INVALID_PARAM");
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn uia_15_a_response_without_a_token_is_replayed_as_well() {
    let server = TestServer::new().await;
    let asked = with(registration("alice"), &json!({ "inhibit_login": true }));
    let (_, last, first) = finish(&server, &asked).await;
    assert_eq!(server.register(&last).await.body, first.body);
    server.advance(TEN_MINUTES);
    server.register(&last).await.error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn uia_15_a_repeat_with_the_name_is_a_replay_and_no_conflict() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&json!({})).await;
    let last = with(registration("alice"), &stage(DUMMY, &session));
    let first = server.register(&last).await;
    first.ok();
    let again = server.register(&last).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    server.advance(TEN_MINUTES);
    server.register(&last).await.error(400, "M_INVALID_PARAM");
    assert_users(&server, &["alice"]);
}

/// UIA-15, UIA-60
#[tokio::test]
async fn uia_15_a_repeat_spends_no_second_use_of_a_token() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &["--uses", "3"]).await;
    let (_, session) = server
        .begin(&json!({ "password": test_support::PASSWORD }))
        .await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    let first = server.register(&stage(DUMMY, &session)).await;
    first.ok();
    for _ in 0..5 {
        assert_eq!(
            server.register(&stage(DUMMY, &session)).await.body,
            first.body
        );
    }
    assert_eq!(uses_left(&server), [2]);
    assert_eq!(crate::flows::support::users(&server).len(), 1);
}

#[tokio::test]
async fn uia_15_a_finished_session_stays_finished_until_it_expires() {
    let server = TestServer::new().await;
    let (_, last, _) = finish(&server, &registration("alice")).await;
    let hour = Duration::from_hours(1);
    for wait in [hour, 47 * hour, 71 * hour] {
        server.advance(wait);
        server.register(&last).await.error(400, "M_INVALID_PARAM");
    }
    server.advance(hour);
    server.register(&last).await.refused("M_UNKNOWN");
    assert_users(&server, &["alice"]);
}
