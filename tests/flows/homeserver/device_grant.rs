//! The device of a device authorization grant at the homeserver (OA-80): it exists there before the client gets tokens.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use test_support::Reply;

use crate::{
    api::support::rows_of,
    flows::{
        homeserver::pending,
        support::{
            device_grant::GrantServer,
            homeserver::{Homeserver, Misbehaviour},
            oauth_pages::{DEVICE, OAUTH},
            oauth_tokens::assert_error,
        },
    },
};

async fn start() -> (Homeserver, GrantServer) {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    server.sign_up("alice").await;
    server.expect_faults();
    (homeserver, GrantServer::of(server))
}

fn has_device(homeserver: &Homeserver) -> bool {
    homeserver.devices("alice").contains(&DEVICE.to_owned())
}

fn has_row(grant: &GrantServer) -> bool {
    let rows = rows_of(&grant.server, "alice");
    rows.iter().any(|(key, _)| *key == format!("DEV#{DEVICE}"))
}

#[track_caller]
fn assert_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.body.is_empty(), "OA-97");
    assert!(reply.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn oa_80_the_device_exists_at_the_homeserver() {
    let (homeserver, grant) = start().await;
    let device = grant.approved().await;
    assert!(!has_device(&homeserver));
    let tokens = grant.poll(&device).await.ok();
    assert!(has_device(&homeserver));
    assert_eq!(grant.poll(&device).await.ok(), tokens);
    assert_eq!(pending(&grant.server), 0);
    homeserver.assert_no_violations();
}

/// The code stays usable.
#[tokio::test]
async fn oa_80_a_poll_without_the_homeserver_consumes_nothing() {
    for misbehaviour in [Misbehaviour::Down, Misbehaviour::Fails(500)] {
        let (homeserver, grant) = start().await;
        let device = grant.approved().await;
        homeserver.set_misbehaviour(Some(misbehaviour));
        for _ in 0..2 {
            assert_unavailable(&grant.poll(&device).await);
            assert_eq!(grant.state(&device), "approved");
            assert!(!has_row(&grant));
        }
        homeserver.set_misbehaviour(None);
        let tokens = grant.poll(&device).await.ok();
        assert!(has_device(&homeserver));
        let token = tokens["access_token"].as_str().unwrap();
        grant.server.whoami(token).await.ok();
        homeserver.assert_no_violations();
    }
}

/// Parallel polls return nothing before the homeserver has the device, also if the first one fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_80_parallel_polls_wait_for_the_homeserver() {
    for is_lost in [false, true] {
        let (homeserver, grant) = start().await;
        let device = grant.approved().await;
        homeserver.set_delay(Duration::from_millis(50));
        if is_lost {
            homeserver.misbehave_at(1, Misbehaviour::Fails(500));
        }
        let grant = Arc::new(grant);
        let polls = (0..6).map(|_| {
            let (grant, homeserver) = (Arc::clone(&grant), homeserver.clone());
            let device = device.clone();
            async move {
                let reply = grant.poll(&device).await;
                (has_device(&homeserver), reply)
            }
        });
        for (exists, reply) in join_all(polls).await {
            if reply.status == 200 {
                assert!(exists);
            } else {
                assert_unavailable(&reply);
            }
        }
        let tokens = grant.poll(&device).await.ok();
        assert!(has_device(&homeserver) && has_row(&grant));
        let token = tokens["access_token"].as_str().unwrap();
        grant.server.whoami(token).await.ok();
        assert_error(&grant.poll(&device).await, 400, "invalid_grant");
        homeserver.assert_no_violations();
    }
}

/// The function has ended between its transaction and the call to the homeserver.
#[tokio::test]
async fn oa_80_a_repeated_poll_creates_the_device_that_is_missing() {
    let (homeserver, grant) = start().await;
    let device = grant.approved().await;
    let tokens = grant.poll(&device).await.ok();
    homeserver.change("alice", |user| drop(user.devices.remove(DEVICE)));
    assert_eq!(grant.poll(&device).await.ok(), tokens);
    assert!(has_device(&homeserver));
    homeserver.change("alice", |user| drop(user.devices.remove(DEVICE)));
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    assert_unavailable(&grant.poll(&device).await);
    // The session that the client may have is kept.
    assert!(has_row(&grant));
}
