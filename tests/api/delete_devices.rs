//! `POST /delete_devices`.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::{
    rows::devices,
    support::{add_appservice, post_as, register_as, set_status},
};
use crate::flows::support::account_helpers::{
    DELETE_DEVICES_PATH, Device, log_in, password_of, sign_up, with_auth,
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
        // The list also has unknown IDs, strings that cannot be IDs, and a repeated ID.
        let request = json!({ "devices": [second.id, third.id, third.id, "UNKNOWN", "", "\u{0}"] });
        let (_, session) = first.begin(&server, &path, &request).await;
        assert!(second.is_valid(&server).await);
        let body = with_auth(
            request.clone(),
            password_of("alice", PASSWORD, Some(&session)),
        );
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
        assert!(first.is_valid(&server).await);
        assert!(!second.is_valid(&server).await && !third.is_valid(&server).await);
        assert_eq!(devices(&server, "alice").len(), 1);
        // The deletion succeeds again, with the same request and with a new request.
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
        let body = with_auth(request, password_of("alice", PASSWORD, None));
        assert_eq!(first.post(&server, &path, &body).await.ok(), json!({}));
    }
}

/// DEV-03: the calling device is deleted too. The repeated request succeeds although its token is invalid.
#[tokio::test]
async fn dev_03_the_calling_device_may_be_among_them() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let request = json!({ "devices": [alice.id] });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &request).await;
    let body = with_auth(request, password_of("alice", PASSWORD, Some(&session)));
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    assert!(!alice.is_valid(&server).await);
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    log_in(&server, "alice", PASSWORD).await;
}

/// UIA-25, L8, L9: another user's password is rejected, and another user's device is not deleted.
#[tokio::test]
async fn uia_25_devices_of_other_users_are_not_deleted() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let request = json!({ "devices": [bob.id] });
    let body = with_auth(request.clone(), password_of("bob", PASSWORD, None));
    alice
        .post(&server, DELETE_DEVICES_PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    let body = with_auth(request, password_of("alice", PASSWORD, None));
    alice.post(&server, DELETE_DEVICES_PATH, &body).await.ok();
    assert!(bob.is_valid(&server).await && alice.is_valid(&server).await);
}

/// UIA-20: a request for other devices is a different request.
#[tokio::test]
async fn uia_20_a_session_is_for_the_devices_it_began_with() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let third = log_in(&server, "alice", PASSWORD).await;
    let request = json!({ "devices": [second.id] });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &request).await;
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
async fn dev_03_callers_that_may_delete_devices() {
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
    let request = json!({ "devices": [] });
    set_status(&server, "alice", "suspended");
    alice
        .post(&server, DELETE_DEVICES_PATH, &request)
        .await
        .challenge();
    set_status(&server, "alice", "locked");
    alice
        .post(&server, DELETE_DEVICES_PATH, &request)
        .await
        .error(401, "M_USER_LOCKED");
    let user = Device::of(&register_as(&server, &irc, "irc_alice").await.ok());
    let path = format!("{DELETE_DEVICES_PATH}?user_id=@irc_alice:localhost");
    let request = json!({ "devices": [user.id] });
    assert_eq!(
        post_as(&server, &irc, &path, &request).await.ok(),
        json!({})
    );
    assert!(!user.is_valid(&server).await);
}

/// The request has more devices than fit in one transaction.
#[tokio::test]
async fn dev_03_many_devices_are_deleted_at_once() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(log_in(&server, "alice", PASSWORD).await.id);
    }
    let request = json!({ "devices": ids });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &request).await;
    let auth = password_of("alice", PASSWORD, Some(&session));
    alice
        .post(&server, DELETE_DEVICES_PATH, &with_auth(request, auth))
        .await
        .ok();
    assert_eq!(devices(&server, "alice").len(), 1);
}
