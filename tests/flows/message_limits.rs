//! Message quotas (3PID-16, HTTP-19): the number of messages that a client can cause for an address, a
//! block of numbers, a country and from a network.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod daily_limits;
mod network_blocks;
mod shared_quotas;
mod wrong_codes;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use serde_json::Value;
use shared::{clock::Clock, limits::Limit};
use test_support::{Reply, TestServer};

use crate::flows::support::{
    at_once,
    mail_helpers::{
        LIMITED, MAIL_STAGE, mail_to, peer, request_message_from, run_schedules, test_server,
        text_to,
    },
    page, serial, stage,
};

fn burst(limit: Limit) -> usize {
    usize::try_from(limit.quota().burst).unwrap()
}

fn interval(limit: Limit) -> Duration {
    limit.quota().interval
}

/// The number of accepted requests; all others must have been rejected by the limits.
#[track_caller]
fn accepted(replies: &[Reply]) -> usize {
    let refused = replies.iter().filter(|reply| reply.status != 200);
    let refused = refused.map(|reply| reply.error(429, "M_LIMIT_EXCEEDED"));
    replies.len() - refused.count()
}

/// The waiting time in the response.
fn retry_after(reply: &Reply) -> Duration {
    let seconds = reply.headers["retry-after"].to_str().unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

/// The levels of the non-empty GCRA buckets in milliseconds, by limit.
fn consumed(server: &TestServer) -> BTreeMap<String, i64> {
    let now = server.local.clock().now().0;
    let rows = server.local.dynamodb().table("Limits").unwrap();
    // The rows of known networks have no level.
    let held = rows.iter().filter_map(|row| {
        let arrival: i64 = row["tat"]["N"].as_str()?.parse().unwrap();
        Some((row["pk"]["S"].as_str().unwrap().to_owned(), arrival - now))
    });
    held.filter(|(_, held)| *held > 0).collect()
}

/// Like [`consumed`], without the limit on requests, because every request consumes it.
fn consumed_by_messages(server: &TestServer) -> BTreeMap<String, i64> {
    let mut consumed = consumed(server);
    consumed.retain(|cell, _| !cell.starts_with("request-token#"));
    consumed
}

/// The messages that were sent since the last call.
async fn sent(server: &TestServer) -> usize {
    server.deliver().await;
    let count = server.messages().len();
    server.local.outbox().clear();
    count
}

/// The requests succeed: a response must not depend on whether a message was sent. `deliver` sends no more messages
/// than the quota of the address allows.
#[tokio::test]
async fn l13_a_new_secret_from_a_new_network_is_limited() {
    for (limit, body) in [
        (
            Limit::MailAddress,
            (|secret: &str| mail_to("a@example.org", secret, 1)) as fn(&str) -> Value,
        ),
        (Limit::SmsNumber, |secret| {
            text_to("447400123456", secret, 1)
        }),
    ] {
        let server = test_server(&[LIMITED]).await;
        let ask = async |networks: std::ops::Range<u32>| {
            for network in networks {
                let body = body(&format!("secret{network}"));
                request_message_from(&server, network, &body).await.ok();
            }
            sent(&server).await
        };
        assert_eq!(ask(0..100).await, burst(limit), "{limit:?}");
        // One more message is sent after the interval and not before.
        let moment = Duration::from_millis(1);
        server.advance(interval(limit).saturating_sub(moment));
        assert_eq!(ask(100..101).await, 0, "{limit:?}");
        server.advance(moment);
        assert_eq!(ask(101..103).await, 1, "{limit:?}");
        // After a long wait the whole quota is available.
        server.advance(interval(limit) * limit.quota().burst);
        assert_eq!(ask(200..220).await, burst(limit), "{limit:?}");
        // A dropped message is not sent later.
        run_schedules(&server, 3, Duration::from_hours(1)).await;
        assert_eq!(sent(&server).await, 0, "{limit:?}");
    }
}

/// HTTP-20: the request succeeds at the announced time and not before.
#[tokio::test]
async fn http_20_a_limited_message_succeeds_at_the_announced_time() {
    let server = test_server(&[LIMITED]).await;
    let ask = async |secret: &str| {
        let body = mail_to("a@example.org", secret, 1);
        request_message_from(&server, 1, &body).await
    };
    for number in 0..burst(Limit::MailFromNetwork) {
        ask(&format!("secret{number}")).await.ok();
    }
    let wait = retry_after(&ask("over").await);
    assert_eq!(wait, interval(Limit::MailFromNetwork));
    let moment = Duration::from_millis(1);
    server.advance(wait.saturating_sub(moment));
    ask("early").await.error(429, "M_LIMIT_EXCEEDED");
    server.advance(moment);
    ask("in-time").await.ok();
}

/// A session allows three codes or twenty e-mails. A client that does not wait for the quotas reaches
/// the quotas first.
#[tokio::test]
async fn threepid_16_rising_attempts_in_one_session_are_limited() {
    let server = test_server(&[LIMITED]).await;
    let mut replies = Vec::new();
    for attempt in 1..=20 {
        let body = mail_to("a@example.org", "secret", attempt);
        replies.push(request_message_from(&server, 0, &body).await);
    }
    assert_eq!(accepted(&replies), burst(Limit::MailFromNetwork));
    assert_eq!(sent(&server).await, burst(Limit::MailFromNetwork));
}

#[tokio::test]
async fn threepid_16_a_network_is_limited_across_addresses() {
    let server = test_server(&[LIMITED]).await;
    let body = |number: u32| mail_to(&format!("user{number}@example.org"), "secret", 1);
    let mut replies = Vec::new();
    // Fifty requests are within the limit on requests, which every request consumes.
    for number in 0..50 {
        replies.push(request_message_from(&server, 1, &body(number)).await);
    }
    assert_eq!(accepted(&replies), burst(Limit::Message));
    // Text messages share the quota; another network has its own.
    let text = text_to("447400123456", "secret", 1);
    let reply = request_message_from(&server, 1, &text).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    request_message_from(&server, 2, &text).await.ok();
    request_message_from(&server, 2, &body(99)).await.ok();
    assert_eq!(sent(&server).await, burst(Limit::Message) + 2);
    server.advance(retry_after(&reply));
    request_message_from(&server, 1, &text_to("447400123457", "secret", 1))
        .await
        .ok();
}

/// Fifty concurrent requests get no more messages than fifty sequential requests.
#[tokio::test]
async fn threepid_16_concurrent_requests_do_not_exceed_the_quota() {
    let _serial = serial().await;
    let server = Arc::new(test_server(&[LIMITED]).await);
    let replies = at_once(50, |number| {
        let server = Arc::clone(&server);
        async move {
            let network = u32::try_from(number).unwrap();
            let body = mail_to("a@example.org", &format!("secret{number}"), 1);
            request_message_from(&server, network, &body).await
        }
    })
    .await;
    assert_eq!(accepted(&replies), 50);
    assert_eq!(sent(&server).await, burst(Limit::MailAddress));
}

#[tokio::test]
async fn threepid_16_a_rejected_request_consumes_no_other_quota() {
    let server = test_server(&[LIMITED]).await;
    // Each quota of a network in turn is exhausted.
    for number in 0..burst(Limit::SmsFromNetwork) {
        let body = text_to("447400111222", &format!("secret{number}"), 1);
        request_message_from(&server, 200, &body).await.ok();
    }
    for number in 0..burst(Limit::Message) {
        let body = mail_to(&format!("user{number}@example.org"), "secret", 1);
        request_message_from(&server, 50, &body).await.ok();
    }
    for number in 100..100 + burst(Limit::SmsPrefixFromNetwork) {
        let body = text_to(&format!("447400333{number}"), "secret", 1);
        request_message_from(&server, 201, &body).await.ok();
    }
    for block in 100..100 + burst(Limit::SmsCountryFromNetwork) {
        let body = text_to(&format!("447400{block}444"), "secret", 1);
        request_message_from(&server, 202, &body).await.ok();
    }
    let before = consumed_by_messages(&server);
    for (network, body) in [
        (200, text_to("447400111222", "new", 1)),
        (50, text_to("447400555666", "new", 1)),
        (50, mail_to("new@example.org", "new", 1)),
        (201, text_to("447400333999", "new", 1)),
        (202, text_to("447400777999", "new", 1)),
    ] {
        let reply = request_message_from(&server, network, &body).await;
        reply.error(429, "M_LIMIT_EXCEEDED");
        assert_eq!(consumed_by_messages(&server), before, "{body}");
    }
    assert!(!before.keys().any(|bucket| is_shared(bucket)), "{before:?}");
}

/// Whether the bucket belongs to all client networks together.
fn is_shared(bucket: &str) -> bool {
    let name = bucket.split('#').next().unwrap();
    let name = name.trim_start_matches("reset-");
    let names = "mail-address sms-number sms-prefix sms-country daily code-for-number";
    names.split(' ').any(|own| own == name)
}

#[tokio::test]
async fn threepid_21_a_request_that_sends_nothing_consumes_nothing() {
    let server = test_server(&[LIMITED]).await;
    for body in [
        mail_to("a@example.org", "secret", 2),
        text_to("447400123456", "secret", 2),
    ] {
        request_message_from(&server, 1, &body).await.ok();
        let before = consumed_by_messages(&server);
        assert!(before.len() >= 2, "{before:?}");
        for attempt in [2, 1, 2] {
            let mut again = body.clone();
            again["send_attempt"] = attempt.into();
            request_message_from(&server, 1, &again).await.ok();
            request_message_from(&server, 2, &again).await.ok();
            assert_eq!(consumed_by_messages(&server), before, "{again}");
        }
    }
    assert_eq!(sent(&server).await, 2);
}

/// A client that repeats a request may have lost the response, so the repetition succeeds even if
/// the quotas are exhausted.
#[tokio::test]
async fn threepid_21_a_repeated_request_succeeds_on_empty_quotas() {
    let server = test_server(&[LIMITED]).await;
    let body = |number: usize| mail_to("a@example.org", &format!("secret{number}"), 1);
    let mut sids = Vec::new();
    for number in 0..burst(Limit::MailFromNetwork) {
        sids.push(request_message_from(&server, 1, &body(number)).await.ok());
    }
    let reply = request_message_from(&server, 1, &body(99)).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    for (number, sid) in sids.iter().enumerate() {
        assert_eq!(
            &request_message_from(&server, 1, &body(number)).await.ok(),
            sid
        );
    }
}

/// A validation session that the fallback page creates uses the same quotas.
#[tokio::test]
async fn threepid_16_the_fallback_page_uses_the_same_quotas() {
    let server = test_server(&[LIMITED]).await;
    let address = "a@example.org";
    for number in 0..burst(Limit::MailFromNetwork) {
        let body = mail_to(address, &format!("secret{number}"), 1);
        request_message_from(&server, 77, &body).await.ok();
    }
    let (_, session) = server.begin(&stage(MAIL_STAGE, "none")).await;
    let path = page("/_matrix/client/v3", MAIL_STAGE, &session);
    let send = async || {
        let request = Request::post(&path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let form = format!("email={address}").into_bytes();
        server
            .send_from(peer(77), request.body(form).unwrap())
            .await
    };
    assert_eq!(send().await.status, 429);
    assert_eq!(sent(&server).await, burst(Limit::MailFromNetwork));
    server.advance(interval(Limit::MailFromNetwork));
    assert_eq!(send().await.status, 200);
    assert_eq!(sent(&server).await, 1);
}

/// Requests messages for the numbers of one block, each from a different network, with eight requests
/// at a time, and delivers them. Returns the number of messages.
async fn attack(server: &Arc<TestServer>, numbers: std::ops::Range<u32>, first: u32) -> usize {
    let next = Arc::new(AtomicUsize::new(0));
    at_once(8, |_| {
        let (server, numbers) = (Arc::clone(server), numbers.clone());
        let next = Arc::clone(&next);
        async move {
            loop {
                let step = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                let number = numbers.start + step;
                if number >= numbers.end {
                    return;
                }
                let body = text_to(&format!("44740{number:07}"), "secret", 1);
                request_message_from(&server, first + step, &body)
                    .await
                    .ok();
            }
        }
    })
    .await;
    sent(server).await
}

/// Incident 28: an attacker with a block of numbers and any number of networks gets no more messages
/// than the quota of the block and consumes no quota of other blocks. Then the test does the same with
/// many blocks of one country.
#[tokio::test]
async fn incident_28_text_messages_to_a_block_of_numbers_are_capped() {
    let _serial = serial().await;
    let settings = [LIMITED, ("GATEHOUSE_DAILY_TEXTS", "unlimited")];
    let server = Arc::new(test_server(&settings).await);
    let (block, country) = (burst(Limit::SmsPrefix), burst(Limit::SmsCountry));
    // Hundreds of numbers of one block.
    assert_eq!(attack(&server, 123_000..123_300, 10_000).await, block);
    // Another block of the country works.
    let neighbour = text_to("447400124000", "secret", 1);
    request_message_from(&server, 1, &neighbour).await.ok();
    assert_eq!(sent(&server).await, 1);
    // The quota of the block regains one message per interval.
    server.advance(interval(Limit::SmsPrefix));
    assert_eq!(attack(&server, 123_400..123_420, 20_000).await, 1);
    server.advance(interval(Limit::SmsPrefix) * u32::try_from(block).unwrap());

    // Many blocks with a few numbers each exhaust the quota of the country.
    let mut messages = 0;
    for prefix in 0..12 {
        let first = 200_000 + prefix * 1000;
        let networks = 30_000 + prefix * 1000;
        messages += attack(&server, first..first + 21, networks).await;
    }
    assert_eq!(messages, country);
    let more = |secret: &str| text_to("447400999000", secret, 1);
    request_message_from(&server, 2, &more("more")).await.ok();
    assert_eq!(sent(&server).await, 0);
    // Requests for another country and for an e-mail still succeed.
    let elsewhere = text_to("12025550143", "secret", 1);
    request_message_from(&server, 3, &elsewhere).await.ok();
    let mail = mail_to("a@example.org", "secret", 1);
    request_message_from(&server, 3, &mail).await.ok();
    assert_eq!(sent(&server).await, 2);
    server.advance(interval(Limit::SmsCountry));
    request_message_from(&server, 2, &more("later")).await.ok();
    assert_eq!(sent(&server).await, 1);
}
