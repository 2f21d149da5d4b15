//! `GET`, `PUT` and `DELETE /devices/{deviceId}`.

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use super::{
    devices::log_in,
    support::{post_as, rows_of, send_as, text},
};
use crate::flows::support::account_helpers;

/// Sends a `PUT` with an access token.
pub(super) async fn put(server: &TestServer, token: &str, path: &str, body: &Value) -> Reply {
    send_as(server, token, ("PUT", path), body.to_string().as_bytes()).await
}

#[tokio::test]
async fn dev_01_a_device_is_found_by_its_encoded_id() {
    let server = TestServer::new().await;
    let bob = server.sign_up("bob").await;
    server.sign_up("alice").await;
    for (id, segment) in [
        ("PHONE", "PHONE"),
        ("a/b", "a%2Fb"),
        ("a b+c", "a%20b+c"),
        ("ü%41", "%C3%BC%2541"),
    ] {
        let alice = log_in(&server, "alice", id, "hers").await;
        let token = text(&alice, "access_token");
        for prefix in PREFIXES {
            let path = format!("{prefix}/devices/{segment}");
            let shown = server.get_as(token, &path).await;
            assert_eq!(
                shown.ok(),
                json!({ "device_id": id, "display_name": "hers" })
            );
            server
                .get_as(text(&bob, "access_token"), &path)
                .await
                .error(404, "M_NOT_FOUND");
            server.get(&path).await.error(401, "M_MISSING_TOKEN");
        }
    }
    let token = text(&bob, "access_token");
    let long = "x".repeat(300);
    for segment in [
        "OTHER",
        "%00",
        "%FF",
        "%20",
        "A",
        "PW",
        "bob",
        long.as_str(),
    ] {
        let path = format!("{}/devices/{segment}", PREFIXES[1]);
        server.get_as(token, &path).await.error(404, "M_NOT_FOUND");
        put(&server, token, &path, &json!({ "display_name": "x" }))
            .await
            .error(404, "M_NOT_FOUND");
        put(&server, token, &path, &json!({}))
            .await
            .error(404, "M_NOT_FOUND");
    }
}

#[tokio::test]
async fn dev_02_a_device_gets_another_name_and_keeps_it() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let alice = log_in(&server, "alice", "PHONE", "first").await;
    let bob = server.sign_up("bob").await;
    let token = text(&alice, "access_token");
    let name_of = async || {
        let path = format!("{}/devices/PHONE", PREFIXES[1]);
        server.get_as(token, &path).await.ok()["display_name"].clone()
    };
    for prefix in PREFIXES {
        let path = format!("{prefix}/devices/PHONE");
        for (body, name) in [
            (json!({ "display_name": "second" }), "second"),
            (json!({}), "second"),
            (json!({ "display_name": null }), "second"),
            (json!({ "display_name": "" }), ""),
            (json!({ "display_name": "ü".repeat(100) }), &"ü".repeat(100)),
            (json!({ "display_name": "third", "more": 1 }), "third"),
        ] {
            let reply = put(&server, token, &path, &body).await;
            assert_eq!(reply.ok(), json!({}));
            assert_eq!(name_of().await, name);
        }
        for (body, code) in [
            (json!({ "display_name": 5 }), "M_BAD_JSON"),
            (json!(["display_name"]), "M_BAD_JSON"),
            (
                json!({ "display_name": "u".repeat(101) }),
                "M_INVALID_PARAM",
            ),
        ] {
            put(&server, token, &path, &body).await.error(400, code);
        }
        let stolen = json!({ "display_name": "stolen" });
        put(&server, text(&bob, "access_token"), &path, &stolen)
            .await
            .error(404, "M_NOT_FOUND");
        assert_eq!(name_of().await, "third");
    }
}

/// REG-19: a login with a known device ID does not change the device's name.
#[tokio::test]
async fn reg_19_a_login_names_only_a_new_device() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    log_in(&server, "alice", "PHONE", "first").await;
    let alice = log_in(&server, "alice", "PHONE", "second").await;
    let path = format!("{}/devices/PHONE", PREFIXES[1]);
    let shown = server.get_as(text(&alice, "access_token"), &path).await;
    assert_eq!(shown.ok()["display_name"], "first");
}

/// DEV-02: renaming neither creates nor restores a device.
#[tokio::test]
async fn dev_02_a_logged_out_or_unknown_device_is_not_renamed() {
    let server = TestServer::new().await;
    let first = server.sign_up("alice").await;
    log_in(&server, "alice", "PHONE", "phone").await;
    let token = text(&first, "access_token");
    let all = "/_matrix/client/v3/logout/all";
    post_as(&server, token, all, &json!({})).await.ok();
    let second = log_in(&server, "alice", "NEW", "new").await;
    let token = text(&second, "access_token");
    let path = format!("{}/devices/PHONE", PREFIXES[1]);
    let name = json!({ "display_name": "again" });
    for purged in [false, true] {
        let rows = rows_of(&server, "alice");
        server.get_as(token, &path).await.error(404, "M_NOT_FOUND");
        put(&server, token, &path, &name)
            .await
            .error(404, "M_NOT_FOUND");
        assert_eq!(rows_of(&server, "alice"), rows);
        assert_eq!(rows.iter().any(|(sk, _)| sk == "DEV#PHONE"), !purged);
        server.deliver().await;
    }
}

/// Sends a `DELETE` with an access token.
async fn delete(server: &TestServer, token: &str, path: &str, body: Option<&Value>) -> Reply {
    let body = body.map(Value::to_string).unwrap_or_default();
    send_as(server, token, ("DELETE", path), body.as_bytes()).await
}

/// DEV-03, TOK-13, UIA-40: the first request may have no body.
#[tokio::test]
async fn dev_03_a_device_is_deleted_with_its_tokens() {
    for (prefix, first) in [(PREFIXES[0], None), (PREFIXES[1], Some(json!({})))] {
        let server = TestServer::new().await;
        let alice = account_helpers::sign_up(&server, "alice").await;
        let second = account_helpers::log_in(&server, "alice", PASSWORD).await;
        let path = format!("{prefix}/devices/{}", second.id);
        let challenge = delete(&server, &alice.token, &path, first.as_ref()).await;
        let challenge = challenge.challenge();
        assert_eq!(
            challenge["flows"],
            json!([{ "stages": ["m.login.password"] }])
        );
        let auth = account_helpers::password_of("alice", PASSWORD, challenge["session"].as_str());
        let body = json!({ "auth": auth });
        for _ in 0..2 {
            let reply = delete(&server, &alice.token, &path, Some(&body)).await;
            assert_eq!(reply.ok(), json!({}));
        }
        assert!(!second.is_valid(&server).await && alice.is_valid(&server).await);
        server
            .get_as(&alice.token, &path)
            .await
            .error(404, "M_NOT_FOUND");
        // Deleting an unknown device succeeds after UIA.
        let body = json!({ "auth": account_helpers::password_of("alice", PASSWORD, None) });
        let path = format!("{prefix}/devices/UNKNOWN");
        delete(&server, &alice.token, &path, None).await.challenge();
        let reply = delete(&server, &alice.token, &path, Some(&body)).await;
        assert_eq!(reply.ok(), json!({}));
    }
}

/// UIA-13, incident 15 (UIA for one operation finished another): a session for one device does not delete another
/// device.
#[tokio::test]
async fn uia_13_a_session_deletes_the_device_it_was_begun_for() {
    let server = TestServer::new().await;
    let alice = account_helpers::sign_up(&server, "alice").await;
    let second = account_helpers::log_in(&server, "alice", PASSWORD).await;
    let third = account_helpers::log_in(&server, "alice", PASSWORD).await;
    let path = |device: &account_helpers::Device| format!("{}/devices/{}", PREFIXES[1], device.id);
    let challenge = delete(&server, &alice.token, &path(&second), None).await;
    let challenge = challenge.challenge();
    let session = challenge["session"].as_str();
    let body = json!({ "auth": account_helpers::password_of("alice", PASSWORD, session) });
    delete(&server, &alice.token, &path(&third), Some(&body))
        .await
        .error(403, "M_FORBIDDEN");
    assert!(second.is_valid(&server).await && third.is_valid(&server).await);
    delete(&server, &alice.token, &path(&second), Some(&body))
        .await
        .ok();
    // The finished session is rejected for any other request.
    delete(&server, &alice.token, &path(&third), Some(&body))
        .await
        .error(400, "M_INVALID_PARAM");
    assert!(!second.is_valid(&server).await && third.is_valid(&server).await);
}

/// UIA-25, L9: another user's password is rejected, and another user's device is not deleted.
#[tokio::test]
async fn uia_25_nobody_deletes_the_device_of_another_user() {
    let server = TestServer::new().await;
    let alice = account_helpers::sign_up(&server, "alice").await;
    let bob = account_helpers::sign_up(&server, "bob").await;
    let path = format!("{}/devices/{}", PREFIXES[1], bob.id);
    let body = json!({ "auth": account_helpers::password_of("bob", PASSWORD, None) });
    delete(&server, &alice.token, &path, Some(&body))
        .await
        .error(403, "M_FORBIDDEN");
    let body = json!({ "auth": account_helpers::password_of("alice", PASSWORD, None) });
    delete(&server, &alice.token, &path, Some(&body)).await.ok();
    assert!(bob.is_valid(&server).await && alice.is_valid(&server).await);
}
