//! How often a password may be guessed: from one network, and from all of them together.

use std::{net::IpAddr, time::Duration};

use http::Request;
use kit::{House, PASSWORD, Reply};

use crate::flows::people::{LOGIN, login_of, sign_up};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn elsewhere(number: u8) -> IpAddr {
    [198, 51, 100, number].into()
}

async fn log_in(house: &House, from: IpAddr, name: &str, password: &str) -> Reply {
    let body = login_of(name, password).to_string();
    let request = Request::post(LOGIN).body(body.into_bytes()).unwrap();
    house.send_from(from, request).await
}

/// Ten guesses from each of ten networks: what all networks together may make.
async fn exhaust(house: &House, name: &str) {
    for network in 0..10 {
        for _ in 0..10 {
            let reply = log_in(house, elsewhere(network), name, "wrong").await;
            reply.error(403, "M_FORBIDDEN");
        }
        let reply = log_in(house, elsewhere(network), name, "wrong").await;
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
}

#[tokio::test]
async fn l15_guesses_from_everywhere_are_limited_alike_for_who_is_there_and_who_is_not() {
    let house = House::with(&[LIMITS]).await;
    sign_up(&house, "alice").await;
    for name in ["alice", "nobody"] {
        exhaust(&house, name).await;
        let fresh = elsewhere(200);
        for password in ["wrong", PASSWORD] {
            let reply = log_in(&house, fresh, name, password).await;
            reply.error(429, "M_LIMIT_EXCEEDED");
        }
    }
    // Somebody else is not meant.
    sign_up(&house, "bob").await;
    log_in(&house, elsewhere(200), "bob", PASSWORD).await.ok();
    // One more each ten minutes.
    house.advance(Duration::from_mins(10));
    let reply = log_in(&house, elsewhere(201), "alice", "wrong").await;
    reply.error(403, "M_FORBIDDEN");
    let reply = log_in(&house, elsewhere(202), "alice", "wrong").await;
    reply.error(429, "M_LIMIT_EXCEEDED");
}

/// Strangers keep nobody out who has logged in from where they are now, in the last thirty days.
#[tokio::test]
async fn l15_the_owner_is_let_in_from_a_network_that_is_known() {
    let house = House::with(&[LIMITS]).await;
    sign_up(&house, "alice").await;
    log_in(&house, HOME, "alice", PASSWORD).await.ok();
    // A wrong password makes no network known.
    let reply = log_in(&house, elsewhere(99), "alice", "wrong").await;
    reply.error(403, "M_FORBIDDEN");
    house.advance(Duration::from_hours(24 * 30 - 1));
    exhaust(&house, "alice").await;
    let reply = log_in(&house, elsewhere(99), "alice", PASSWORD).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    for _ in 0..3 {
        log_in(&house, HOME, "alice", PASSWORD).await.ok();
    }
    // What is known of one account is known of no other.
    sign_up(&house, "bob").await;
    exhaust_with(&house, "bob").await;
    let reply = log_in(&house, HOME, "bob", PASSWORD).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    // Even there guesses are few.
    let mut refused = 0;
    for _ in 0..15 {
        let reply = log_in(&house, HOME, "alice", "wrong").await;
        refused += u32::from(reply.status == 429);
    }
    assert_eq!(refused, 5);
    // It is the login that makes it known, and for a month.
    house.advance(Duration::from_hours(24 * 30));
    exhaust(&house, "alice").await;
    let reply = log_in(&house, HOME, "alice", PASSWORD).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
}

/// The same from ten networks whose budgets are spent on nobody yet.
async fn exhaust_with(house: &House, name: &str) {
    for network in 100..110 {
        for _ in 0..10 {
            let reply = log_in(house, elsewhere(network), name, "wrong").await;
            reply.error(403, "M_FORBIDDEN");
        }
    }
}

/// The table of limits says neither who was guessed nor from where.
#[tokio::test]
async fn l15_the_table_of_limits_names_nobody() {
    let house = House::with(&[LIMITS]).await;
    sign_up(&house, "alice").await;
    log_in(&house, HOME, "alice", PASSWORD).await.ok();
    log_in(&house, elsewhere(1), "alice", "wrong").await;
    let rows = format!("{:?}", house.local.engine().table("Limits").unwrap());
    assert!(rows.contains("known-network#") && rows.contains("account-guess#"));
    for word in ["alice", "192.0.2", "198.51"] {
        assert!(!rows.contains(word), "{word}");
    }
}
