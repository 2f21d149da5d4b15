//! `POST /account/deactivate`.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::support::{add_appservice, post_as, register_as, register_guest, set_status};
use crate::flows::support::{
    POLICIES, TERMS,
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, Device, LOGIN, log_in, login_of, password_of, rows_of, sign_up,
        sign_up_with, try_login, with_auth,
    },
    flows, is_free, registration, stage,
    threepid_helpers::{ALICE, EMAIL, MAIL, MSISDN, NUMBER, claims, owned, request_mail},
};

/// DEACT-01, DEACT-03, DEACT-09, UIA-40, TOK-13
#[tokio::test]
async fn deact_01_an_account_is_deactivated_with_its_password() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let alice = sign_up(&server, "alice").await;
        let phone = log_in(&server, "alice", PASSWORD).await;
        let bob = sign_up(&server, "bob").await;
        let path = format!("{prefix}/account/deactivate");
        let (challenge, session) = alice.begin(&server, &path, &json!({})).await;
        assert_eq!(
            challenge["flows"],
            json!([{ "stages": ["m.login.password"] }])
        );
        assert!(alice.is_valid(&server).await);
        let body = with_auth(json!({}), password_of("alice", PASSWORD, Some(&session)));
        let reply = alice.post(&server, &path, &body).await;
        assert_eq!(reply.ok(), json!({ "id_server_unbind_result": "success" }));
        for device in [&alice, &phone] {
            assert!(!device.is_valid(&server).await);
        }
        let refresh = json!({ "refresh_token": phone.refresh.as_deref().unwrap_or_default() });
        server
            .post("/_matrix/client/v3/refresh", &refresh)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        assert!(!is_free(&server, "alice").await, "REG-16");
        assert!(bob.is_valid(&server).await);
        // The identical request gets the same response, although its token is invalid now.
        let again = alice.post(&server, &path, &body).await;
        assert_eq!(again.ok(), json!({ "id_server_unbind_result": "success" }));
        // Any other request has an unknown token.
        alice
            .post(&server, &path, &json!({}))
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        let other = with_auth(json!({ "erase": true }), body["auth"].clone());
        alice
            .post(&server, &path, &other)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        phone
            .post(&server, &path, &body)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
    }
}

/// DEACT-02, DEACT-13, DIS-23: no login succeeds, by user ID or by 3PID.
#[tokio::test]
async fn deact_02_nobody_logs_in_to_a_deactivated_account() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let auth = password_of("alice", PASSWORD, None);
    alice
        .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await
        .ok();
    let by_address = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": ALICE },
    });
    for body in [
        login_of("alice", PASSWORD),
        login_of("alice", ""),
        by_address,
    ] {
        server.post(LOGIN, &body).await.error(403, "M_FORBIDDEN");
    }
    assert!(claims(&server).is_empty() && owned(&server).is_empty());
    // The address is free for another account.
    sign_up_with(&server, "carol", EMAIL, ALICE).await;
}

#[tokio::test]
async fn deact_04_a_failed_attempt_leaves_the_account_unchanged() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let (_, session) = alice.begin(&server, DEACTIVATE_PATH, &json!({})).await;
    for auth in [
        password_of("alice", "wrong", Some(&session)),
        json!({ "type": "m.login.dummy", "session": session }),
    ] {
        let reply = alice
            .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
            .await;
        let body = reply.challenge();
        assert_eq!(body["session"], session);
        for member in ["error", "errcode", "params", "completed", "flows"] {
            assert!(body.get(member).is_some(), "UIA-08: {member}");
        }
    }
    assert!(alice.is_valid(&server).await);
    try_login(&server, "alice", PASSWORD).await.ok();
    let auth = password_of("alice", PASSWORD, Some(&session));
    let reply = alice
        .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await;
    reply.ok();
}

/// DEACT-05, UIA-24: without a token, the password stage identifies the account.
#[tokio::test]
async fn deact_05_the_password_alone_is_enough() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let bob = sign_up(&server, "bob").await;
    let challenge = server.post(DEACTIVATE_PATH, &json!({})).await.challenge();
    assert_eq!(
        challenge["flows"],
        json!([{ "stages": ["m.login.password"] }])
    );
    let session = challenge["session"].as_str();
    for (name, password) in [("alice", "wrong"), ("nobody", PASSWORD)] {
        let auth = password_of(name, password, session);
        let reply = server
            .post(DEACTIVATE_PATH, &with_auth(json!({}), auth))
            .await;
        reply.refused("M_FORBIDDEN");
    }
    let body = with_auth(json!({}), password_of("alice", PASSWORD, session));
    server.post(DEACTIVATE_PATH, &body).await.ok();
    assert!(!alice.is_valid(&server).await);
    assert_eq!(
        server.post(DEACTIVATE_PATH, &body).await.ok()["id_server_unbind_result"],
        "success"
    );
    // A single request can name the account by a 3PID.
    assert!(bob.is_valid(&server).await);
    let dora = sign_up_with(&server, "dora", MSISDN, NUMBER.0).await;
    let identifier = json!({ "type": "m.id.phone", "country": "GB", "phone": NUMBER.0 });
    let auth =
        json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
    server
        .post(DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await
        .ok();
    assert!(!dora.is_valid(&server).await);
}

/// UIA-25, L8, incident 17 (the password of another account was accepted).
#[tokio::test]
async fn uia_25_another_users_password_does_not_deactivate() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let auth = password_of("bob", PASSWORD, None);
    alice
        .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await
        .error(403, "M_FORBIDDEN");
    assert!(alice.is_valid(&server).await && bob.is_valid(&server).await);
}

/// Incident 16 (a grace period after login applied to deactivation too).
#[tokio::test]
async fn incident_16_a_recent_login_does_not_replace_uia() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    alice
        .post(&server, DEACTIVATE_PATH, &json!({}))
        .await
        .challenge();
    alice
        .post(&server, DEACTIVATE_PATH, &json!({ "auth": null }))
        .await
        .challenge();
    assert!(alice.is_valid(&server).await);
}

/// DEACT-12, DEACT-14: the remaining row reserves the user ID, and nothing else remains.
#[tokio::test]
async fn deact_12_nothing_is_kept_that_is_not_needed() {
    for erase in [json!({}), json!({ "erase": true })] {
        let offered = flows("m.login.email.identity+m.login.terms");
        let server = TestServer::with(&[offered, POLICIES, MAIL]).await;
        let validation = request_mail(&server, ALICE, "secret").await;
        validation.validate(&server).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let first = validation.attempt(Some(&session));
        server.register(&first).await.challenge();
        let answer = server.register(&stage(TERMS, &session)).await.ok();
        let alice = Device::of(&answer);
        log_in(&server, "alice", PASSWORD).await;
        let before = rows_of(&server, "alice");
        assert!(before.iter().any(|(sk, _)| sk == "TERMS#privacy"));
        let auth = password_of("alice", PASSWORD, None);
        alice
            .post(&server, DEACTIVATE_PATH, &with_auth(erase.clone(), auth))
            .await
            .ok();
        server.deliver().await;
        let left: Vec<String> = rows_of(&server, "alice")
            .into_iter()
            .map(|(sk, _)| sk)
            .collect();
        assert_eq!(left, ["A"], "{erase}");
        assert!(claims(&server).is_empty());
    }
}

#[tokio::test]
async fn deact_17_with_deactivation_off_nobody_deactivates() {
    let server = TestServer::with(&[("GATEHOUSE_DEACTIVATION", "off")]).await;
    let alice = sign_up(&server, "alice").await;
    let auth = password_of("alice", PASSWORD, None);
    alice
        .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await
        .error(403, "M_FORBIDDEN");
    assert!(alice.is_valid(&server).await);
}

/// TOK-10, TOK-14, TOK-15, GUEST-06, UIA-28
#[tokio::test]
async fn tok_15_callers_that_may_deactivate_an_account() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    post_as(&server, "junk", DEACTIVATE_PATH, &json!({}))
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let guest = register_guest(&server).await;
    Device::of(&guest)
        .post(&server, DEACTIVATE_PATH, &json!({}))
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let alice = sign_up(&server, "alice").await;
    let body = with_auth(json!({}), password_of("alice", PASSWORD, None));
    set_status(&server, "alice", "locked");
    alice
        .post(&server, DEACTIVATE_PATH, &body)
        .await
        .error(401, "M_USER_LOCKED");
    set_status(&server, "alice", "suspended");
    alice.post(&server, DEACTIVATE_PATH, &body).await.ok();
    // An application service deactivates only its own users, without UIA.
    register_as(&server, &irc, "irc_alice").await.ok();
    let path = format!("{DEACTIVATE_PATH}?user_id=@irc_alice:localhost");
    let reply = post_as(&server, &irc, &path, &json!({})).await;
    assert_eq!(reply.ok()["id_server_unbind_result"], "success");
    post_as(&server, &irc, &path, &json!({}))
        .await
        .error(403, "M_FORBIDDEN");
    let path = format!("{DEACTIVATE_PATH}?user_id=@alice:localhost");
    post_as(&server, &irc, &path, &json!({}))
        .await
        .error(403, "M_FORBIDDEN");
}

/// Incident 18 (a password change or a deactivation without a token caused an internal error): no subset of token,
/// `auth` and body causes an internal error.
#[tokio::test]
async fn incident_18_no_subset_of_a_request_is_an_internal_error() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up(&server, "alice").await;
    let auths = [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!({ "session": "unknown" })),
        Some(json!({ "type": "m.login.password" })),
        Some(json!({ "type": "m.login.email.identity" })),
        Some(
            json!({ "type": "m.login.password", "session": "unknown", "user": "x", "password": "y" }),
        ),
        Some(json!("text")),
    ];
    for path in [DEACTIVATE_PATH, "/_matrix/client/v3/account/password"] {
        for auth in &auths {
            for members in [
                json!({}),
                json!({ "new_password": "x" }),
                json!({ "erase": 1 }),
            ] {
                let mut body = members;
                if let Some(auth) = auth {
                    body["auth"] = auth.clone();
                }
                for token in [None, Some("junk"), Some(alice.token.as_str())] {
                    let reply = match token {
                        Some(token) => post_as(&server, token, path, &body).await,
                        None => server.post(path, &body).await,
                    };
                    assert!(reply.status.is_client_error(), "{path} {token:?} {body}");
                }
            }
        }
    }
    assert!(alice.is_valid(&server).await);
}
