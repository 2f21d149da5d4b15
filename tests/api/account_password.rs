//! `POST /account/password`.

mod callers;

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of, request_reset_token,
        sign_up, sign_up_with, try_login, with_auth,
    },
    threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER},
};

fn new_password() -> Value {
    json!({ "new_password": OTHER_PASSWORD })
}

/// PWD-02, PWD-03, PWD-04, PWD-13, UIA-40, TOK-13: the caller has a token and the old password.
#[tokio::test]
async fn pwd_04_the_password_of_the_tokens_user_is_changed() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let alice = sign_up(&server, "alice").await;
        sign_up(&server, "bob").await;
        let path = format!("{prefix}/account/password");
        let (challenge, session) = alice.begin(&server, &path, &new_password()).await;
        assert_eq!(
            challenge["flows"],
            json!([{ "stages": ["m.login.password"] }])
        );
        assert_eq!(challenge["completed"], json!([]));
        assert!(challenge.get("errcode").is_none(), "UIA-06");
        let auth = password_of("alice", PASSWORD, Some(&session));
        let reply = alice
            .post(&server, &path, &with_auth(new_password(), auth))
            .await;
        assert_eq!(reply.ok(), json!({}));
        try_login(&server, "alice", PASSWORD)
            .await
            .error(403, "M_FORBIDDEN");
        try_login(&server, "alice", OTHER_PASSWORD).await.ok();
        try_login(&server, "bob", PASSWORD).await.ok();
        // UIA also accepts the new password and rejects the old one.
        let (_, session) = alice.begin(&server, &path, &new_password()).await;
        let old = password_of("alice", PASSWORD, Some(&session));
        let reply = alice
            .post(&server, &path, &with_auth(new_password(), old))
            .await;
        assert_eq!(reply.refused("M_FORBIDDEN")["session"], session);
        let new = password_of("alice", OTHER_PASSWORD, Some(&session));
        let reply = alice
            .post(&server, &path, &with_auth(new_password(), new))
            .await;
        reply.ok();
    }
}

/// UIA-11, UIA-41, UIA-44: one request is enough. It may contain the user ID in any form.
#[tokio::test]
async fn uia_41_the_user_is_named_in_any_form() {
    let named = [
        json!({ "identifier": { "type": "m.id.user", "user": "alice" } }),
        json!({ "identifier": { "type": "m.id.user", "user": "@alice:localhost" } }),
        json!({ "identifier": { "type": "m.id.user", "user": "ALICE" } }),
        json!({ "user": "alice" }),
        json!({ "user": "@alice:localhost" }),
    ];
    for name in named {
        let server = TestServer::new().await;
        let alice = sign_up(&server, "alice").await;
        let mut auth = json!({ "type": "m.login.password", "password": PASSWORD });
        for (member, value) in name.as_object().into_iter().flatten() {
            auth[member] = value.clone();
        }
        let reply = alice
            .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
            .await;
        assert_eq!(reply.ok(), json!({}), "{name}");
    }
}

/// UIA-42, UIA-43, UIA-44: a 3PID of the account names its user, in any spelling.
#[tokio::test]
async fn uia_42_an_address_names_its_owner() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let bob = sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    for (device, named) in [
        (
            &alice,
            json!({ "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "Alice@Example.ORG" } }),
        ),
        (&alice, json!({ "medium": "email", "address": ALICE })),
        (
            &bob,
            json!({ "identifier": { "type": "m.id.phone", "country": "GB", "phone": "07400 123456" } }),
        ),
        (
            &bob,
            json!({ "identifier": { "type": "m.id.phone", "country": "GB", "number": "+447400123456" } }),
        ),
    ] {
        let mut auth = json!({ "type": "m.login.password", "password": PASSWORD });
        for (member, value) in named.as_object().into_iter().flatten() {
            auth[member] = value.clone();
        }
        let body = json!({ "new_password": PASSWORD, "logout_devices": false, "auth": auth });
        assert_eq!(
            device.post(&server, PASSWORD_PATH, &body).await.ok(),
            json!({}),
            "{named}"
        );
    }
}

/// UIA-25, UIA-45, L8, incident 17 (the password of another account was accepted): a request that names another user
/// gets a 403 before any password is hashed, whether that user exists or not.
#[tokio::test]
async fn uia_25_the_password_of_another_user_is_refused() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up(&server, "alice").await;
    sign_up_with(&server, "bob", EMAIL, "bob@example.org").await;
    let before = server.dump();
    for named in [
        json!({ "type": "m.id.user", "user": "bob" }),
        json!({ "type": "m.id.user", "user": "nobody" }),
        json!({ "type": "m.id.user", "user": "@alice:elsewhere.example" }),
        json!({ "type": "m.id.thirdparty", "medium": "email", "address": "bob@example.org" }),
        json!({ "type": "m.id.thirdparty", "medium": "email", "address": "nobody@example.org" }),
    ] {
        let auth = json!({ "type": "m.login.password", "identifier": named, "password": PASSWORD });
        let reply = alice
            .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
            .await;
        reply.error(403, "M_FORBIDDEN");
    }
    assert_eq!(server.dump(), before);
    try_login(&server, "alice", PASSWORD).await.ok();
    try_login(&server, "bob", PASSWORD).await.ok();
}

/// UIA-27: a password stage with a missing member gets a 401 with `M_MISSING_PARAM`.
#[tokio::test]
async fn uia_27_missing_members_of_a_stage_are_reported() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    for auth in [
        json!({ "type": "m.login.password" }),
        json!({ "type": "m.login.password", "password": PASSWORD }),
        json!({ "type": "m.login.password", "identifier": { "type": "m.id.user" }, "password": PASSWORD }),
        json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" } }),
    ] {
        let reply = alice
            .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
            .await;
        reply.refused("M_MISSING_PARAM");
    }
    let auth = json!({ "type": "m.login.dummy" });
    let reply = alice
        .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
        .await;
    reply.refused("M_UNRECOGNIZED");
}

#[tokio::test]
async fn pwd_01_without_a_new_password_nothing_is_changed() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    // UIA is required before the missing parameter is reported.
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &json!({})).await;
    let auth = password_of("alice", PASSWORD, Some(&session));
    let reply = alice
        .post(&server, PASSWORD_PATH, &with_auth(json!({}), auth))
        .await;
    reply.error(400, "M_MISSING_PARAM");
    try_login(&server, "alice", PASSWORD).await.ok();
    // The completed stage stays completed.
    let body = json!({ "new_password": OTHER_PASSWORD, "auth": { "session": session } });
    alice.post(&server, PASSWORD_PATH, &body).await.ok();
    try_login(&server, "alice", OTHER_PASSWORD).await.ok();
}

/// UIA-19, UIA-20: the session stores the new password, and a request with another password is rejected.
#[tokio::test]
async fn uia_20_a_session_is_for_one_new_password() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &new_password()).await;
    let auth = password_of("alice", PASSWORD, Some(&session));
    for changed in [
        json!({ "new_password": "another one altogether" }),
        json!({ "new_password": OTHER_PASSWORD, "logout_devices": "x" }),
    ] {
        let body = with_auth(changed.clone(), auth.clone());
        let reply = alice.post(&server, PASSWORD_PATH, &body).await;
        assert!(reply.status.is_client_error(), "{changed}");
    }
    try_login(&server, "alice", PASSWORD).await.ok();
    let reply = alice
        .post(&server, PASSWORD_PATH, &json!({ "auth": auth }))
        .await;
    assert_eq!(reply.ok(), json!({}));
    try_login(&server, "alice", OTHER_PASSWORD).await.ok();
}

/// UIA-15, L7: the same request to a finished session gets the same response again. Any other request has no effect.
#[tokio::test]
async fn uia_15_a_finished_change_is_not_repeated() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &new_password()).await;
    let last = with_auth(
        new_password(),
        password_of("alice", PASSWORD, Some(&session)),
    );
    alice.post(&server, PASSWORD_PATH, &last).await.ok();
    let before = server.dump();
    assert_eq!(
        alice.post(&server, PASSWORD_PATH, &last).await.ok(),
        json!({}),
        "the same request"
    );
    let mut other = last.clone();
    other["new_password"] = "a third password".into();
    alice
        .post(&server, PASSWORD_PATH, &other)
        .await
        .error(400, "M_INVALID_PARAM");
    let only_session = json!({ "auth": { "session": session } });
    alice
        .post(&server, PASSWORD_PATH, &only_session)
        .await
        .error(400, "M_INVALID_PARAM");
    assert_eq!(server.dump(), before);
    // The session does not exist for another user and without a token.
    let bob = sign_up(&server, "bob").await;
    bob.post(&server, PASSWORD_PATH, &last)
        .await
        .refused("M_UNKNOWN");
    server.post(PASSWORD_PATH, &last).await.refused("M_UNKNOWN");
    try_login(&server, "alice", OTHER_PASSWORD).await.ok();
    try_login(&server, "bob", PASSWORD).await.ok();
}

/// PWD-07, PWD-08, PWD-11: the caller's device keeps its tokens.
#[tokio::test]
async fn pwd_07_only_the_calling_device_stays_logged_in() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let bob = sign_up(&server, "bob").await;
    let auth = password_of("alice", PASSWORD, None);
    let reply = second
        .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
        .await;
    reply.ok();
    assert!(second.is_valid(&server).await);
    assert!(!first.is_valid(&server).await);
    assert!(bob.is_valid(&server).await);
    // A second change from the same device keeps it logged in again.
    let auth = password_of("alice", OTHER_PASSWORD, None);
    let body = with_auth(json!({ "new_password": PASSWORD }), auth);
    let third = log_in(&server, "alice", OTHER_PASSWORD).await;
    second.post(&server, PASSWORD_PATH, &body).await.ok();
    assert!(second.is_valid(&server).await);
    assert!(!third.is_valid(&server).await);
}

#[tokio::test]
async fn pwd_09_devices_stay_logged_in_on_request() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let auth = password_of("alice", PASSWORD, None);
    let body = json!({ "new_password": OTHER_PASSWORD, "logout_devices": false });
    second
        .post(&server, PASSWORD_PATH, &with_auth(body, auth))
        .await
        .ok();
    assert!(first.is_valid(&server).await && second.is_valid(&server).await);
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn pwd_14_a_weak_password_is_refused_before_uia() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    let alice = sign_up(&server, "alice").await;
    for weak in ["", "password", "alice123"] {
        let body = json!({ "new_password": weak });
        alice
            .post(&server, PASSWORD_PATH, &body)
            .await
            .error(400, "M_WEAK_PASSWORD");
        server
            .post(PASSWORD_PATH, &body)
            .await
            .error(400, "M_WEAK_PASSWORD");
    }
    let long = json!({ "new_password": "x".repeat(513) });
    alice
        .post(&server, PASSWORD_PATH, &long)
        .await
        .error(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn pwd_16_nothing_changes_without_completed_uia() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    for auth in [
        password_of("alice", "wrong", None),
        password_of("alice", "", None),
        json!({ "type": "m.login.dummy" }),
        json!({}),
    ] {
        let reply = alice
            .post(&server, PASSWORD_PATH, &with_auth(new_password(), auth))
            .await;
        reply.challenge();
    }
    assert!(alice.is_valid(&server).await);
    try_login(&server, "alice", PASSWORD).await.ok();
}

/// PWD-06, L14: the validated e-mail address no longer belongs to an account.
#[tokio::test]
async fn pwd_06_an_address_of_no_account_resets_no_password() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let body = json!({ "medium": "email", "address": ALICE });
    alice
        .post(&server, "/_matrix/client/v3/account/3pid/delete", &body)
        .await
        .ok();
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    server
        .post(PASSWORD_PATH, &body)
        .await
        .error(400, "M_THREEPID_NOT_FOUND");
    try_login(&server, "alice", PASSWORD).await.ok();
}
