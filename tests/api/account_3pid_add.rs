//! `POST /account/3pid/add`.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use super::{
    account_threepids::{
        ADD, ALICE, BOB, NUMBER, add, add_threepid, list, remove, request_validation, test_server,
        user_token, validate, validated_credentials, with_password,
    },
    rows::{set_number, threepid_owners, uia_sessions, validations_in},
    support::{
        add_appservice, password_login, post_as, register_as, register_guest, set_status, text,
        with,
    },
    threepids::request_session,
};

/// The body that completes this session.
fn last_request(name: &str, password: &str, session: &str) -> Value {
    let auth = with(
        password_login(name, password),
        &json!({ "session": session }),
    );
    json!({ "auth": auth })
}

/// Sends the first request and returns the session of its 401.
async fn begin(server: &TestServer, token: &str, creds: &Value) -> String {
    let challenge = post_as(server, token, ADD, creds).await.challenge();
    assert_eq!(
        challenge["flows"],
        json!([{ "stages": ["m.login.password"] }])
    );
    assert_eq!(challenge["completed"], json!([]));
    text(&challenge, "session").to_owned()
}

async fn send(server: &TestServer, token: &str, body: &Value) -> Reply {
    post_as(server, token, ADD, body).await
}

/// UIA-01, UIA-11
#[tokio::test]
async fn acc3_03_an_address_is_added_with_a_password() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for (prefix, address) in PREFIXES.into_iter().zip([ALICE, NUMBER]) {
        let path = format!("{prefix}/account/3pid/add");
        let creds = validated_credentials(&server, address, "secret").await;
        let challenge = post_as(&server, &alice, &path, &creds).await.challenge();
        assert!(challenge.get("errcode").is_none(), "UIA-06");
        assert!(!list(&server, &alice).await.contains(&address.to_owned()));
        let body = with_password("alice", &creds);
        let reply = post_as(&server, &alice, &path, &body).await;
        assert_eq!(reply.ok(), json!({}));
        assert!(list(&server, &alice).await.contains(&address.to_owned()));
    }
    assert_eq!(validations_in(&server, "spent"), 2);
}

/// UIA-15, UIA-19: parameters of the first request need not be repeated, and the last request may be repeated.
#[tokio::test]
async fn uia_19_a_session_remembers_the_address_to_add() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    for (address, repeats_all) in [(ALICE, false), (BOB, true)] {
        let creds = validated_credentials(&server, address, "secret").await;
        let session = begin(&server, &alice, &creds).await;
        let last = last_request("alice", PASSWORD, &session);
        let last = if repeats_all {
            with(creds, &last)
        } else {
            last
        };
        for _ in 0..2 {
            assert_eq!(send(&server, &alice, &last).await.ok(), json!({}));
        }
        let other = with(last, &json!({ "client_secret": "another" }));
        let reply = send(&server, &alice, &other).await;
        reply.error(400, "M_INVALID_PARAM");
        let only = json!({ "auth": { "session": session } });
        let reply = send(&server, &alice, &only).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert_eq!(list(&server, &alice).await, [ALICE, BOB]);
}

/// UIA-08, UIA-10, UIA-17, incident 25
#[tokio::test]
async fn uia_08_a_wrong_password_adds_nothing_and_can_be_retried() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    for wrong in ["wrong", "", " "] {
        let body = last_request("alice", wrong, &session);
        let reply = send(&server, &alice, &body).await.refused("M_FORBIDDEN");
        assert_eq!(reply["session"], *session);
    }
    assert!(threepid_owners(&server).is_empty());
    let right = last_request("alice", PASSWORD, &session);
    send(&server, &alice, &right).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

/// A request without a validated 3PID is rejected before the password stage. Its response does not show whether the
/// password was right.
#[tokio::test]
async fn acc3_03_an_unvalidated_session_is_refused_before_uia() {
    let offered = "m.login.dummy m.login.msisdn";
    let server = test_server(&[("GATEHOUSE_REGISTRATION_FLOWS", offered)]).await;
    let alice = user_token(&server, "alice").await;
    let pending = request_validation(&server, ALICE, "secret").await;
    let guessed = with(
        validated_credentials(&server, BOB, "secret").await,
        &json!({ "client_secret": "guess" }),
    );
    let unknown = json!({ "sid": "nothing", "client_secret": "secret" });
    let mut all = vec![pending.clone(), guessed, unknown];
    for purpose in ["register", "account/password"] {
        let path = format!("/_matrix/client/v3/{purpose}/msisdn/requestToken");
        let body = json!({
            "client_secret": "secret", "country": "GB", "phone_number": "+447400123456", "send_attempt": 1,
        });
        let sid = request_session(&server, &path, &body).await;
        let other = json!({ "sid": sid, "client_secret": "secret" });
        validate(&server, NUMBER, &other).await;
        all.push(other);
    }
    for creds in &all {
        let wrong = with_password("alice", creds);
        let wrong = with(
            wrong.clone(),
            &json!({ "auth": with(wrong["auth"].clone(), &json!({ "password": "x" })) }),
        );
        for body in [creds, &with_password("alice", creds), &wrong] {
            let reply = send(&server, &alice, body).await;
            reply.error(403, "M_THREEPID_AUTH_FAILED");
        }
    }
    assert!(threepid_owners(&server).is_empty());
    assert_eq!(uia_sessions(&server).len(), 0);
    validate(&server, ALICE, &pending).await;
    send(&server, &alice, &with_password("alice", &pending))
        .await
        .ok();
}

/// 3PID-49: the last request repeats the checks of the first request.
#[tokio::test]
async fn acc3_03_a_session_that_expires_during_uia_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    let last = last_request("alice", PASSWORD, &session);
    set_number(&server, "alice", "proofs_not_before", test_support::NOW + 1);
    let reply = send(&server, &alice, &last).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    set_number(&server, "alice", "proofs_not_before", 0);
    server.advance(Duration::from_hours(24));
    let reply = send(&server, &alice, &last).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert!(threepid_owners(&server).is_empty());
}

/// Incident 17, L8
#[tokio::test]
async fn uia_25_the_password_of_another_user_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let other = "a quite different 9 password";
    let bob = json!({ "username": "bob", "password": other, "auth": { "type": "m.login.dummy" } });
    server.register(&bob).await.ok();
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    for body in [
        last_request("bob", other, &session),
        last_request("@bob:localhost", other, &session),
        with(
            creds.clone(),
            &json!({ "auth": password_login("bob", other) }),
        ),
    ] {
        send(&server, &alice, &body).await.error(403, "M_FORBIDDEN");
    }
    // Bob's password with Alice's name is wrong too.
    let reply = send(&server, &alice, &last_request("alice", other, &session)).await;
    reply.refused("M_FORBIDDEN");
    assert!(threepid_owners(&server).is_empty());
}

#[tokio::test]
async fn uia_14_a_session_belongs_to_its_user_only() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    // For Bob the session does not exist, so its parameters do not either.
    let last = last_request("bob", PASSWORD, &session);
    send(&server, &bob, &last)
        .await
        .error(400, "M_MISSING_PARAM");
    let reply = send(&server, &bob, &with(creds.clone(), &last)).await;
    assert_ne!(reply.refused("M_UNKNOWN")["session"], session);
    let anonymous = server
        .post(ADD, &last_request("alice", PASSWORD, &session))
        .await;
    anonymous.error(401, "M_MISSING_TOKEN");
    assert!(threepid_owners(&server).is_empty());
    send(&server, &alice, &last_request("alice", PASSWORD, &session))
        .await
        .ok();
}

/// Incident 15: a session that started for another operation does not finish this operation, and a session for this
/// operation does not finish another.
#[tokio::test]
async fn uia_13_a_session_of_another_operation_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let deactivate = "/_matrix/client/v3/account/deactivate";
    let password = "/_matrix/client/v3/account/password";
    let new = json!({ "new_password": "another 5 of them here" });
    for (path, body) in [(deactivate, json!({})), (password, new.clone())] {
        let challenge = post_as(&server, &alice, path, &body).await.challenge();
        let last = last_request("alice", PASSWORD, text(&challenge, "session"));
        for body in [with(creds.clone(), &last), last] {
            let reply = send(&server, &alice, &body).await;
            assert_eq!(reply.status.as_u16() / 100, 4, "{}", reply.text());
        }
        assert!(threepid_owners(&server).is_empty());
    }
    let session = begin(&server, &alice, &creds).await;
    let last = last_request("alice", PASSWORD, &session);
    for (path, body) in [(deactivate, json!({})), (password, new)] {
        let reply = post_as(&server, &alice, path, &with(body, &last)).await;
        reply.error(403, "M_FORBIDDEN");
    }
    send(&server, &alice, &last).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

#[tokio::test]
async fn uia_20_another_address_in_the_same_session_is_refused() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let (one, two) = (
        validated_credentials(&server, ALICE, "one").await,
        validated_credentials(&server, BOB, "two").await,
    );
    let session = begin(&server, &alice, &one).await;
    let last = last_request("alice", PASSWORD, &session);
    for changed in [
        two.clone(),
        json!({ "sid": two["sid"] }),
        json!({ "client_secret": "two" }),
    ] {
        let reply = send(&server, &alice, &with(last.clone(), &changed)).await;
        reply.error(403, "M_FORBIDDEN");
    }
    assert!(threepid_owners(&server).is_empty());
    send(&server, &alice, &last).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

/// The validated 3PID can still be added after its owner has removed it.
#[tokio::test]
async fn acc3_04_an_address_in_use_is_reported_to_its_validator() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    let creds = validated_credentials(&server, ALICE, "secret").await;
    add_threepid(&server, &bob, ALICE).await;
    let session = begin(&server, &alice, &creds).await;
    let last = last_request("alice", PASSWORD, &session);
    let reply = send(&server, &alice, &last).await;
    reply.error(400, "M_THREEPID_IN_USE");
    let one_request = with_password("alice", &creds);
    let reply = send(&server, &alice, &one_request).await;
    reply.error(400, "M_THREEPID_IN_USE");
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "bob".into())].into()
    );
    remove(&server, &bob, ALICE).await.ok();
    let only = json!({ "auth": { "session": session } });
    send(&server, &alice, &only).await.ok();
    assert_eq!(
        threepid_owners(&server),
        [(ALICE.into(), "alice".into())].into()
    );
}

#[tokio::test]
async fn acc3_03_missing_or_mistyped_members_are_refused() {
    let server = test_server(&[]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    for (more, errcode) in [
        (json!({ "sid": null }), "M_MISSING_PARAM"),
        (json!({ "client_secret": null }), "M_MISSING_PARAM"),
        (json!({ "sid": 5 }), "M_BAD_JSON"),
        (json!({ "client_secret": ["secret"] }), "M_BAD_JSON"),
        (json!({ "auth": "password" }), "M_BAD_JSON"),
    ] {
        let body = with(with_password("alice", &creds), &more);
        send(&server, &alice, &body).await.error(400, errcode);
    }
    assert!(threepid_owners(&server).is_empty());
}

/// TOK-04, TOK-05, TOK-15, GUEST-06
#[tokio::test]
async fn acc3_03_only_users_with_a_password_add_an_address() {
    let server = test_server(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let alice = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let body = with_password("alice", &creds);
    server.post(ADD, &body).await.error(401, "M_MISSING_TOKEN");
    send(&server, "junk", &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let guest = register_guest(&server).await;
    send(&server, text(&guest, "access_token"), &body)
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    register_as(&server, &irc, "irc_alice").await.ok();
    let as_user = format!("{ADD}?user_id=@irc_alice:localhost");
    post_as(&server, &irc, &as_user, &creds)
        .await
        .error(403, "M_FORBIDDEN");
    set_status(&server, "alice", "locked");
    send(&server, &alice, &body)
        .await
        .error(401, "M_USER_LOCKED");
    assert!(threepid_owners(&server).is_empty());
    set_status(&server, "alice", "suspended");
    send(&server, &alice, &body).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
    // The deprecated request succeeds and changes nothing, because the 3PID is already added.
    add(&server, &alice, &creds).await.ok();
}
