//! UIA sessions: their scope, their stored parameters and their expiry.

use std::time::Duration;

use serde_json::json;
use shared::{
    ids::Localpart,
    uia::{OpenSession, Operation, SessionScope},
};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, TOKEN, TWO_STAGES, another_process, assert_users, count, is_free, new_token,
    registration, stage, token_stage, users, whoami, with,
};

const HOUR: Duration = Duration::from_hours(1);

/// UIA-12, UIA-32, L10
#[tokio::test]
async fn uia_12_an_unknown_session_gets_a_new_one_without_effect() {
    let server = TestServer::new().await;
    let (long, longer) = ("x".repeat(255), "x".repeat(300));
    let junk = ["mine", &long, &longer, "\u{0}\"'<é>", " "];
    for (prefix, session) in PREFIXES
        .iter()
        .flat_map(|prefix| junk.map(|junk| (prefix, junk)))
    {
        let body = with(registration("alice"), &stage(DUMMY, session));
        let fresh = server
            .post(&format!("{prefix}/register"), &body)
            .await
            .refused("M_UNKNOWN");
        assert_ne!(fresh["session"], session, "the client chooses no session");
        assert_eq!(fresh["completed"], json!([]), "the stage is not completed");
        assert_users(&server, &[]);
    }
    // The new session is valid.
    let lost = server
        .register(&with(registration("alice"), &stage(DUMMY, "mine")))
        .await;
    let fresh = lost.refused("M_UNKNOWN")["session"]
        .as_str()
        .unwrap()
        .to_owned();
    server.register(&stage(DUMMY, &fresh)).await.ok();
    assert_users(&server, &["alice"]);
}

/// UIA-12, UIA-32: a session expires according to the clock, whether TTL has removed its row or not.
#[tokio::test]
async fn uia_32_a_session_expires_after_48_hours_removed_or_not() {
    for sweep in [false, true] {
        let server = TestServer::new().await;
        let (_, session) = server.begin(&registration("alice")).await;
        let move_on = |by| {
            server.local.clock().advance(by);
            if sweep {
                server.advance(Duration::ZERO);
            }
        };
        move_on(Duration::from_millis(48 * 60 * 60 * 1000 - 1));
        server
            .register(&json!({ "auth": { "session": session } }))
            .await
            .challenge();
        move_on(Duration::from_millis(1));
        let fresh = server
            .register(&stage(DUMMY, &session))
            .await
            .refused("M_UNKNOWN");
        assert_ne!(fresh["session"], session.as_str());
        assert_eq!(fresh["completed"], json!([]));
        assert_users(&server, &[]);
        let page = format!(
            "{}/auth/{DUMMY}/fallback/web?session={session}",
            PREFIXES[1]
        );
        assert_eq!(server.get(&page).await.status, 404);
    }
}

#[tokio::test]
async fn uia_32_activity_does_not_prolong_a_session() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.advance(47 * HOUR);
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    server.advance(HOUR);
    server
        .register(&stage(DUMMY, &session))
        .await
        .refused("M_UNKNOWN");
    assert_users(&server, &[]);
}

#[tokio::test]
async fn uia_32_a_session_outlives_the_process_that_started_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::in_directory(&[TWO_STAGES], directory.path()).await;
    let token = new_token(&server, &[]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    drop(server);
    let server = TestServer::in_directory(&[TWO_STAGES], directory.path()).await;
    let second = server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert_eq!(second["completed"], json!([TOKEN]));
    drop(server);
    let server = TestServer::in_directory(&[TWO_STAGES], directory.path()).await;
    let answer = server.register(&stage(DUMMY, &session)).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
}

/// UIA-13, UIA-14, incident 15 (UIA started for one operation finished another)
#[tokio::test]
async fn uia_13_a_session_of_another_operation_makes_no_account() {
    let server = TestServer::new().await;
    let app = another_process(&server);
    let with_user = SessionScope {
        user: Some((Localpart::stored("alice").unwrap(), 1)),
        ..SessionScope::register()
    };
    let other_target = SessionScope {
        operation: Operation::DeleteDevice("PHONE".to_owned()),
        ..SessionScope::register()
    };
    let other_act = SessionScope {
        operation: Operation::Deactivate,
        ..SessionScope::register()
    };
    for scope in [with_user, other_target, other_act] {
        let has_user = scope.user.is_some();
        let mut foreign = OpenSession::start(&app, scope);
        foreign.save(&app).await.unwrap();
        for body in [
            with(registration("alice"), &stage(DUMMY, foreign.id().reveal())),
            with(
                registration("alice"),
                &json!({ "auth": { "session": foreign.id().reveal() } }),
            ),
        ] {
            let reply = server.register(&body).await;
            // The session of a user does not exist for a request without the user's token.
            if has_user {
                reply.refused("M_UNKNOWN");
            } else {
                reply.error(403, "M_FORBIDDEN");
            }
        }
        let kept = OpenSession::find(&app, foreign.id())
            .await
            .unwrap()
            .unwrap();
        assert!(!kept.is_finished() && kept.state.completed.is_empty());
    }
    assert_users(&server, &[]);
}

/// UIA-19, REG-17, REG-19
#[tokio::test]
async fn uia_19_the_first_parameters_are_stored() {
    let parameters = json!({
        "username": "alice", "password": PASSWORD, "device_id": "PHONE",
        "initial_device_display_name": "my phone", "refresh_token": true, "bind_email": false,
    });
    for with_type in [false, true] {
        for prefix in PREFIXES {
            let server = TestServer::new().await;
            let path = format!("{prefix}/register");
            let first = server.post(&path, &parameters).await.challenge();
            let session = first["session"].as_str().unwrap();
            if !with_type {
                let page = format!("{prefix}/auth/{DUMMY}/fallback/web?session={session}");
                let done = server
                    .send(http::Request::post(page).body(Vec::new()).unwrap())
                    .await;
                assert_eq!(done.status, 200);
            }
            let last = if with_type {
                stage(DUMMY, session)
            } else {
                json!({ "auth": { "session": session } })
            };
            let answer = server.post(&path, &last).await.ok();
            assert_eq!(answer["user_id"], "@alice:localhost");
            assert_eq!(answer["device_id"], "PHONE");
            assert!(answer["refresh_token"].is_string());
            assert_eq!(whoami(&server, &answer).await["device_id"], "PHONE");
            let rows = server.local.dynamodb().table("Accounts").unwrap();
            let device = rows
                .iter()
                .find(|row| row["sk"]["S"] == "DEV#PHONE")
                .unwrap();
            assert_eq!(device["display_name"]["S"], "my phone");
            assert_users(&server, &["alice"]);
        }
    }
}

#[tokio::test]
async fn uia_19_inhibit_login_is_stored() {
    let server = TestServer::new().await;
    let parameters = with(registration("alice"), &json!({ "inhibit_login": true }));
    let (_, session) = server.begin(&parameters).await;
    let answer = server.register(&stage(DUMMY, &session)).await.ok();
    assert_eq!(
        answer,
        json!({ "user_id": "@alice:localhost", "home_server": "localhost" })
    );
    let rows = &users(&server)["alice"];
    assert_eq!(rows.iter().collect::<Vec<_>>(), ["A", "PW"]);
}

#[tokio::test]
async fn uia_20_later_parameters_are_validated_again() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    server.sign_up("taken").await;
    let (_, session) = server.begin(&registration("alice")).await;
    for (change, code) in [
        (json!({ "username": "taken" }), "M_USER_IN_USE"),
        (json!({ "username": "TAKEN" }), "M_USER_IN_USE"),
        (json!({ "username": "b@d" }), "M_INVALID_USERNAME"),
        (json!({ "username": "_x" }), "M_INVALID_USERNAME"),
        (json!({ "password": "alice" }), "M_WEAK_PASSWORD"),
        (json!({ "device_id": "a\u{0}b" }), "M_INVALID_PARAM"),
        (json!({ "inhibit_login": "yes" }), "M_BAD_JSON"),
    ] {
        let body = with(change, &stage(DUMMY, &session));
        server.register(&body).await.error(400, code);
    }
    assert_users(&server, &["taken"]);
    let last = with(json!({ "username": "bob" }), &stage(DUMMY, &session));
    assert_eq!(
        server.register(&last).await.ok()["user_id"],
        "@bob:localhost"
    );
    assert_users(&server, &["bob", "taken"]);
}

/// UIA-20: a password that equals the username is rejected, even if they were sent in different requests.
#[tokio::test]
async fn uia_20_a_later_name_is_checked_with_the_stored_password() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    let password = "zanzibarian-marmalade";
    let (_, session) = server.begin(&json!({ "password": password })).await;
    let last = with(json!({ "username": password }), &stage(DUMMY, &session));
    server.register(&last).await.error(400, "M_WEAK_PASSWORD");
    assert_users(&server, &[]);
}

#[tokio::test]
async fn reg_36_a_display_name_alone_deletes_nothing() {
    let server = TestServer::new().await;
    let parameters = with(
        registration("alice"),
        &json!({ "device_id": "PHONE", "inhibit_login": false }),
    );
    let (_, session) = server.begin(&parameters).await;
    let serial = json!({ "initial_device_display_name": "later", "auth": { "session": session } });
    server.register(&serial).await.challenge();
    let answer = server.register(&stage(DUMMY, &session)).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
    assert_eq!(answer["device_id"], "PHONE");
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let device = rows
        .iter()
        .find(|row| row["sk"]["S"] == "DEV#PHONE")
        .unwrap();
    assert_eq!(device["display_name"]["S"], "later");
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn reg_23_a_missing_password_is_reported_at_the_end() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&json!({ "username": "alice" })).await;
    server
        .register(&stage(DUMMY, &session))
        .await
        .error(400, "M_MISSING_PARAM");
    assert_users(&server, &[]);
    let once = json!({ "username": "alice", "auth": { "type": DUMMY } });
    server.register(&once).await.error(400, "M_MISSING_PARAM");
    let last = json!({ "password": PASSWORD, "auth": { "session": session } });
    assert_eq!(
        server.register(&last).await.ok()["user_id"],
        "@alice:localhost"
    );
    assert_users(&server, &["alice"]);
}

#[tokio::test]
async fn reg_15_the_steps_before_the_last_reserve_nothing() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    assert!(is_free(&server, "alice").await);
    let (_, other) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&other)))
        .await
        .challenge();
    assert_eq!(
        server.register(&stage(DUMMY, &other)).await.ok()["user_id"],
        "@alice:localhost"
    );
    assert_users(&server, &["alice"]);
}

/// L12 (request bodies of abandoned sessions are kept for ever)
#[tokio::test]
async fn l12_abandoned_sessions_leave_nothing_behind() {
    let server = TestServer::new().await;
    for number in 0..300 {
        server.begin(&registration(&format!("user{number}"))).await;
    }
    assert_eq!(count(&server, "UiaSessions"), 300);
    server.advance(Duration::from_secs(48 * 60 * 60 - 1));
    assert_eq!(count(&server, "UiaSessions"), 300);
    server.advance(Duration::from_secs(1));
    assert_eq!(count(&server, "UiaSessions"), 0);
    assert_eq!(count(&server, "Accounts"), 0);
}
