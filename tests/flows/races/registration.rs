//! Concurrent registrations. `random_faults` adds conflicts and faults.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, TWO_STAGES, assert_complete, assert_users, at_once, count,
    flows, is_free, new_token, page, register_at_once, registration, serial, stage, tallied, tally,
    token_stage, users, uses_left, whoami, with,
};

const ONE_STAGE: (&str, &str) = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.registration_token");
const MANY: usize = 100;

/// Asserts that all responses are the same 200 and returns its body.
#[track_caller]
fn assert_equal_replies(replies: &[Reply]) -> Value {
    let first = replies[0].ok();
    for reply in replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.text(), replies[0].text());
    }
    first
}

/// REG-14, incident 26 (registration "succeeded" for existing users)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reg_14_of_a_hundred_racing_sign_ups_for_one_name_one_wins() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::new().await);
    let one = with(registration("alice"), &json!({ "auth": { "type": DUMMY } }));
    let replies = register_at_once(&server, MANY, |_| one.clone()).await;
    assert_eq!(
        tally(&replies),
        tallied(&[(200, "", 1), (400, "M_USER_IN_USE", MANY - 1)])
    );
    assert_users(&server, &["alice"]);
    assert_eq!(
        (count(&server, "Accounts"), count(&server, "UiaSessions")),
        (3, 0)
    );
    let winner = replies.iter().find(|reply| reply.status == 200).unwrap();
    assert_eq!(
        whoami(&server, &winner.json()).await["user_id"],
        "@alice:localhost"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reg_14_of_a_hundred_racing_sessions_for_one_name_one_wins() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::new().await);
    let mut sessions = Vec::new();
    for number in 0..MANY {
        // The same name in two spellings (REG-11).
        let name = if number % 2 == 0 { "alice" } else { "ALICE" };
        sessions.push(server.begin(&registration(name)).await.1);
    }
    let replies = register_at_once(&server, MANY, |number| stage(DUMMY, &sessions[number])).await;
    assert_eq!(
        tally(&replies),
        tallied(&[(200, "", 1), (400, "M_USER_IN_USE", MANY - 1)])
    );
    assert_users(&server, &["alice"]);
    assert_eq!(
        (count(&server, "Accounts"), count(&server, "UiaSessions")),
        (3, MANY)
    );
    // The sessions of the rejected requests are still valid, and each can register another name.
    let rest = register_at_once(&server, MANY, |number| {
        with(
            json!({ "username": format!("user{number}") }),
            &stage(DUMMY, &sessions[number]),
        )
    })
    .await;
    assert_eq!(
        tally(&rest),
        tallied(&[(200, "", MANY - 1), (400, "M_INVALID_PARAM", 1)])
    );
    assert_complete(&users(&server));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_a_hundred_finals_of_one_session_get_the_same_bytes() {
    let _serial = serial().await;
    let nameless = json!({ "password": PASSWORD });
    let without_login = with(registration("alice"), &json!({ "inhibit_login": true }));
    for (parameters, devices) in [
        (registration("alice"), 1),
        (nameless, 1),
        (without_login, 0),
    ] {
        let server = Arc::new(TestServer::new().await);
        let (_, session) = server.begin(&parameters).await;
        let replies = register_at_once(&server, MANY, |_| stage(DUMMY, &session)).await;
        assert_equal_replies(&replies);
        assert_eq!(users(&server).len(), 1, "{parameters}");
        assert_eq!(
            (count(&server, "Accounts"), count(&server, "UiaSessions")),
            (2 + devices, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_a_hundred_session_only_finals_get_the_same_bytes() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::new().await);
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], DUMMY, &session);
    server
        .send(Request::post(path).body(Vec::new()).unwrap())
        .await;
    let last = json!({ "auth": { "session": session } });
    assert_equal_replies(&register_at_once(&server, MANY, |_| last.clone()).await);
    assert_users(&server, &["alice"]);
}

/// UIA-15, UIA-60, incident 20 (one validation could register several accounts)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_concurrent_finals_spend_a_one_use_token_once() {
    let _serial = serial().await;
    for parameters in [registration("alice"), json!({ "password": PASSWORD })] {
        let server = Arc::new(TestServer::with(&[TWO_STAGES]).await);
        let token = new_token(&server, &["--uses", "1"]).await;
        let (_, session) = server.begin(&parameters).await;
        server
            .register(&token_stage(&token, Some(&session)))
            .await
            .challenge();
        let replies = register_at_once(&server, MANY, |_| stage(DUMMY, &session)).await;
        assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
        assert_equal_replies(&replies);
    }
}

/// The stage of the token is the last stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_concurrent_finals_with_a_token_spend_it_once() {
    let _serial = serial().await;
    let server =
        Arc::new(TestServer::with(&[flows("m.login.dummy+m.login.registration_token")]).await);
    let token = new_token(&server, &["--uses", "1"]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.register(&stage(DUMMY, &session)).await.challenge();
    let replies = register_at_once(&server, MANY, |_| token_stage(&token, Some(&session))).await;
    assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
    assert_equal_replies(&replies);
}

/// GUEST-08, UIA-15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_concurrent_finals_of_a_guest_upgrade_are_equal() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await);
    let guest = server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let name = guest["user_id"]
        .as_str()
        .unwrap()
        .strip_prefix('@')
        .unwrap()
        .split(':')
        .next();
    let parameters = with(
        registration(name.unwrap()),
        &json!({ "guest_access_token": guest["access_token"] }),
    );
    let (_, session) = server.begin(&parameters).await;
    let replies = register_at_once(&server, MANY, |_| stage(DUMMY, &session)).await;
    let answer = assert_equal_replies(&replies);
    assert_eq!(answer["user_id"], guest["user_id"]);
    assert_eq!(whoami(&server, &answer).await["is_guest"], false);
}

/// UIA-60, L5 (the validity test and the increment are two steps)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l5_a_hundred_sign_ups_with_a_one_use_token_make_one_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[ONE_STAGE]).await);
    let token = new_token(&server, &["--uses", "1"]).await;
    let replies = register_at_once(&server, MANY, |number| {
        with(
            registration(&format!("user{number}")),
            &token_stage(&token, None),
        )
    })
    .await;
    assert_eq!(
        tally(&replies),
        tallied(&[(200, "", 1), (401, "M_UNAUTHORIZED", MANY - 1)])
    );
    for reply in replies.iter().filter(|reply| reply.status == 401) {
        assert_eq!(reply.refused("M_UNAUTHORIZED")["completed"], json!([]));
    }
    assert_eq!(uses_left(&server), [0]);
    assert_complete(&users(&server));
    assert_eq!(users(&server).len(), 1);
}

/// UIA-60: each request has a different session, in which the stage of the token was completed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_60_many_sessions_with_a_one_use_token_make_one_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[TWO_STAGES]).await);
    let token = new_token(&server, &["--uses", "1"]).await;
    let mut sessions = Vec::new();
    for number in 0..MANY {
        let (_, session) = server.begin(&registration(&format!("user{number}"))).await;
        server
            .register(&token_stage(&token, Some(&session)))
            .await
            .challenge();
        sessions.push(session);
    }
    let replies = register_at_once(&server, MANY, |number| stage(DUMMY, &sessions[number])).await;
    assert_eq!(
        tally(&replies),
        tallied(&[(200, "", 1), (401, "M_UNAUTHORIZED", MANY - 1)])
    );
    for (reply, session) in replies
        .iter()
        .zip(&sessions)
        .filter(|(reply, _)| reply.status == 401)
    {
        assert_eq!(
            reply.json()["session"],
            session.as_str(),
            "the session stays the same"
        );
    }
    assert_eq!((users(&server).len(), uses_left(&server)), (1, vec![0]));
    let users = users(&server);
    for number in 0..MANY {
        let name = format!("user{number}");
        assert_ne!(is_free(&server, &name).await, users.contains_key(&name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_60_a_token_in_shares_is_neither_overspent_nor_blocked() {
    let _serial = serial().await;
    for (uses, shares) in [(40, 2), (1000, 16)] {
        let server = Arc::new(TestServer::with(&[ONE_STAGE]).await);
        let token = new_token(&server, &["--uses", &uses.to_string()]).await;
        assert_eq!(uses_left(&server).len(), shares);
        let replies = register_at_once(&server, MANY, |number| {
            with(
                registration(&format!("user{number}")),
                &token_stage(&token, None),
            )
        })
        .await;
        let expected = MANY.min(uses);
        assert_eq!(users(&server).len(), expected);
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 200).count(),
            expected
        );
        let left = uses_left(&server);
        assert!(left.iter().all(|left| *left >= 0), "{left:?}");
        assert_eq!(
            usize::try_from(left.iter().sum::<i64>()).unwrap(),
            uses - expected
        );
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            reply.refused("M_UNAUTHORIZED");
        }
    }
}

/// UIA-15: the requests have one session and different parameters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_racing_finals_with_different_names_make_one_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::new().await);
    let (_, session) = server.begin(&json!({ "password": PASSWORD })).await;
    let replies = register_at_once(&server, 50, |number| {
        with(
            json!({ "username": format!("user{number}") }),
            &stage(DUMMY, &session),
        )
    })
    .await;
    assert_eq!(
        tally(&replies),
        tallied(&[(200, "", 1), (400, "M_INVALID_PARAM", 49)])
    );
    assert_complete(&users(&server));
    assert_eq!(users(&server).len(), 1);
}

/// UIA-32, UIA-72: two stages are completed concurrently, on pages with both prefixes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_32_two_stages_completed_at_once_are_both_remembered() {
    let _serial = serial().await;
    let offered = flows(
        "m.login.terms+m.login.registration_token m.login.registration_token+m.login.terms+m.login.dummy",
    );
    for _ in 0..10 {
        let server = Arc::new(TestServer::with(&[offered, POLICIES]).await);
        let token = new_token(&server, &["--uses", "1"]).await;
        let (_, session) = server.begin(&registration("alice")).await;
        at_once(20, |number| {
            let server = Arc::clone(&server);
            let (kind, form) = if number % 2 == 0 {
                (TERMS, String::new())
            } else {
                (TOKEN, format!("token={token}"))
            };
            let path = page(PREFIXES[number % 2], kind, &session);
            async move {
                let reply = crate::flows::support::submit(&server, &path, &form).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        })
        .await;
        server
            .register(&json!({ "auth": { "session": session } }))
            .await
            .ok();
        assert_users(&server, &["alice"]);
        assert_eq!(uses_left(&server), [0]);
    }
}
