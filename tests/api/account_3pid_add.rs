//! `POST /account/3pid/add`.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use super::{
    own_addresses::{
        ADD, ALICE, BOB, NUMBER, add, ask, give, list, owners, proofs_in, prove, remove,
        set_number, test_server, user, validate, with_password,
    },
    support::{add_appservice, post_as, register_as, set_status, text},
    threepids::{sid, with},
};

/// `auth` in a session, with this password.
fn auth(name: &str, password: &str, session: &str) -> Value {
    json!({ "auth": {
        "type": "m.login.password", "session": session, "password": password,
        "identifier": { "type": "m.id.user", "user": name },
    } })
}

/// The first 401, and its session.
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
    let alice = user(&server, "alice").await;
    for (prefix, address) in PREFIXES.into_iter().zip([ALICE, NUMBER]) {
        let path = format!("{prefix}/account/3pid/add");
        let creds = prove(&server, address, "secret").await;
        let challenge = post_as(&server, &alice, &path, &creds).await.challenge();
        assert!(challenge.get("errcode").is_none(), "UIA-06");
        assert!(!list(&server, &alice).await.contains(&address.to_owned()));
        let body = with_password("alice", &creds);
        let reply = post_as(&server, &alice, &path, &body).await;
        assert_eq!(reply.ok(), json!({}));
        assert!(list(&server, &alice).await.contains(&address.to_owned()));
    }
    assert_eq!(proofs_in(&server, "spent"), 2);
}

/// UIA-15, UIA-19: what was said first need not be said again, and the last request may be repeated.
#[tokio::test]
async fn uia_19_a_session_remembers_what_is_to_be_added() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    for (address, repeats_all) in [(ALICE, false), (BOB, true)] {
        let creds = prove(&server, address, "secret").await;
        let session = begin(&server, &alice, &creds).await;
        let last = auth("alice", PASSWORD, &session);
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
async fn uia_08_a_wrong_password_adds_nothing_and_the_right_one_may_follow() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    let creds = prove(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    for wrong in ["wrong", "", " "] {
        let body = auth("alice", wrong, &session);
        let reply = send(&server, &alice, &body).await.refused("M_FORBIDDEN");
        assert_eq!(reply["session"], *session);
    }
    assert!(owners(&server).is_empty());
    let right = auth("alice", PASSWORD, &session);
    send(&server, &alice, &right).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

/// Whoever has nothing to add is told so before they are asked for a password, and does not learn
/// whether it was right.
#[tokio::test]
async fn acc3_03_an_unvalidated_session_is_refused_before_a_password_is_asked_for() {
    let offered = "m.login.dummy m.login.msisdn";
    let server = test_server(&[("GATEHOUSE_REGISTRATION_FLOWS", offered)]).await;
    let alice = user(&server, "alice").await;
    let pending = ask(&server, ALICE, "secret").await;
    let guessed = with(
        prove(&server, BOB, "secret").await,
        &json!({ "client_secret": "guess" }),
    );
    let unknown = json!({ "sid": "nothing", "client_secret": "secret" });
    let mut all = vec![pending.clone(), guessed, unknown];
    for purpose in ["register", "account/password"] {
        let path = format!("/_matrix/client/v3/{purpose}/msisdn/requestToken");
        let body = json!({
            "client_secret": "secret", "country": "GB", "phone_number": "+447400123456", "send_attempt": 1,
        });
        let sid = sid(&server, &path, &body).await;
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
    assert!(owners(&server).is_empty());
    assert_eq!(super::support::sessions(&server), 0);
    validate(&server, ALICE, &pending).await;
    send(&server, &alice, &with_password("alice", &pending))
        .await
        .ok();
}

/// 3PID-49: what was true when the password was asked for is looked at again.
#[tokio::test]
async fn acc3_03_a_proof_that_ends_while_the_password_is_asked_for_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    let creds = prove(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    let last = auth("alice", PASSWORD, &session);
    set_number(&server, "alice", "proofs_not_before", test_support::NOW + 1);
    let reply = send(&server, &alice, &last).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    set_number(&server, "alice", "proofs_not_before", 0);
    server.advance(Duration::from_hours(24));
    let reply = send(&server, &alice, &last).await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert!(owners(&server).is_empty());
}

/// Incident 17, L8
#[tokio::test]
async fn uia_25_the_password_of_another_user_adds_nothing_to_anybody() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    let other = "a quite different 9 password";
    let bob = json!({ "username": "bob", "password": other, "auth": { "type": "m.login.dummy" } });
    server.register(&bob).await.ok();
    let creds = prove(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    for body in [
        auth("bob", other, &session),
        auth("@bob:localhost", other, &session),
        with(
            creds.clone(),
            &json!({ "auth": {
                "type": "m.login.password", "password": other,
                "identifier": { "type": "m.id.user", "user": "bob" },
            } }),
        ),
    ] {
        send(&server, &alice, &body).await.error(403, "M_FORBIDDEN");
    }
    // Their password is not alice's either.
    let reply = send(&server, &alice, &auth("alice", other, &session)).await;
    reply.refused("M_FORBIDDEN");
    assert!(owners(&server).is_empty());
}

#[tokio::test]
async fn uia_14_a_session_is_its_users_and_nobody_elses() {
    let server = test_server(&[]).await;
    let (alice, bob) = (user(&server, "alice").await, user(&server, "bob").await);
    let creds = prove(&server, ALICE, "secret").await;
    let session = begin(&server, &alice, &creds).await;
    for body in [
        auth("bob", PASSWORD, &session),
        with(creds.clone(), &auth("bob", PASSWORD, &session)),
    ] {
        send(&server, &bob, &body).await.error(403, "M_FORBIDDEN");
    }
    let nobody = server.post(ADD, &auth("alice", PASSWORD, &session)).await;
    nobody.error(401, "M_MISSING_TOKEN");
    assert!(owners(&server).is_empty());
    send(&server, &alice, &auth("alice", PASSWORD, &session))
        .await
        .ok();
}

/// Incident 15: what was begun for something else ends nothing here, nor the reverse.
#[tokio::test]
async fn uia_13_a_session_of_another_operation_adds_nothing() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    let creds = prove(&server, ALICE, "secret").await;
    let deactivate = "/_matrix/client/v3/account/deactivate";
    let password = "/_matrix/client/v3/account/password";
    let new = json!({ "new_password": "another 5 of them here" });
    for (path, body) in [(deactivate, json!({})), (password, new.clone())] {
        let begun = post_as(&server, &alice, path, &body).await.challenge();
        let last = auth("alice", PASSWORD, text(&begun, "session"));
        for body in [with(creds.clone(), &last), last] {
            let reply = send(&server, &alice, &body).await;
            assert_eq!(reply.status.as_u16() / 100, 4, "{}", reply.text());
        }
        assert!(owners(&server).is_empty());
    }
    let session = begin(&server, &alice, &creds).await;
    let last = auth("alice", PASSWORD, &session);
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
    let alice = user(&server, "alice").await;
    let (one, two) = (
        prove(&server, ALICE, "one").await,
        prove(&server, BOB, "two").await,
    );
    let session = begin(&server, &alice, &one).await;
    let last = auth("alice", PASSWORD, &session);
    for changed in [
        two.clone(),
        json!({ "sid": two["sid"] }),
        json!({ "client_secret": "two" }),
    ] {
        let reply = send(&server, &alice, &with(last.clone(), &changed)).await;
        reply.error(403, "M_FORBIDDEN");
    }
    assert!(owners(&server).is_empty());
    send(&server, &alice, &last).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
}

/// What was proven stays proven while the address is somebody else's.
#[tokio::test]
async fn acc3_04_an_address_that_is_in_use_is_told_to_who_proved_it() {
    let server = test_server(&[]).await;
    let (alice, bob) = (user(&server, "alice").await, user(&server, "bob").await);
    let creds = prove(&server, ALICE, "secret").await;
    give(&server, &bob, ALICE).await;
    let session = begin(&server, &alice, &creds).await;
    let last = auth("alice", PASSWORD, &session);
    let reply = send(&server, &alice, &last).await;
    reply.error(400, "M_THREEPID_IN_USE");
    let serial = with_password("alice", &creds);
    let reply = send(&server, &alice, &serial).await;
    reply.error(400, "M_THREEPID_IN_USE");
    assert_eq!(owners(&server), [(ALICE.into(), "bob".into())].into());
    remove(&server, &bob, ALICE).await.ok();
    let only = json!({ "auth": { "session": session } });
    send(&server, &alice, &only).await.ok();
    assert_eq!(owners(&server), [(ALICE.into(), "alice".into())].into());
}

#[tokio::test]
async fn acc3_03_what_is_missing_or_of_the_wrong_type_is_refused() {
    let server = test_server(&[]).await;
    let alice = user(&server, "alice").await;
    let creds = prove(&server, ALICE, "secret").await;
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
    assert!(owners(&server).is_empty());
}

/// TOK-04, TOK-05, TOK-15, GUEST-06
#[tokio::test]
async fn acc3_03_only_users_with_a_password_add_an_address_with_it() {
    let server = test_server(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let alice = user(&server, "alice").await;
    let creds = prove(&server, ALICE, "secret").await;
    let body = with_password("alice", &creds);
    server.post(ADD, &body).await.error(401, "M_MISSING_TOKEN");
    send(&server, "junk", &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let guest = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(guest, &json!({})).await.ok();
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
    assert!(owners(&server).is_empty());
    set_status(&server, "alice", "suspended");
    send(&server, &alice, &body).await.ok();
    assert_eq!(list(&server, &alice).await, [ALICE]);
    // The deprecated form finds nothing left to be done with it.
    add(&server, &alice, &creds).await.ok();
}
