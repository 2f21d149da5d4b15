//! The quotas that all client networks share: requests that cause no message, and requests of attackers, do not keep an
//! account owner from a password reset.

use std::time::Duration;

use serde_json::Value;
use shared::{
    clock::Clock,
    limits::{LIMITS, Limit},
};
use test_support::TestServer;

use super::{burst, consumed, interval, is_shared, sent};
use crate::{
    api::rows::set_number,
    flows::support::mail_helpers::{
        LIMITED, REGISTER, RESET, by_mail, by_text, mail_to, peer, request_token_for,
        request_token_from, statuses, test_server, text_to, with_owner,
    },
};

async fn reset_from(server: &TestServer, network: u32, body: &Value) {
    let reply = request_token_from(server, peer(network), RESET, body).await;
    if reply.status != 200 {
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
}

/// Requests for numbers without an account cost nothing, so they use up nothing of the block and the country.
#[tokio::test]
async fn requests_that_send_nothing_use_no_shared_quota() {
    let server = with_owner(by_text, &[LIMITED]).await;
    // One network requests messages to numbers of the owner's block, ten networks to numbers of other blocks.
    for number in 0..30 {
        let body = text_to(&format!("447400123{number:03}"), "secret", 1);
        reset_from(&server, 1, &body).await;
    }
    for network in 10..20 {
        for number in 0..20 {
            let body = text_to(&format!("4474{network}{number:02}9000"), "secret", 1);
            reset_from(&server, network, &body).await;
        }
    }
    assert_eq!(sent(&server).await, 0);
    let consumed = consumed(&server);
    assert!(
        !consumed.keys().any(|bucket| is_shared(bucket)),
        "{consumed:?}"
    );
    request_token_from(&server, peer(99), RESET, &by_text("owner"))
        .await
        .ok();
    assert_eq!(sent(&server).await, 1);
}

/// One network is limited before it has used up the quota of a block or of a country.
#[tokio::test]
async fn one_network_gets_a_share_of_a_block_and_of_a_country() {
    let server = test_server(&[LIMITED]).await;
    let ask = async |network: u32, digits: String| {
        let body = text_to(&digits, "secret", 1);
        let reply = request_token_from(&server, peer(network), REGISTER, &body).await;
        usize::from(reply.status == 200)
    };
    let mut block = 0;
    for number in 0..burst(Limit::SmsPrefix) {
        block += ask(1, format!("447400123{number:03}")).await;
    }
    assert_eq!(block, burst(Limit::SmsPrefixFromNetwork));
    let mut country = 0;
    for number in 100..100 + burst(Limit::Message) {
        country += ask(2, format!("447400{number}000")).await;
    }
    assert_eq!(country, burst(Limit::SmsCountryFromNetwork));
    assert_eq!(sent(&server).await, block + country);
    // Other networks can still use the block, and this network can use another country.
    assert_eq!(ask(3, "447400123999".to_owned()).await, 1);
    assert_eq!(ask(2, "12025550143".to_owned()).await, 1);
    assert_eq!(sent(&server).await, 2);
}

/// Attackers use up the reset messages of an address from many networks. The owner still gets a message from a network
/// that the owner has used.
#[tokio::test]
async fn attackers_cannot_use_up_the_resets_of_an_owner() {
    for (request, limit, of_sign_ups) in [
        (
            by_mail as fn(&str) -> Value,
            Limit::ResetMailAddress,
            Limit::MailAddress,
        ),
        (by_text, Limit::ResetSmsNumber, Limit::SmsNumber),
    ] {
        let server = with_owner(request, &[LIMITED]).await;
        for network in 1..=5 {
            for number in 0..6 {
                let secret = format!("attack-{network}-{number}");
                reset_from(&server, network, &request(&secret)).await;
            }
        }
        assert_eq!(sent(&server).await, burst(limit));
        // The quota of the address is that of resets, and not that of sign-ups, which has the same size.
        let buckets = consumed(&server);
        let is_charged = |limit: Limit| {
            let prefix = format!("{}#", LIMITS[limit as usize].name);
            buckets.keys().any(|bucket| bucket.starts_with(&prefix))
        };
        assert!(is_charged(limit), "{buckets:?}");
        assert!(!is_charged(of_sign_ups), "{buckets:?}");
        // The quota is exhausted for the other networks, with the same response.
        reset_from(&server, 77, &request("unknown-network")).await;
        assert_eq!(sent(&server).await, 0);
        for number in 0..3 {
            let body = request(&format!("owner-{number}"));
            request_token_for(&server, RESET, &body).await.ok();
            assert_eq!(sent(&server).await, 1, "{limit:?} {number}");
        }
        // After an attacker has reset the password with another 3PID, the owner still gets messages.
        let now = server.local.clock().now();
        set_number(&server, "alice", "reset_at", now.0);
        let body = request("owner-after-reset");
        request_token_for(&server, RESET, &body).await.ok();
        assert_eq!(sent(&server).await, 1, "{limit:?} after a reset");
        // The messages to the owner used nothing of the shared quota.
        server.advance(interval(limit));
        reset_from(&server, 78, &request("later")).await;
        assert_eq!(sent(&server).await, 1, "{limit:?}");
    }
}

/// The message that tells an owner about a request for a known address is limited for each network.
#[tokio::test]
async fn one_client_cannot_suppress_the_notice_of_another_request() {
    for request in [by_mail as fn(&str) -> Value, by_text] {
        let server = with_owner(request, &[LIMITED]).await;
        let mut notices = 0;
        for network in 1..=20 {
            for number in 0..2 {
                let body = request(&format!("attack-{network}-{number}"));
                request_token_from(&server, peer(network), REGISTER, &body)
                    .await
                    .ok();
            }
            notices += sent(&server).await;
        }
        assert_eq!(notices, burst(Limit::KnownNoticeAddress));
        // The owner forgot the account and tries to register again.
        let body = request("owner");
        request_token_for(&server, REGISTER, &body).await.ok();
        assert_eq!(sent(&server).await, 1);
    }
}

/// 3PID-15: for an address with and without an account, the response, the calls and the charges are the same.
#[tokio::test]
async fn threepid_15_charges_do_not_depend_on_the_account() {
    for (request, free) in [
        (
            by_mail as fn(&str) -> Value,
            mail_to("free@example.org", "secret-0", 1),
        ),
        (by_text, text_to("447400129456", "secret-0", 1)),
    ] {
        let mut seen = Vec::new();
        for body in [request("secret-0"), free] {
            let server = with_owner(request, &[LIMITED]).await;
            let mut own = Vec::new();
            for number in 0..7 {
                let mut body = body.clone();
                body["client_secret"] = format!("secret-{number}").into();
                let work = request_token_from(&server, peer(5), RESET, &body);
                let (reply, calls) = server.calls_of(work).await;
                let mut calls: Vec<_> = calls.iter().map(|call| call.operation.clone()).collect();
                calls.sort();
                own.push((reply.status, reply.headers.len(), calls));
            }
            server.deliver().await;
            server.local.outbox().clear();
            seen.push(own);
        }
        assert_eq!(seen[0], seen[1]);
    }
}

/// A delivery that fails several times is charged once.
#[tokio::test]
async fn a_repeated_delivery_is_charged_once() {
    use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
    let server = test_server(&[LIMITED]).await;
    let fault = Fault::new(FaultKind::Throttle).by("Deliver").times(3);
    server.local.aws_fakes().inject(fault);
    let body = mail_to("free@example.org", "secret", 1);
    request_token_from(&server, peer(1), REGISTER, &body)
        .await
        .ok();
    let level = |server: &TestServer| {
        let consumed = consumed(server);
        let mut own = consumed
            .into_iter()
            .filter(|(name, _)| name.starts_with("mail-address#"));
        own.next().map(|(_, level)| level).unwrap()
    };
    server.deliver().await;
    let once = i64::try_from(interval(Limit::MailAddress).as_millis()).unwrap();
    assert_eq!(level(&server), once);
    assert_eq!(statuses(&server).get("queued"), Some(&1));
    let mut passed = Duration::ZERO;
    while server.messages().is_empty() {
        server.advance(Duration::from_secs(20));
        passed += Duration::from_secs(20);
        server.run_schedule().await;
        assert!(passed < Duration::from_mins(4), "{passed:?}");
    }
    assert_eq!(
        level(&server),
        once - i64::try_from(passed.as_millis()).unwrap()
    );
}
