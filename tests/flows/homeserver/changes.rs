//! Changes that the homeserver gets before the client gets its response (HS-14, HS-17).

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use crate::flows::{
    homeserver::pending,
    purge::log_out_everywhere,
    support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, OTHER_PASSWORD, PASSWORD_PATH,
            log_in, password_of, sign_up, sign_up_with, with_auth,
        },
        homeserver::Homeserver,
        threepid_helpers::EMAIL,
    },
};

/// Sends a UIA-protected request with the password.
async fn protected(
    server: &TestServer,
    device: &Device,
    name: &str,
    path: &str,
    body: serde_json::Value,
) {
    let auth = password_of(name, PASSWORD, None);
    device.post(server, path, &with_auth(body, auth)).await.ok();
}

#[tokio::test]
async fn hs_14_a_logout_deletes_the_device() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    homeserver.take_calls();
    first.log_out(&server).await;
    assert_eq!(homeserver.take_calls(), ["delete_device alice"]);
    assert_eq!(homeserver.devices("alice"), [second.id.as_str()]);
    log_out_everywhere(&server, &second).await;
    assert_eq!(homeserver.take_calls(), ["sync_devices alice"]);
    assert_eq!(homeserver.devices("alice"), [""; 0]);
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn hs_14_deleted_devices_are_deleted_at_the_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    let mut others = Vec::new();
    for _ in 0..11 {
        others.push(log_in(&server, "alice", PASSWORD).await.id);
    }
    homeserver.take_calls();
    let two = json!({ "devices": others[..2] });
    protected(&server, &first, "alice", DELETE_DEVICES_PATH, two).await;
    assert_eq!(homeserver.take_calls(), ["delete_device alice"; 2]);
    // Many devices are deleted by two calls in total.
    let rest = json!({ "devices": others[2..] });
    protected(&server, &first, "alice", DELETE_DEVICES_PATH, rest).await;
    assert_eq!(
        homeserver.take_calls(),
        ["provision_user alice", "sync_devices alice"]
    );
    assert_eq!(homeserver.devices("alice"), [first.id]);
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn hs_17_a_display_name_is_set_at_the_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let device = sign_up(&server, "alice").await;
    homeserver.take_calls();
    device.rename(&server, "Phone").await;
    assert_eq!(
        homeserver.take_calls(),
        ["update_device_display_name alice"]
    );
    assert_eq!(
        homeserver.user("alice").unwrap().devices[&device.id],
        "Phone"
    );
}

#[tokio::test]
async fn hs_14_a_password_change_keeps_one_device() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    log_in(&server, "alice", PASSWORD).await;
    homeserver.take_calls();
    let body = json!({ "new_password": OTHER_PASSWORD });
    protected(&server, &first, "alice", PASSWORD_PATH, body).await;
    assert_eq!(homeserver.take_calls(), ["sync_devices alice"]);
    assert_eq!(homeserver.devices("alice"), [first.id.as_str()]);
    // Without a logout, there is nothing to carry over.
    let auth = password_of("alice", OTHER_PASSWORD, None);
    let body = json!({ "new_password": PASSWORD, "logout_devices": false });
    first
        .post(&server, PASSWORD_PATH, &with_auth(body, auth))
        .await
        .ok();
    assert_eq!(homeserver.take_calls(), [""; 0]);
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn hs_14_a_deactivation_deactivates_the_user() {
    for erase in [false, true] {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        let device = sign_up(&server, "alice").await;
        homeserver.take_calls();
        protected(
            &server,
            &device,
            "alice",
            DEACTIVATE_PATH,
            json!({ "erase": erase }),
        )
        .await;
        assert_eq!(homeserver.take_calls(), ["delete_user alice"]);
        let user = homeserver.user("alice").unwrap();
        assert_eq!((user.is_deactivated, user.is_erased), (true, erase));
        server.deliver().await;
        server.run_schedule().await;
        assert_eq!(homeserver.take_calls(), [""; 0]);
        assert_eq!(pending(&server), 0);
    }
}

#[tokio::test]
async fn hs_17_email_address_changes_are_carried_over() {
    let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
    let device = sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    assert_eq!(
        homeserver.user("alice").unwrap().emails,
        ["alice@example.org"]
    );
    let body = json!({ "medium": "email", "address": "alice@example.org" });
    device
        .post(&server, "/_matrix/client/v3/account/3pid/delete", &body)
        .await
        .ok();
    assert_eq!(homeserver.user("alice").unwrap().emails, [""; 0]);
    assert_eq!(homeserver.devices("alice"), [device.id]);
}

/// An account that the homeserver has never got is changed here only.
#[tokio::test]
async fn hs_14_accounts_that_the_homeserver_does_not_have_are_skipped() {
    let server = TestServer::new().await;
    let device = sign_up(&server, "alice").await;
    device.log_out(&server).await;
    assert_eq!(pending(&server), 0);
}
