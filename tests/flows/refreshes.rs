//! Refreshing at once with oneself, with the first use of what it gives, and with what ends a
//! device; answers that are lost on the way.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gatehouse_local::tap::{Fault, Kind};
use kit::{House, PASSWORD, Reply};
use serde_json::{Value, json};

use crate::{
    api::support::{WHOAMI, post_as, text},
    flows::{
        people::{CHANGE, LOGIN, OTHER, login_of, password_of, with_auth},
        support::{alone, at_once},
    },
};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const MANY: usize = 60;

async fn alice() -> (Arc<House>, Value) {
    alice_with(&[]).await
}

async fn alice_with(settings: &[(&str, &str)]) -> (Arc<House>, Value) {
    let house = Arc::new(House::with(settings).await);
    house.sign_up("alice").await;
    let body = login_of("alice", PASSWORD);
    let pair = house.post(LOGIN, &body).await.ok();
    (house, pair)
}

async fn refresh(house: &House, pair: &Value) -> Reply {
    let body = json!({ "refresh_token": pair["refresh_token"] });
    house.post(REFRESH, &body).await
}

async fn is_alive(house: &House, pair: &Value) -> bool {
    let reply = house.get_as(text(pair, "access_token"), WHOAMI).await;
    reply.status == 200
}

/// Refreshes while `meanwhile` happens: the refresh has read what it has to know and has written
/// nothing yet.
async fn overtake(house: &Arc<House>, pair: &Value, meanwhile: impl Future<Output = ()>) -> Reply {
    let tap = house.local.tap();
    let hold = Fault::new(Kind::Delay(Duration::from_millis(800)));
    tap.inject(hold.by("Refresh").on("UpdateItem"));
    let (own, pair) = (Arc::clone(house), pair.clone());
    let slow = tokio::spawn(async move { refresh(&own, &pair).await });
    while tap.pending_faults() > 0 {
        assert!(!slow.is_finished(), "there is no such call");
        tokio::task::yield_now().await;
    }
    meanwhile.await;
    assert!(!slow.is_finished(), "it has not been overtaken");
    slow.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refr_03_many_refreshes_with_one_token_get_the_same_bytes() {
    let _alone = alone().await;
    let (house, first) = alice().await;
    // The second time with the refresh token of the pair that nobody has used yet.
    let mut pair = first;
    for _ in 0..2 {
        let replies = at_once(MANY, |_| {
            let (house, pair) = (Arc::clone(&house), pair.clone());
            async move { refresh(&house, &pair).await }
        })
        .await;
        let answers: BTreeSet<String> = replies.iter().map(Reply::text).collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let next = replies[0].ok();
        assert_ne!(next["access_token"], pair["access_token"]);
        pair = next;
    }
    assert!(is_alive(&house, &pair).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refr_03_many_first_uses_of_a_new_token_all_succeed() {
    let _alone = alone().await;
    let (house, first) = alice().await;
    let next = refresh(&house, &first).await.ok();
    let alive = at_once(MANY, |number| {
        let (house, next) = (Arc::clone(&house), next.clone());
        async move {
            if number % 3 == 0 {
                refresh(&house, &next).await.status == 200
            } else {
                is_alive(&house, &next).await
            }
        }
    })
    .await;
    assert!(alive.iter().all(|alive| *alive));
    assert!(!is_alive(&house, &first).await);
    refresh(&house, &first).await.error(401, "M_UNKNOWN_TOKEN");
}

/// The answer of the tables is lost; or that to the client, which asks again.
#[tokio::test]
async fn refr_03_a_lost_answer_costs_nobody_their_session() {
    let (house, first) = alice().await;
    let lost = Fault::new(Kind::LostAnswer).on("UpdateItem");
    house.local.tap().inject(lost.clone().by("Refresh"));
    let next = refresh(&house, &first).await;
    assert_eq!(refresh(&house, &first).await.body, next.body);
    let next = next.ok();
    house.local.tap().inject(lost.by("AccountWhoami"));
    assert!(is_alive(&house, &next).await);
    assert!(!is_alive(&house, &first).await);
    assert_eq!(house.local.tap().pending_faults(), 0);
}

/// The client never got the answer, and asks again a long time after.
#[tokio::test]
async fn refr_03_a_late_repeat_does_not_give_a_token_that_has_expired() {
    let lifetime = ("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h");
    let (house, first) = alice_with(&[lifetime]).await;
    let lost = refresh(&house, &first).await.ok();
    let lifetime = lost["expires_in_ms"].as_u64().unwrap();
    house.advance(Duration::from_millis(lifetime - 1));
    assert_eq!(refresh(&house, &first).await.ok(), lost);
    house.advance(Duration::from_millis(1));
    let fault = Fault::new(Kind::LostAnswer).on("UpdateItem").by("Refresh");
    house.local.tap().inject(fault);
    let next = refresh(&house, &first).await.ok();
    assert_eq!(refresh(&house, &first).await.ok(), next);
    assert!(!is_alive(&house, &lost).await);
    assert!(is_alive(&house, &next).await);
    for dead in [&first, &lost] {
        refresh(&house, dead).await.error(401, "M_UNKNOWN_TOKEN");
    }
    refresh(&house, &next).await.ok();
}

/// OUT-01: the token dies of the other's first use while its logout is under way.
#[tokio::test]
async fn out_01_a_logout_does_not_say_done_of_a_device_that_lives() {
    let (house, first) = alice().await;
    let next = refresh(&house, &first).await.ok();
    let tap = house.local.tap();
    let hold = Fault::new(Kind::Delay(Duration::from_millis(800)));
    tap.inject(hold.by("Logout").on("DeleteItem"));
    let (own, token) = (Arc::clone(&house), text(&first, "access_token").to_owned());
    let slow = tokio::spawn(async move {
        post_as(&own, &token, "/_matrix/client/v3/logout", &json!({})).await
    });
    while tap.pending_faults() > 0 {
        assert!(!slow.is_finished(), "there is no such call");
        tokio::task::yield_now().await;
    }
    assert!(is_alive(&house, &next).await);
    assert!(!slow.is_finished(), "it has not been overtaken");
    slow.await.unwrap().error(401, "M_UNKNOWN_TOKEN");
    assert!(is_alive(&house, &next).await);
}

/// A twin has turned in the same token meanwhile, and one of its tokens has been used.
#[tokio::test]
async fn refr_03_a_refresh_that_comes_too_late_gets_what_its_twin_got_or_nothing() {
    let (house, first) = alice().await;
    let mut twin = Value::Null;
    let slow = overtake(&house, &first, async {
        twin = refresh(&house, &first).await.ok();
    })
    .await;
    assert_eq!(slow.ok(), twin);
    assert!(is_alive(&house, &twin).await);

    let (house, first) = alice().await;
    let slow = overtake(&house, &first, async {
        twin = refresh(&house, &first).await.ok();
        assert!(is_alive(&house, &twin).await);
    })
    .await;
    slow.error(401, "M_UNKNOWN_TOKEN");
    assert!(is_alive(&house, &twin).await);
}

/// The new access token is used first while its refresh token is being turned in.
#[tokio::test]
async fn refr_03_the_two_tokens_of_a_new_pair_may_be_used_at_once() {
    let (house, first) = alice().await;
    let second = refresh(&house, &first).await.ok();
    let third = overtake(&house, &second, async {
        assert!(is_alive(&house, &second).await);
    })
    .await;
    let third = third.ok();
    assert!(is_alive(&house, &third).await);
    assert!(!is_alive(&house, &second).await);
}

/// TOK-13, PWD-11.
#[tokio::test]
async fn pwd_11_a_refresh_that_races_a_logout_or_a_password_change_gives_nothing_that_lives() {
    for path in ["logout", "logout/all"] {
        let (house, pair) = alice().await;
        let reply = overtake(&house, &pair, async {
            let path = format!("/_matrix/client/v3/{path}");
            let token = text(&pair, "access_token");
            post_as(&house, token, &path, &json!({})).await.ok();
        })
        .await;
        if reply.status == 200 {
            assert!(!is_alive(&house, &reply.ok()).await);
            refresh(&house, &reply.ok())
                .await
                .error(401, "M_UNKNOWN_TOKEN");
        } else {
            reply.error(401, "M_UNKNOWN_TOKEN");
        }
        refresh(&house, &pair).await.error(401, "M_UNKNOWN_TOKEN");
        assert_eq!(
            house.dump().matches("next_answer").count(),
            usize::from(reply.status == 200)
        );
    }
    let (house, pair) = alice().await;
    let other = house.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let reply = overtake(&house, &pair, async {
        let body = json!({ "new_password": OTHER });
        let body = with_auth(body, password_of("alice", PASSWORD, None));
        let token = text(&other, "access_token");
        post_as(&house, token, CHANGE, &body).await.ok();
    })
    .await;
    assert!(!is_alive(&house, &reply.ok()).await);
    for dead in [&pair, &reply.ok()] {
        refresh(&house, dead).await.error(401, "M_UNKNOWN_TOKEN");
    }
    // The device that was spared goes on refreshing.
    let next = refresh(&house, &other).await.ok();
    assert!(is_alive(&house, &next).await);
}

/// Repeats a request as a client does until it is answered.
async fn insist(ask: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..30 {
        let reply = ask().await;
        if reply.status != 429 && !reply.status.is_server_error() {
            return reply;
        }
    }
    panic!("no answer in thirty tries");
}

/// Whatever the tables do to it, a client that repeats what was not answered never loses its session,
/// and what it has left behind is dead.
#[tokio::test]
async fn refr_03_a_client_that_repeats_itself_keeps_its_session_whatever_happens() {
    let kinds: [(&[Kind], u16); 2] = [
        (&[Kind::LostAnswer, Kind::Cut, Kind::InternalError], 250),
        (
            &[Kind::Conflict, Kind::Throttle, Kind::HalfUnprocessed],
            400,
        ),
    ];
    for (seed, (kinds, per_mille)) in (1..).zip(kinds) {
        let (house, mut pair) = alice().await;
        house.expect_faults();
        house.local.tap().chaos(seed, per_mille, kinds);
        for round in 0..25 {
            let next = insist(async || refresh(&house, &pair).await).await.ok();
            if round % 3 > 0 {
                let token = text(&next, "access_token");
                let me = insist(async || house.get_as(token, WHOAMI).await).await;
                assert_eq!(me.status, 200, "round {round}: {}", me.text());
                let old = insist(async || refresh(&house, &pair).await).await;
                old.error(401, "M_UNKNOWN_TOKEN");
            }
            pair = next;
        }
        house.local.tap().calm();
        assert!(is_alive(&house, &pair).await);
    }
}

/// The seal of a kept answer opens under the previous secret too, and under no other token.
#[tokio::test]
async fn refr_03_a_repeat_survives_a_new_secret() {
    let directory = tempfile::tempdir().unwrap();
    let old = "0123456789abcdef0123456789abcdef";
    let new = "fedcba9876543210fedcba9876543210";
    let house = House::in_directory(&[("GATEHOUSE_SECRET", old)], directory.path()).await;
    house.sign_up("alice").await;
    let first = house.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let next = refresh(&house, &first).await.ok();
    drop(house);
    let settings = [
        ("GATEHOUSE_SECRET", new),
        ("GATEHOUSE_SECRET_PREVIOUS", old),
    ];
    let house = House::in_directory(&settings, directory.path()).await;
    assert_eq!(refresh(&house, &first).await.ok(), next);
    drop(house);
    // Both are gone: so is the answer, and who has it goes on.
    let house = House::in_directory(&[("GATEHOUSE_SECRET", new)], directory.path()).await;
    refresh(&house, &first).await.error(401, "M_UNKNOWN_TOKEN");
    assert!(is_alive(&house, &next).await);
}
