//! Concurrent polls, requests and decisions of the device authorization grant.

use std::{collections::BTreeSet, sync::Arc};

use gatehouse_local::dynamodb::proxy::FaultKind;

use crate::{
    api::support::rows_of,
    flows::{
        races::{delayed, finish_overtaken, start_delayed},
        support::{
            at_once,
            device_grant::{DEVICE_PATH, GrantServer},
            oauth_pages::Browser,
            oauth_tokens::{assert_error, send},
            serial,
        },
    },
};

const MANY: usize = 50;

fn devices(grant: &GrantServer) -> usize {
    let rows = rows_of(&grant.server, "alice");
    rows.iter()
        .filter(|(key, _)| key.starts_with("DEV#"))
        .count()
}

/// OA-117: all polls get the tokens of one device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_117_50_parallel_polls_give_one_device() {
    let _serial = serial().await;
    let grant = Arc::new(GrantServer::new().await);
    let device = grant.approved().await;
    let before = devices(&grant);
    let replies = at_once(MANY, |_| {
        let (grant, device) = (Arc::clone(&grant), device.clone());
        async move { grant.poll(&device).await }
    })
    .await;
    let tokens = replies[0].ok();
    assert!(replies.iter().all(|reply| reply.ok() == tokens));
    assert_eq!(devices(&grant), before + 1);
    let access = tokens["access_token"].as_str().unwrap();
    grant.server.whoami(access).await.ok();
    assert_error(&grant.poll(&device).await, 400, "invalid_grant");
}

/// The same with conflicts and throttling. A client repeats a poll after 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_117_parallel_polls_with_conflicts_give_one_device() {
    let _serial = serial().await;
    let grant = Arc::new(GrantServer::new().await);
    let device = grant.approved().await;
    let before = devices(&grant);
    grant.server.expect_faults();
    let proxy = grant.server.local.proxy();
    let faults = [
        FaultKind::Conflict,
        FaultKind::Throttle,
        FaultKind::LostAnswer,
    ];
    proxy.random_faults(7, 200, &faults);
    let replies = at_once(20, |_| {
        let (grant, device) = (Arc::clone(&grant), device.clone());
        async move {
            loop {
                let reply = grant.poll(&device).await;
                if reply.status != 503 {
                    return reply;
                }
            }
        }
    })
    .await;
    proxy.clear_faults();
    let tokens = replies[0].ok();
    assert!(replies.iter().all(|reply| reply.ok() == tokens));
    assert_eq!(devices(&grant), before + 1);
    let access = tokens["access_token"].as_str().unwrap();
    grant.server.whoami(access).await.ok();
}

/// OA-115: polls at the same time count as one that is too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_115_parallel_polls_slow_the_client_down_once() {
    let _serial = serial().await;
    let grant = Arc::new(GrantServer::new().await);
    let device = grant.device().await;
    assert_error(&grant.poll(&device).await, 400, "authorization_pending");
    let proxy = grant.server.local.proxy();
    let delay = FaultKind::Delay(std::time::Duration::from_millis(300));
    proxy.random_faults(1, 1000, &[delay]);
    let replies = at_once(5, |_| {
        let (grant, device) = (Arc::clone(&grant), device.clone());
        async move { grant.poll(&device).await }
    })
    .await;
    proxy.clear_faults();
    for reply in &replies {
        assert_error(reply, 400, "slow_down");
    }
    assert_eq!(grant.row(&device)["interval"]["N"], "10000");
}

/// OA-121: of a consent and a refusal at the same time, one has an effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_121_one_of_two_decisions_has_an_effect() {
    let _serial = serial().await;
    let grant = Arc::new(GrantServer::new().await);
    let mut browser = Browser::new(&grant.server);
    for _ in 0..8 {
        let device = grant.device().await;
        let consent = device.consent(&mut browser, "alice").await.expect(200);
        let cookies = browser.cookies.clone();
        let pages = at_once(8, |number| {
            let (grant, consent) = (Arc::clone(&grant), consent.clone());
            let cookies = cookies.clone();
            async move {
                let mut browser = Browser::new(&grant.server);
                browser.cookies = cookies;
                let action = ["allow", "cancel"][number % 2];
                let page = browser.decide(&consent, action).await;
                (action, page.reply.status.as_u16())
            }
        })
        .await;
        let state = grant.state(&device);
        let winner = match state.as_str() {
            "approved" => "allow",
            "denied" => "cancel",
            other => panic!("{other}"),
        };
        for (action, status) in pages {
            let expected = if action == winner { 200 } else { 400 };
            assert_eq!(status, expected, "{action} in {state}");
        }
        let reply = grant.poll(&device).await;
        match winner {
            "allow" => drop(reply.ok()),
            _ => drop(assert_error(&reply, 400, "access_denied")),
        }
    }
}

/// OA-121: the user logs out everywhere while the exchange is in progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_121_a_logout_during_the_exchange_wins() {
    let grant = Arc::new(GrantServer::new().await);
    let device = grant.approved().await;
    let token = grant.log_in().await;
    let own = Arc::clone(&grant);
    let polling = device.clone();
    let fault = delayed("Oauth2Token", "TransactWriteItems");
    let slow = start_delayed(
        &grant.server,
        fault,
        async move { own.poll(&polling).await },
    )
    .await;
    grant.log_out(&token, "logout/all").await;
    let slow = finish_overtaken(slow).await;
    assert_error(&slow, 400, "invalid_grant");
    assert_error(&grant.poll(&device).await, 400, "invalid_grant");
}

/// OA-113: no two devices have the same codes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_113_parallel_requests_get_different_codes() {
    let _serial = serial().await;
    let grant = Arc::new(GrantServer::new().await);
    let codes = at_once(MANY, |_| {
        let grant = Arc::clone(&grant);
        async move {
            let codes = send(&grant.server, DEVICE_PATH, &grant.request())
                .await
                .ok();
            ["device_code", "user_code"].map(|name| codes[name].as_str().unwrap().to_owned())
        }
    })
    .await;
    let codes: BTreeSet<_> = codes.into_iter().flatten().collect();
    assert_eq!(codes.len(), 2 * MANY);
}
