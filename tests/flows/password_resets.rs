//! Password resets without the old password: a validated session can be used once. The tests also check
//! which tokens remain valid.

mod recent_addresses;
mod trust_limits;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::{
    api::support::post_as,
    flows::support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, Device, OTHER_PASSWORD, PASSWORD_PATH, log_in, login_of,
            password_of, request_reset_token, sign_up, sign_up_with, try_login, with_auth,
        },
        page, submit,
        threepid_helpers::{
            ALICE, EMAIL, MSISDN, NUMBER, ValidationSession, link_to, request_mail,
        },
    },
};

const DAY: Duration = Duration::from_hours(24);

/// The body of the request that finishes a reset.
fn finish(validation: &ValidationSession, password: &str, session: Option<&str>) -> Value {
    let mut body = validation.attempt(session);
    body["new_password"] = password.into();
    body
}

/// PWD-05, PWD-10, PWD-13, UIA-50, UIA-57: the client requests a message, opens the link and sets
/// the password.
#[tokio::test]
async fn pwd_05_a_validated_address_of_the_account_resets_it() {
    for prefix in PREFIXES {
        for (stage, address) in [(EMAIL, ALICE), (MSISDN, NUMBER.0)] {
            let server = TestServer::with(&ADDRESSES).await;
            let alice = sign_up_with(&server, "alice", stage, address).await;
            let phone = log_in(&server, "alice", PASSWORD).await;
            let path = format!("{prefix}/account/password");
            let challenge = server.post(&path, &json!({})).await.challenge();
            let session = challenge["session"].as_str().unwrap();
            let validation = request_reset_token(&server, stage, address, "reset").await;
            let body = finish(&validation, OTHER_PASSWORD, Some(session));
            server.post(&path, &body).await.refused("M_UNAUTHORIZED");
            validation.validate(&server).await;
            assert_eq!(server.post(&path, &body).await.ok(), json!({}));
            // No earlier access token or refresh token is valid.
            for device in [&alice, &phone] {
                assert!(!device.is_valid(&server).await);
            }
            let refresh = json!({ "refresh_token": phone.refresh.as_deref().unwrap() });
            let refreshed = server.post("/_matrix/client/v3/refresh", &refresh).await;
            refreshed.error(401, "M_UNKNOWN_TOKEN");
            try_login(&server, "alice", PASSWORD)
                .await
                .error(403, "M_FORBIDDEN");
            log_in(&server, "alice", OTHER_PASSWORD).await;
        }
    }
}

/// PWD-09 without a token: the devices are kept if the client sends `logout_devices: false`.
#[tokio::test]
async fn pwd_09_a_reset_keeps_devices_on_request() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let mut body = finish(&validation, OTHER_PASSWORD, None);
    body["logout_devices"] = false.into();
    server.post(PASSWORD_PATH, &body).await.ok();
    assert!(alice.is_valid(&server).await);
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// UIA-54, UIA-15, L7: one validated session allows one reset. The same request gets the same response
/// again, and another request changes nothing.
#[tokio::test]
async fn uia_54_a_validated_session_sets_one_password() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let challenge = server.post(PASSWORD_PATH, &json!({})).await.challenge();
    let session = challenge["session"].as_str();
    let body = finish(&validation, OTHER_PASSWORD, session);
    server.post(PASSWORD_PATH, &body).await.ok();
    assert_eq!(server.post(PASSWORD_PATH, &body).await.ok(), json!({}));
    let third = "a third password altogether";
    let other = finish(&validation, third, session);
    server
        .post(PASSWORD_PATH, &other)
        .await
        .error(400, "M_INVALID_PARAM");
    // The session is spent for every UIA session.
    server
        .post(PASSWORD_PATH, &finish(&validation, third, None))
        .await
        .refused("M_UNAUTHORIZED");
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// UIA-54, L8: a session that was validated for one purpose is not accepted for another purpose, from
/// any account.
#[tokio::test]
async fn uia_54_a_session_for_another_purpose_sets_no_password() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    // A session of another address for a registration resets no password.
    let sign_up = request_mail(&server, "new@example.org", "secret").await;
    sign_up.validate(&server).await;
    server
        .post(PASSWORD_PATH, &finish(&sign_up, OTHER_PASSWORD, None))
        .await
        .refused("M_UNAUTHORIZED");
    // A session for a reset registers no account, deactivates nothing and adds nothing.
    let reset = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    reset.validate(&server).await;
    let mut register = reset.attempt(None);
    register["username"] = "mallory".into();
    register["password"] = PASSWORD.into();
    server.register(&register).await.refused("M_UNAUTHORIZED");
    let end = reset.attempt(None);
    server
        .post(DEACTIVATE_PATH, &end)
        .await
        .refused("M_UNRECOGNIZED");
    alice
        .post(&server, DEACTIVATE_PATH, &end)
        .await
        .refused("M_UNRECOGNIZED");
    let add = with_auth(reset.creds(), password_of("alice", PASSWORD, None));
    let reply = alice
        .post(&server, "/_matrix/client/v3/account/3pid/add", &add)
        .await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    assert!(alice.is_valid(&server).await);
    log_in(&server, "alice", PASSWORD).await;
}

/// UIA-24, UIA-25: if the account of the token has a password, the password stage is required and the
/// stage of an address is not accepted.
#[tokio::test]
async fn uia_25_a_validated_address_is_not_a_password() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let bob = sign_up(&server, "bob").await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let reply = bob
        .post(
            &server,
            PASSWORD_PATH,
            &finish(&validation, OTHER_PASSWORD, None),
        )
        .await;
    reply.refused("M_UNRECOGNIZED");
    log_in(&server, "alice", PASSWORD).await;
    log_in(&server, "bob", PASSWORD).await;
}

/// PWD-19, incident 13: no reset reactivates a deactivated account, whether it was started before or
/// after the deactivation.
#[tokio::test]
async fn pwd_19_no_reset_reactivates_an_account() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let before = request_reset_token(&server, EMAIL, ALICE, "before").await;
    before.validate(&server).await;
    let end = with_auth(json!({}), password_of("alice", PASSWORD, None));
    alice.post(&server, DEACTIVATE_PATH, &end).await.ok();
    server
        .post(PASSWORD_PATH, &finish(&before, OTHER_PASSWORD, None))
        .await
        .error(400, "M_THREEPID_NOT_FOUND");
    let sent = server.messages().len();
    let after = request_reset_token(&server, EMAIL, ALICE, "after").await;
    server.deliver().await;
    let resets = |messages: &[gatehouse_local::aws_fakes::outbox::Message]| {
        messages
            .iter()
            .skip(sent)
            .filter(|message| message.text.contains("http"))
            .count()
    };
    assert_eq!(resets(&server.messages()), 0, "no link is sent");
    server
        .post(PASSWORD_PATH, &finish(&after, OTHER_PASSWORD, None))
        .await
        .refused("M_UNAUTHORIZED");
    for password in [PASSWORD, OTHER_PASSWORD] {
        try_login(&server, "alice", password)
            .await
            .error(403, "M_FORBIDDEN");
    }
}

/// UIA-70, UIA-72: the fallback pages serve password changes and resets too, and name the
/// operation.
#[tokio::test]
async fn uia_70_the_pages_serve_password_changes_too() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let request = json!({ "new_password": OTHER_PASSWORD });
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &request).await;
    let path = page(PREFIXES[1], "m.login.password", &session);
    let shown = server.get(&path).await;
    assert_eq!(shown.status, 200);
    let text = shown.text();
    assert!(
        text.contains("new password for your account, “alice”,"),
        "{text}"
    );
    // Password managers find the entry by the username, which cannot be changed.
    let username = r#"value="alice" type="text" autocomplete="username" readonly>"#;
    assert!(text.contains(username), "{text}");
    let refused = submit(&server, &path, "password=wrong").await;
    assert_eq!(refused.status, 401);
    let done = submit(&server, &path, "password=ostrich+lamp+8+quarrel").await;
    assert_eq!(done.status, 200, "{}", done.text());
    let last = json!({ "auth": { "session": session } });
    alice.post(&server, PASSWORD_PATH, &last).await.ok();
    log_in(&server, "alice", OTHER_PASSWORD).await;

    let challenge = server
        .post(PASSWORD_PATH, &json!({ "new_password": PASSWORD }))
        .await
        .challenge();
    let session = challenge["session"].as_str().unwrap();
    let path = page(PREFIXES[1], EMAIL, session);
    submit(&server, &path, "email=alice%40example.org").await;
    server.deliver().await;
    crate::flows::support::threepid_helpers::confirm(&server, &link_to(&server, ALICE)).await;
    submit(&server, &path, "action=check").await;
    server
        .post(PASSWORD_PATH, &json!({ "auth": { "session": session } }))
        .await
        .ok();
    log_in(&server, "alice", PASSWORD).await;
}

/// The test sends 20 concurrent requests with one validated session and different passwords. One
/// password is set.
#[tokio::test]
async fn pwd_05_of_many_resets_with_one_session_one_is_done() {
    let server = Arc::new(TestServer::with(&ADDRESSES).await);
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (server, validation) = (Arc::clone(&server), validation.clone());
            tokio::spawn(async move {
                let password = format!("{OTHER_PASSWORD} {number}");
                let reply = server
                    .post(PASSWORD_PATH, &finish(&validation, &password, None))
                    .await;
                (reply.status.as_u16(), password)
            })
        })
        .collect();
    let mut set = Vec::new();
    for task in tasks {
        let (status, password) = task.await.unwrap();
        match status {
            200 => set.push(password),
            401 | 403 | 429 => {}
            _ => panic!("{status}"),
        }
    }
    assert_eq!(set.len(), 1, "{set:?}");
    let device = Device::of(
        &server
            .post("/_matrix/client/v3/login", &login_of("alice", &set[0]))
            .await
            .ok(),
    );
    assert!(device.is_valid(&server).await);
}

/// UIA-14: a session that was started without a token is rejected for a request with a token. A session that was
/// started with a token does not exist for a client without a token of the same device.
#[tokio::test]
async fn uia_14_a_session_belongs_to_the_client_that_started_it() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let request = json!({ "new_password": OTHER_PASSWORD });
    let (_, of_alice) = alice.begin(&server, PASSWORD_PATH, &request).await;
    let anonymous = server.post(PASSWORD_PATH, &request).await.challenge();
    let anonymous = anonymous["session"].as_str().unwrap();
    let auth = password_of("bob", PASSWORD, Some(&of_alice));
    bob.post(&server, PASSWORD_PATH, &with_auth(request.clone(), auth))
        .await
        .refused("M_UNKNOWN");
    let auth = password_of("alice", PASSWORD, Some(anonymous));
    alice
        .post(&server, PASSWORD_PATH, &with_auth(request.clone(), auth))
        .await
        .error(403, "M_FORBIDDEN");
    let auth = password_of("alice", PASSWORD, Some(&of_alice));
    server
        .post(PASSWORD_PATH, &with_auth(request.clone(), auth))
        .await
        .refused("M_UNKNOWN");
    for (name, person) in [("alice", &alice), ("bob", &bob)] {
        assert!(person.is_valid(&server).await);
        log_in(&server, name, PASSWORD).await;
    }
    let junk = post_as(
        &server,
        "junk",
        PASSWORD_PATH,
        &json!({ "auth": { "session": of_alice } }),
    )
    .await;
    junk.error(401, "M_UNKNOWN_TOKEN");
}
