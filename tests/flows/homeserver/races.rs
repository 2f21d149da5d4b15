//! Concurrent requests: afterwards both sides have the same users and devices, and no call has overtaken another.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::{
    api::support::{dummy_registration, post_as},
    flows::{
        homeserver::pending,
        support::{
            DUMMY,
            account_helpers::{
                DEACTIVATE_PATH, Device, log_in, password_of, sign_up, try_login, with_auth,
            },
            homeserver::Homeserver,
        },
    },
};

/// Runs the schedule until nothing is pending.
async fn settle(server: &TestServer) {
    for _ in 0..5 {
        server.deliver().await;
        server.advance(Duration::from_mins(1));
        server.run_schedule().await;
    }
    assert_eq!(pending(server), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_11_fifty_parallel_registrations_are_usable() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let server = Arc::new(server);
    let names: Vec<_> = (0..50).map(|number| format!("user{number}")).collect();
    let devices = join_all(names.iter().map(|name| sign_up(&server, name))).await;
    for (name, device) in names.iter().zip(devices) {
        assert_eq!(homeserver.devices(name), [device.id]);
    }
    assert_eq!(pending(&server), 0);
    homeserver.assert_no_violations();
}

/// Concurrent registrations of one name. One succeeds, and has the name on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_12_one_of_many_registrations_gets_the_name() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.set_delay(Duration::from_millis(5));
    let body = dummy_registration("alice");
    let replies = join_all((0..12).map(|_| server.register(&body))).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1);
    for reply in lost {
        reply.error(400, "M_USER_IN_USE");
    }
    assert_eq!(homeserver.devices("alice"), [Device::of(&won[0].ok()).id]);
    settle(&server).await;
    homeserver.assert_no_violations();
}

/// Concurrent repetitions of one session get the same response.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_13_concurrent_repetitions_complete_one_account() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.set_delay(Duration::from_millis(5));
    let (_, session) = server
        .begin(&json!({ "username": "alice", "password": PASSWORD }))
        .await;
    let body = json!({ "auth": { "type": DUMMY, "session": session } });
    let replies = join_all((0..6).map(|_| server.register(&body))).await;
    let tokens: std::collections::BTreeSet<_> = replies
        .iter()
        .map(|reply| Device::of(&reply.ok()).token)
        .collect();
    assert_eq!(tokens.len(), 1);
    homeserver.assert_no_violations();
}

/// Logins, logouts and a deactivation at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_16_logins_and_a_deactivation_end_in_a_deactivated_user() {
    for round in 0..6 {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        homeserver.set_delay(Duration::from_millis(3));
        server.expect_faults();
        let first = sign_up(&server, "alice").await;
        let second = log_in(&server, "alice", PASSWORD).await;
        let logins = join_all((0..4).map(|_| try_login(&server, "alice", PASSWORD)));
        let empty = json!({});
        let logout = post_as(&server, &second.token, "/_matrix/client/v3/logout", &empty);
        let end = async {
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            let auth = password_of("alice", PASSWORD, None);
            first
                .post(&server, DEACTIVATE_PATH, &with_auth(json!({}), auth))
                .await
        };
        let (_, _, ended) = tokio::join!(logins, logout, end);
        ended.ok();
        settle(&server).await;
        let user = homeserver.user("alice").unwrap();
        assert!(user.is_deactivated && user.devices.is_empty(), "{round}");
        homeserver.assert_no_violations();
    }
}

/// Logins and logouts of one user at the same time: in the end both sides have the same devices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_18_concurrent_logins_and_logouts_leave_the_same_devices() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.set_delay(Duration::from_millis(2));
    let first = sign_up(&server, "alice").await;
    let mut old = Vec::new();
    for _ in 0..5 {
        old.push(log_in(&server, "alice", PASSWORD).await);
    }
    let logins = join_all((0..5).map(|_| log_in(&server, "alice", PASSWORD)));
    let empty = json!({});
    let logouts = join_all(
        old.iter()
            .map(|device| post_as(&server, &device.token, "/_matrix/client/v3/logout", &empty)),
    );
    let (new, logouts) = tokio::join!(logins, logouts);
    for reply in logouts {
        reply.ok();
    }
    settle(&server).await;
    let mut expected: Vec<_> = new.into_iter().map(|device| device.id).collect();
    expected.push(first.id.clone());
    expected.sort();
    assert_eq!(homeserver.devices("alice"), expected);
    let list = format!("{}/devices", PREFIXES[1]);
    let devices = server.get_as(&first.token, &list).await.ok();
    assert_eq!(devices["devices"].as_array().unwrap().len(), expected.len());
    homeserver.assert_no_violations();
}
