//! Refreshes that are concurrent with each other, with the first use of the new tokens or with the end
//! of the device; and lost responses.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::{
    api::support::{
        WHOAMI,
        homeserver::{FunctionUrl, sign_up_alice},
        post_as, text,
    },
    flows::{
        races::{delayed, finish_overtaken, send_until_answered, start_delayed},
        support::{
            account_helpers::{
                LOGIN, OTHER_PASSWORD, PASSWORD_PATH, login_of, password_of, with_auth,
            },
            at_once, serial,
        },
    },
};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const MANY: usize = 60;

async fn alice() -> (Arc<TestServer>, Value) {
    alice_with(&[]).await
}

async fn alice_with(settings: &[(&str, &str)]) -> (Arc<TestServer>, Value) {
    let server = Arc::new(TestServer::with(settings).await);
    sign_up_alice(&server).await;
    let body = login_of("alice", PASSWORD);
    let pair = server.post(LOGIN, &body).await.ok();
    (server, pair)
}

async fn refresh(server: &TestServer, pair: &Value) -> Reply {
    let body = json!({ "refresh_token": pair["refresh_token"] });
    server.post(REFRESH, &body).await
}

async fn is_valid(server: &TestServer, pair: &Value) -> bool {
    let reply = server.get_as(text(pair, "access_token"), WHOAMI).await;
    reply.status == 200
}

/// Runs `meanwhile` during a refresh, after its read and before its write.
async fn run_during_delay(
    server: &Arc<TestServer>,
    pair: &Value,
    meanwhile: impl Future<Output = ()>,
) -> Reply {
    let fault = delayed("Refresh", "UpdateItem");
    let (own, pair) = (Arc::clone(server), pair.clone());
    let slow = start_delayed(server, fault, async move { refresh(&own, &pair).await }).await;
    meanwhile.await;
    finish_overtaken(slow).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refr_03_concurrent_refreshes_with_one_token_are_equal() {
    let _serial = serial().await;
    let (server, first) = alice().await;
    // The second round uses the refresh token of the new pair, which was never used.
    let mut pair = first;
    for _ in 0..2 {
        let replies = at_once(MANY, |_| {
            let (server, pair) = (Arc::clone(&server), pair.clone());
            async move { refresh(&server, &pair).await }
        })
        .await;
        let answers: BTreeSet<String> = replies.iter().map(Reply::text).collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let next = replies[0].ok();
        assert_ne!(next["access_token"], pair["access_token"]);
        pair = next;
    }
    assert!(is_valid(&server, &pair).await);
}

/// HS-07: Palpo sends an introspection for each concurrent request of a client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_07_concurrent_first_introspections_are_all_active() {
    let _serial = serial().await;
    let (server, pair) = alice().await;
    let url = FunctionUrl::of(&server);
    let next = refresh(&server, &pair).await.ok();
    let answers = at_once(MANY, |_| {
        let (url, token) = (url.clone(), text(&next, "access_token").to_owned());
        async move { url.is_active(&token).await }
    })
    .await;
    assert_eq!(answers, [true; MANY]);
    assert!(!url.is_active(text(&pair, "access_token")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refr_03_many_first_uses_of_a_new_token_all_succeed() {
    let _serial = serial().await;
    let (server, first) = alice().await;
    let next = refresh(&server, &first).await.ok();
    let valid = at_once(MANY, |number| {
        let (server, next) = (Arc::clone(&server), next.clone());
        async move {
            if number % 3 == 0 {
                refresh(&server, &next).await.status == 200
            } else {
                is_valid(&server, &next).await
            }
        }
    })
    .await;
    assert!(valid.iter().all(|valid| *valid));
    assert!(!is_valid(&server, &first).await);
    refresh(&server, &first).await.error(401, "M_UNKNOWN_TOKEN");
}

/// Responses of DynamoDB are lost, and the client repeats its request as if its response were lost.
#[tokio::test]
async fn refr_03_a_lost_response_ends_no_session() {
    let (server, first) = alice().await;
    let lost = Fault::new(FaultKind::LostAnswer).on("UpdateItem");
    server.local.proxy().inject(lost.clone().by("Refresh"));
    let next = refresh(&server, &first).await;
    assert_eq!(refresh(&server, &first).await.body, next.body);
    let next = next.ok();
    server.local.proxy().inject(lost.by("AccountWhoami"));
    assert!(is_valid(&server, &next).await);
    assert!(!is_valid(&server, &first).await);
    assert_eq!(server.local.proxy().pending_faults(), 0);
}

/// The client has not received the response and repeats the request much later.
#[tokio::test]
async fn refr_03_a_late_repeat_returns_no_expired_token() {
    let lifetime = ("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h");
    let (server, first) = alice_with(&[lifetime]).await;
    let lost = refresh(&server, &first).await.ok();
    let lifetime = lost["expires_in_ms"].as_u64().unwrap();
    server.advance(Duration::from_millis(lifetime - 1));
    assert_eq!(refresh(&server, &first).await.ok(), lost);
    server.advance(Duration::from_millis(1));
    let fault = Fault::new(FaultKind::LostAnswer)
        .on("UpdateItem")
        .by("Refresh");
    server.local.proxy().inject(fault);
    let next = refresh(&server, &first).await.ok();
    assert_eq!(refresh(&server, &first).await.ok(), next);
    assert!(!is_valid(&server, &lost).await);
    assert!(is_valid(&server, &next).await);
    for dead in [&first, &lost] {
        refresh(&server, dead).await.error(401, "M_UNKNOWN_TOKEN");
    }
    refresh(&server, &next).await.ok();
}

/// OUT-01: during the logout, the first use of a new token invalidates the token of the logout request.
#[tokio::test]
async fn out_01_a_logout_does_not_succeed_if_the_device_stays() {
    let (server, first) = alice().await;
    let next = refresh(&server, &first).await.ok();
    let fault = delayed("Logout", "DeleteItem");
    let (own, token) = (Arc::clone(&server), text(&first, "access_token").to_owned());
    let slow = start_delayed(&server, fault, async move {
        post_as(&own, &token, "/_matrix/client/v3/logout", &json!({})).await
    })
    .await;
    assert!(is_valid(&server, &next).await);
    finish_overtaken(slow).await.error(401, "M_UNKNOWN_TOKEN");
    assert!(is_valid(&server, &next).await);
}

/// A duplicate uses the same refresh token during the request. In the second case, its new access token
/// is used too.
#[tokio::test]
async fn refr_03_a_late_refresh_gets_its_duplicates_pair_or_none() {
    let (server, first) = alice().await;
    let mut duplicate = Value::Null;
    let slow = run_during_delay(&server, &first, async {
        duplicate = refresh(&server, &first).await.ok();
    })
    .await;
    assert_eq!(slow.ok(), duplicate);
    assert!(is_valid(&server, &duplicate).await);

    let (server, first) = alice().await;
    let slow = run_during_delay(&server, &first, async {
        duplicate = refresh(&server, &first).await.ok();
        assert!(is_valid(&server, &duplicate).await);
    })
    .await;
    slow.error(401, "M_UNKNOWN_TOKEN");
    assert!(is_valid(&server, &duplicate).await);
}

/// The new access token is used for the first time during a refresh with its refresh token.
#[tokio::test]
async fn refr_03_the_two_tokens_of_a_new_pair_may_be_used_at_once() {
    let (server, first) = alice().await;
    let second = refresh(&server, &first).await.ok();
    let third = run_during_delay(&server, &second, async {
        assert!(is_valid(&server, &second).await);
    })
    .await;
    let third = third.ok();
    assert!(is_valid(&server, &third).await);
    assert!(!is_valid(&server, &second).await);
}

/// TOK-13, PWD-11.
#[tokio::test]
async fn pwd_11_a_refresh_that_races_a_logout_gives_no_valid_token() {
    for path in ["logout", "logout/all"] {
        let (server, pair) = alice().await;
        let reply = run_during_delay(&server, &pair, async {
            let path = format!("/_matrix/client/v3/{path}");
            let token = text(&pair, "access_token");
            post_as(&server, token, &path, &json!({})).await.ok();
        })
        .await;
        if reply.status == 200 {
            assert!(!is_valid(&server, &reply.ok()).await);
            refresh(&server, &reply.ok())
                .await
                .error(401, "M_UNKNOWN_TOKEN");
        } else {
            reply.error(401, "M_UNKNOWN_TOKEN");
        }
        refresh(&server, &pair).await.error(401, "M_UNKNOWN_TOKEN");
        assert_eq!(
            server.dump().matches("next_answer").count(),
            usize::from(reply.status == 200)
        );
    }
    let (server, pair) = alice().await;
    let other = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let reply = run_during_delay(&server, &pair, async {
        let body = json!({ "new_password": OTHER_PASSWORD });
        let body = with_auth(body, password_of("alice", PASSWORD, None));
        let token = text(&other, "access_token");
        post_as(&server, token, PASSWORD_PATH, &body).await.ok();
    })
    .await;
    assert!(!is_valid(&server, &reply.ok()).await);
    for dead in [&pair, &reply.ok()] {
        refresh(&server, dead).await.error(401, "M_UNKNOWN_TOKEN");
    }
    // The device that was kept can still refresh.
    let next = refresh(&server, &other).await.ok();
    assert!(is_valid(&server, &next).await);
}

/// With random faults of DynamoDB, a client that repeats failed requests keeps its session, and all
/// earlier tokens are invalid.
#[tokio::test]
async fn refr_03_a_client_that_repeats_keeps_its_session() {
    let kinds: [(&[FaultKind], u16); 2] = [
        (
            &[
                FaultKind::LostAnswer,
                FaultKind::ConnectionReset,
                FaultKind::InternalError,
            ],
            250,
        ),
        (
            &[
                FaultKind::Conflict,
                FaultKind::Throttle,
                FaultKind::HalfUnprocessed,
            ],
            400,
        ),
    ];
    for (seed, (kinds, per_mille)) in (1..).zip(kinds) {
        let (server, mut pair) = alice().await;
        server.expect_faults();
        server.local.proxy().random_faults(seed, per_mille, kinds);
        for round in 0..25 {
            let next = send_until_answered(async || refresh(&server, &pair).await)
                .await
                .ok();
            if round % 3 > 0 {
                let token = text(&next, "access_token");
                let me = send_until_answered(async || server.get_as(token, WHOAMI).await).await;
                assert_eq!(me.status, 200, "round {round}: {}", me.text());
                let old = send_until_answered(async || refresh(&server, &pair).await).await;
                old.error(401, "M_UNKNOWN_TOKEN");
            }
            pair = next;
        }
        server.local.proxy().clear_faults();
        assert!(is_valid(&server, &pair).await);
    }
}

/// The stored response can also be decrypted with the previous secret, but not with another token.
#[tokio::test]
async fn refr_03_a_repeat_survives_a_new_secret() {
    let directory = tempfile::tempdir().unwrap();
    let old = "0123456789abcdef0123456789abcdef";
    let new = "fedcba9876543210fedcba9876543210";
    let server = TestServer::in_directory(&[("GATEHOUSE_SECRET", old)], directory.path()).await;
    server.sign_up("alice").await;
    let first = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let next = refresh(&server, &first).await.ok();
    drop(server);
    let settings = [
        ("GATEHOUSE_SECRET", new),
        ("GATEHOUSE_SECRET_PREVIOUS", old),
    ];
    let server = TestServer::in_directory(&settings, directory.path()).await;
    assert_eq!(refresh(&server, &first).await.ok(), next);
    drop(server);
    // If the previous secret is missing, the stored response cannot be read, but the tokens that a
    // client already has stay valid.
    let server = TestServer::in_directory(&[("GATEHOUSE_SECRET", new)], directory.path()).await;
    refresh(&server, &first).await.error(401, "M_UNKNOWN_TOKEN");
    assert!(is_valid(&server, &next).await);
}
