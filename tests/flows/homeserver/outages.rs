//! Changes while the homeserver is down: they succeed here, and the homeserver gets them later (HS-15, HS-16, HS-18).

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::post_as,
    flows::{
        homeserver::{assert_unavailable, pending},
        purge::log_out_everywhere,
        support::{
            account_helpers::{
                ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, LOGIN, OTHER_PASSWORD,
                PASSWORD_PATH, log_in, login_of, password_of, sign_up, sign_up_with, with_auth,
            },
            homeserver::{Homeserver, Misbehaviour},
            threepid_helpers::EMAIL,
        },
    },
};

const OUTAGES: [Misbehaviour; 4] = [
    Misbehaviour::Down,
    Misbehaviour::LosesResponse,
    Misbehaviour::Fails(500),
    Misbehaviour::Hangs,
];

async fn protected(server: &TestServer, device: &Device, path: &str, body: Value) {
    let auth = password_of("alice", PASSWORD, None);
    device.post(server, path, &with_auth(body, auth)).await.ok();
}

/// Runs the schedule of a minute, as AWS does.
async fn after_a_minute(server: &TestServer) {
    server.advance(Duration::from_mins(1));
    server.run_schedule().await;
}

#[tokio::test]
async fn hs_15_every_change_is_carried_over_later() {
    for outage in OUTAGES {
        let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
        let first = sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
        let second = log_in(&server, "alice", PASSWORD).await;
        let third = log_in(&server, "alice", PASSWORD).await;
        homeserver.set_misbehaviour(Some(outage));
        second.log_out(&server).await;
        let device = json!({ "devices": [third.id] });
        protected(&server, &first, DELETE_DEVICES_PATH, device).await;
        first.rename(&server, "Phone").await;
        let address = json!({ "medium": "email", "address": "alice@example.org" });
        first
            .post(&server, "/_matrix/client/v3/account/3pid/delete", &address)
            .await
            .ok();
        assert_eq!(pending(&server), 1, "{outage:?}");
        // The schedule runs while the homeserver is still down.
        after_a_minute(&server).await;
        assert_eq!(pending(&server), 1, "{outage:?}");
        homeserver.set_misbehaviour(None);
        after_a_minute(&server).await;
        let user = homeserver.user("alice").unwrap();
        let devices: Vec<_> = user.devices.into_iter().collect();
        assert_eq!(
            devices,
            [(first.id.clone(), "Phone".to_owned())],
            "{outage:?}"
        );
        assert_eq!(user.emails, [""; 0]);
        assert_eq!(pending(&server), 0);
        homeserver.assert_no_violations();
    }
}

#[tokio::test]
async fn hs_15_logout_all_and_a_password_change_are_carried_over_later() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    log_in(&server, "alice", PASSWORD).await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    protected(
        &server,
        &first,
        PASSWORD_PATH,
        json!({ "new_password": OTHER_PASSWORD }),
    )
    .await;
    homeserver.set_misbehaviour(None);
    after_a_minute(&server).await;
    assert_eq!(homeserver.devices("alice"), [first.id]);
    let second = log_in(&server, "alice", OTHER_PASSWORD).await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    log_out_everywhere(&server, &second).await;
    homeserver.set_misbehaviour(None);
    after_a_minute(&server).await;
    assert_eq!(homeserver.devices("alice"), [""; 0]);
}

#[tokio::test]
async fn hs_16_a_deactivation_is_the_last_change() {
    for outage in OUTAGES {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        let first = sign_up(&server, "alice").await;
        let second = log_in(&server, "alice", PASSWORD).await;
        homeserver.set_misbehaviour(Some(outage));
        second.log_out(&server).await;
        protected(&server, &first, DEACTIVATE_PATH, json!({ "erase": true })).await;
        server.deliver().await;
        after_a_minute(&server).await;
        homeserver.set_misbehaviour(None);
        homeserver.take_calls();
        after_a_minute(&server).await;
        assert_eq!(homeserver.take_calls(), ["delete_user alice"], "{outage:?}");
        let user = homeserver.user("alice").unwrap();
        assert!(user.is_deactivated && user.is_erased && user.devices.is_empty());
        assert_eq!(pending(&server), 0);
        homeserver.assert_no_violations();
    }
}

/// A login after an outage also carries over the pending changes.
#[tokio::test]
async fn hs_15_a_login_carries_over_earlier_changes() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    first.log_out(&server).await;
    homeserver.set_misbehaviour(None);
    let second = log_in(&server, "alice", PASSWORD).await;
    assert_eq!(homeserver.devices("alice"), [second.id]);
    assert_eq!(pending(&server), 0);
}

/// Messages do not wait for a homeserver that is down, and one user's rejection does not stop the others.
#[tokio::test]
async fn hs_15_pending_updates_delay_no_message() {
    let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
    let mut devices = Vec::new();
    for number in 0..20 {
        devices.push(sign_up(&server, &format!("user{number}")).await);
    }
    homeserver.set_misbehaviour(Some(Misbehaviour::Hangs));
    let empty = json!({});
    let logouts = devices
        .iter()
        .map(|device| post_as(&server, &device.token, "/_matrix/client/v3/logout", &empty));
    for reply in futures_util::future::join_all(logouts).await {
        reply.ok();
    }
    assert_eq!(pending(&server), 20);
    let started = std::time::Instant::now();
    after_a_minute(&server).await;
    // The first eight updates fail together, and the others are not tried.
    assert!(started.elapsed() < Duration::from_secs(8));
    homeserver.set_misbehaviour(Some(Misbehaviour::Fails(400)));
    homeserver.take_calls();
    after_a_minute(&server).await;
    assert_eq!(homeserver.take_calls().len(), 20);
    assert!(server.dump().contains("status 400"));
    // A rejected update is tried again after a longer time.
    homeserver.set_misbehaviour(None);
    after_a_minute(&server).await;
    assert_eq!(pending(&server), 20);
    server.advance(Duration::from_mins(15));
    server.run_schedule().await;
    assert_eq!(pending(&server), 0);
    assert_eq!(homeserver.devices("user7"), [""; 0]);
}

/// The row of a pending update does not expire.
#[tokio::test]
async fn hs_15_an_update_is_pending_until_it_is_made() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let first = sign_up(&server, "alice").await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    first.log_out(&server).await;
    server.advance(Duration::from_hours(30 * 24));
    homeserver.set_misbehaviour(None);
    server.run_schedule().await;
    assert_eq!(homeserver.devices("alice"), [""; 0]);
    assert_eq!(pending(&server), 0);
}

/// The keys of a device that was logged out are gone, also if the homeserver did not get the logout before the next
/// login with the same device ID.
#[tokio::test]
async fn hs_15_a_new_login_gets_no_keys_of_a_logged_out_device() {
    for misbehaviour in OUTAGES {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        server.expect_faults();
        sign_up(&server, "alice").await;
        let mut login = login_of("alice", PASSWORD);
        login["device_id"] = "DESK".into();
        let device = Device::of(&server.post(LOGIN, &login).await.ok());
        homeserver.change("alice", |user| {
            user.devices
                .insert("DESK".to_owned(), "with keys".to_owned());
        });
        homeserver.set_misbehaviour(Some(misbehaviour));
        let logout = "/_matrix/client/v3/logout";
        post_as(&server, &device.token, logout, &json!({}))
            .await
            .ok();
        assert_unavailable(&server.post(LOGIN, &login).await);
        homeserver.set_misbehaviour(None);
        server.post(LOGIN, &login).await.ok();
        let user = homeserver.user("alice").unwrap();
        assert_eq!(user.devices["DESK"], "", "{misbehaviour:?}");
        // A further login keeps the keys.
        homeserver.take_calls();
        server.post(LOGIN, &login).await.ok();
        assert_eq!(homeserver.take_calls(), ["upsert_device alice"]);
        homeserver.assert_no_violations();
    }
}
