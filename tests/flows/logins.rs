//! Logins: all failed logins are indistinguishable. Concurrent logins are tested in `races`.

mod password_guessing;

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::{
    api::support::{add_appservice, post_as, register_as, rows_of, set_status, text},
    flows::support::{
        account_helpers::{
            ADDRESSES, Device, LOGIN, log_in, login_of, sign_up, sign_up_with, try_login,
        },
        threepid_helpers::{EMAIL, MSISDN},
    },
};

/// The effect of a login: its response, and the operation and tables of each call in order.
type Observation = (Value, Vec<(String, Vec<String>)>);

async fn seen(server: &TestServer, body: &Value) -> Observation {
    // After this time the quotas are full, as before the first attempt.
    server.advance(Duration::from_hours(1));
    let (reply, calls) = server.calls_of(server.post(LOGIN, body)).await;
    let mut calls: Vec<_> = calls
        .into_iter()
        .map(|call| (call.operation, call.tables))
        .collect();
    // The order of parallel calls is not deterministic.
    calls.sort();
    (reply.error(403, "M_FORBIDDEN"), calls)
}

fn by_address(medium: &str, address: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.thirdparty", "medium": medium, "address": address },
    })
}

/// UIA-45, UIA-46, DIS-23, incident 19, incident 32, L15: rate limits are on, so that their calls are
/// compared too.
#[tokio::test]
async fn login_04_failed_logins_are_indistinguishable_by_calls() {
    let settings = [
        &ADDRESSES[..],
        &[("GATEHOUSE_LIMITS", "on"), ("GATEHOUSE_GUESTS", "true")],
    ];
    let server = TestServer::with(&settings.concat()).await;
    let service = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &service, "irc_bot").await.ok();
    sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    sign_up_with(&server, "carol", MSISDN, "07400 123456").await;
    sign_up_with(&server, "dead", EMAIL, "dead@example.org").await;
    set_status(&server, "dead", "deactivated");
    sign_up(&server, "locked").await;
    set_status(&server, "locked", "locked");
    let guest = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(guest, &json!({})).await.ok();

    let wrong = seen(&server, &login_of("alice", "wrong")).await;
    for (name, password) in [
        ("nobody", PASSWORD),
        ("dead", PASSWORD),
        ("dead", ""),
        ("locked", "wrong"),
        (text(&guest, "user_id"), PASSWORD),
        (text(&guest, "user_id"), ""),
        ("irc_bot", PASSWORD),
        ("irc_bot", ""),
        ("ircbot", PASSWORD),
        ("alice", ""),
        ("alice", &"a".repeat(5000)),
        ("@alice:elsewhere.example", PASSWORD),
        ("not a name", PASSWORD),
        ("", PASSWORD),
    ] {
        assert_eq!(
            seen(&server, &login_of(name, password)).await,
            wrong,
            "{name}"
        );
    }
    let wrong = seen(&server, &by_address("email", "alice@example.org", "wrong")).await;
    for (medium, address) in [
        ("email", "nobody@example.org"),
        ("email", "dead@example.org"),
        ("msisdn", "447400123456"),
        ("msisdn", "447400123457"),
    ] {
        let body = by_address(medium, address, "nonsense");
        assert_eq!(seen(&server, &body).await, wrong, "{address}");
    }
    let answer = &wrong.0;
    assert_eq!(seen(&server, &login_of("alice", "wrong")).await.0, *answer);
}

/// TOK-14: only a client with the right password is informed of the lock; the tokens are kept.
#[tokio::test]
async fn tok_14_a_lock_is_disclosed_with_the_right_password_only() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    set_status(&server, "alice", "locked");
    try_login(&server, "alice", "wrong")
        .await
        .error(403, "M_FORBIDDEN");
    let body = try_login(&server, "alice", PASSWORD)
        .await
        .error(401, "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true);
    set_status(&server, "alice", "active");
    assert!(alice.is_valid(&server).await);
    log_in(&server, "alice", PASSWORD).await;
}

/// TOK-14: a locked user may log out.
#[tokio::test]
async fn tok_14_a_locked_account_logs_out() {
    for path in ["logout", "logout/all"] {
        let server = TestServer::new().await;
        let alice = sign_up(&server, "alice").await;
        set_status(&server, "alice", "locked");
        let path = format!("/_matrix/client/v3/{path}");
        alice.post(&server, &path, &json!({})).await.ok();
        set_status(&server, "alice", "active");
        assert!(!alice.is_valid(&server).await);
    }
}

#[tokio::test]
async fn tok_15_a_suspended_account_logs_in_and_out() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    set_status(&server, "alice", "suspended");
    let alice = log_in(&server, "alice", PASSWORD).await;
    assert!(alice.is_valid(&server).await);
    let path = "/_matrix/client/v3/logout";
    alice.post(&server, path, &json!({})).await.ok();
    assert!(!alice.is_valid(&server).await);
}

/// REG-31, DIS-22: an application service may log in the same users that it may register.
#[tokio::test]
async fn reg_31_an_application_service_logs_in_its_own_users() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    sign_up(&server, "bob").await;
    let log_in = async |token: &str, user: &str| -> Reply {
        let mut body = login_of(user, "");
        body["type"] = "m.login.application_service".into();
        body["device_id"] = "IRC".into();
        post_as(&server, token, LOGIN, &body).await
    };
    let answer = log_in(&token, "irc_alice").await.ok();
    assert_eq!(
        (
            &answer["user_id"],
            &answer["device_id"],
            &answer["home_server"]
        ),
        (
            &json!("@irc_alice:localhost"),
            &json!("IRC"),
            &json!("localhost")
        )
    );
    assert!(Device::of(&answer).is_valid(&server).await);
    let again = log_in(&token, "@irc_alice:localhost").await.ok();
    assert!(Device::of(&again).is_valid(&server).await);
    assert!(!Device::of(&answer).is_valid(&server).await, "TOK-09");
    let mut body = login_of("irc_alice", "");
    body["type"] = "m.login.application_service".into();
    server
        .post(LOGIN, &body)
        .await
        .error(401, "M_MISSING_TOKEN");
    for (token, user, status, code) in [
        ("junk", "irc_alice", 401, "M_UNKNOWN_TOKEN"),
        (
            again["access_token"].as_str().unwrap(),
            "irc_alice",
            401,
            "M_UNKNOWN_TOKEN",
        ),
        (&token, "bob", 400, "M_EXCLUSIVE"),
        (&token, "irc_nobody", 403, "M_FORBIDDEN"),
        (&token, "@irc_alice:elsewhere.example", 403, "M_FORBIDDEN"),
    ] {
        log_in(token, user).await.error(status, code);
    }
    set_status(&server, "irc_alice", "locked");
    log_in(&token, "irc_alice")
        .await
        .error(401, "M_USER_LOCKED");
    set_status(&server, "irc_alice", "deactivated");
    log_in(&token, "irc_alice").await.error(403, "M_FORBIDDEN");
}

/// A hash with outdated parameters is replaced, and only at a login with the right password.
#[tokio::test]
async fn a_login_renews_a_hash_with_outdated_cost_or_pepper() {
    let directory = tempfile::tempdir().unwrap();
    let hash_of = |server: &TestServer| {
        let rows = rows_of(server, "alice");
        let (_, row) = rows.into_iter().find(|(sk, _)| sk == "PW").unwrap();
        (row["phc"]["S"].clone(), row["pepper"]["S"].clone())
    };
    let cost = ("GATEHOUSE_ARGON2", "m=16,t=1,p=1");
    let pepper = ("GATEHOUSE_PASSWORD_PEPPER", "a pepper of some length");
    let mut before = Value::Null;
    for (round, settings) in [&[][..], &[cost], &[cost, pepper]].into_iter().enumerate() {
        let server = TestServer::in_directory(settings, directory.path()).await;
        if round == 0 {
            sign_up(&server, "alice").await;
            before = hash_of(&server).0;
        }
        try_login(&server, "alice", "wrong")
            .await
            .error(403, "M_FORBIDDEN");
        assert_eq!(hash_of(&server).0, before);
        log_in(&server, "alice", PASSWORD).await;
        let after = hash_of(&server);
        assert_eq!(after.0 == before, round == 0);
        assert_eq!(after.1.is_string(), round == 2);
        // The hash now has the present parameters and is kept.
        log_in(&server, "alice", PASSWORD).await;
        assert_eq!(hash_of(&server), after);
        before = after.0;
    }
    // If the pepper of the hash is missing, the password is rejected and the server does not fail.
    let server = TestServer::in_directory(&[cost], directory.path()).await;
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
}

/// A login succeeds even if the renewed hash cannot be stored.
#[tokio::test]
async fn a_login_succeeds_if_the_new_hash_cannot_be_stored() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::in_directory(&[], directory.path()).await;
    sign_up(&server, "alice").await;
    drop(server);
    let cost = ("GATEHOUSE_ARGON2", "m=16,t=1,p=1");
    let server = TestServer::in_directory(&[cost], directory.path()).await;
    let fault = Fault::new(FaultKind::Throttle).by("Login").on("UpdateItem");
    server.local.proxy().inject(fault.times(u64::MAX));
    let alice = log_in(&server, "alice", PASSWORD).await;
    assert!(alice.is_valid(&server).await);
}
