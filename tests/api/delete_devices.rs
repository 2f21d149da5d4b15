//! `POST /delete_devices`.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::{
    api::support::{add_appservice, post_as, register_as, set_status},
    flows::support::account_helpers::{
        DELETE_DEVICES_PATH, Device, log_in, password_of, rows_of, sign_up, with_auth,
    },
};

/// DEV-03, TOK-13, UIA-40
#[tokio::test]
async fn dev_03_devices_are_deleted_with_their_tokens() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let path = format!("{prefix}/delete_devices");
        let first = sign_up(&server, "alice").await;
        let second = log_in(&server, "alice", PASSWORD).await;
        let third = log_in(&server, "alice", PASSWORD).await;
        // Unknown ones, what cannot be an id, and the same twice.
        let wish = json!({ "devices": [second.id, third.id, third.id, "UNKNOWN", "", "\u{0}"] });
        let (_, session) = first.begin(&server, &path, &wish).await;
        assert!(second.is_valid(&server).await);
        let body = with_auth(wish.clone(), password_of("alice", PASSWORD, Some(&session)));
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
        assert!(first.is_valid(&server).await);
        assert!(!second.is_valid(&server).await && !third.is_valid(&server).await);
        let left = rows_of(&server, "alice");
        let devices = left.iter().filter(|(sk, _)| sk.starts_with("DEV#"));
        assert_eq!(devices.count(), 1);
        // Once more, by the same request and by a new one.
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
        let body = with_auth(wish, password_of("alice", PASSWORD, None));
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
    }
}

/// DEV-03: one's own device too; the repetition is answered although its token is dead.
#[tokio::test]
async fn dev_03_the_calling_device_may_be_among_them() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let wish = json!({ "devices": [alice.id] });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &wish).await;
    let body = with_auth(wish, password_of("alice", PASSWORD, Some(&session)));
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    assert!(!alice.is_valid(&server).await);
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    log_in(&server, "alice", PASSWORD).await;
}

/// UIA-25, L8, L9: nobody else's device, and by nobody else's password.
#[tokio::test]
async fn uia_25_other_peoples_devices_are_not_there() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let wish = json!({ "devices": [bob.id] });
    let body = with_auth(wish.clone(), password_of("bob", PASSWORD, None));
    alice
        .post(&server, DELETE_DEVICES_PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    let body = with_auth(wish, password_of("alice", PASSWORD, None));
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    assert!(bob.is_valid(&server).await && alice.is_valid(&server).await);
}

/// UIA-20: other devices are another request.
#[tokio::test]
async fn uia_20_a_session_is_for_the_devices_it_began_with() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let third = log_in(&server, "alice", PASSWORD).await;
    let wish = json!({ "devices": [second.id] });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &wish).await;
    let other = json!({ "devices": [third.id] });
    let auth = password_of("alice", PASSWORD, Some(&session));
    alice
        .post(
            &server,
            DELETE_DEVICES_PATH,
            &with_auth(other, auth.clone()),
        )
        .await
        .error(403, "M_FORBIDDEN");
    assert!(second.is_valid(&server).await && third.is_valid(&server).await);
    alice
        .post(&server, DELETE_DEVICES_PATH, &json!({ "auth": auth }))
        .await
        .ok();
    assert!(!second.is_valid(&server).await && third.is_valid(&server).await);
}

/// DEV-03, TOK-04, TOK-14, TOK-15, UIA-28
#[tokio::test]
async fn dev_03_who_may_delete_devices() {
    let server = TestServer::new().await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let alice = sign_up(&server, "alice").await;
    server
        .post(DELETE_DEVICES_PATH, &json!({}))
        .await
        .error(401, "M_MISSING_TOKEN");
    alice
        .post(&server, DELETE_DEVICES_PATH, &json!({}))
        .await
        .error(400, "M_MISSING_PARAM");
    alice
        .post(&server, DELETE_DEVICES_PATH, &json!({ "devices": "ALL" }))
        .await
        .error(400, "M_BAD_JSON");
    let many: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    alice
        .post(&server, DELETE_DEVICES_PATH, &json!({ "devices": many }))
        .await
        .error(400, "M_INVALID_PARAM");
    let wish = json!({ "devices": [] });
    set_status(&server, "alice", "suspended");
    alice
        .post(&server, DELETE_DEVICES_PATH, &wish)
        .await
        .challenge();
    set_status(&server, "alice", "locked");
    alice
        .post(&server, DELETE_DEVICES_PATH, &wish)
        .await
        .error(401, "M_USER_LOCKED");
    let user = Device::of(&register_as(&server, &irc, "irc_alice").await.ok());
    let path = format!("{DELETE_DEVICES_PATH}?user_id=@irc_alice:localhost");
    let wish = json!({ "devices": [user.id] });
    assert_eq!(post_as(&server, &irc, &path, &wish).await.ok(), json!({}));
    assert!(!user.is_valid(&server).await);
}

/// More devices than fit into one transaction.
#[tokio::test]
async fn dev_03_many_devices_are_deleted_at_once() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(log_in(&server, "alice", PASSWORD).await.id);
    }
    let wish = json!({ "devices": ids });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &wish).await;
    let auth = password_of("alice", PASSWORD, Some(&session));
    alice
        .post(&server, DELETE_DEVICES_PATH, &with_auth(wish, auth))
        .await
        .ok();
    let left = rows_of(&server, "alice");
    let devices = left.iter().filter(|(sk, _)| sk.starts_with("DEV#"));
    assert_eq!(devices.count(), 1);
}
