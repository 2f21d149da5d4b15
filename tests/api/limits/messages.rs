//! Rate limits of messages. Each message costs money or disturbs the recipient.

use std::{net::IpAddr, time::Duration};

use serde_json::json;
use test_support::TestServer;

use super::{LIMITS, allowed_after, until_refused};
use crate::api::{
    rows::{queued, validations},
    support::request,
    threepids::{
        CODE, EMAIL, LINK, MSISDN, REQUESTS, code, form, mail_to, message_request, request_session,
        server_with, sign_up_with, submit, text_to,
    },
};

/// A client network for each number.
fn network(number: u32) -> IpAddr {
    IpAddr::from((0x0A00_0000 + number * 256).to_be_bytes())
}

/// 3PID-16: a repeated request sends no message, but costs a read.
#[tokio::test]
async fn http_19_requests_for_messages_are_limited_sent_or_not() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[LIMITS]).await;
        let body = message_request(medium, 1, "secret", 1);
        let send = async || server.post(path, &body).await;
        assert_eq!(until_refused(send).await, (60, 2));
        assert_eq!(queued(&server), 1);
        allowed_after(&server, 2, send).await.ok();
        // A rejected request uses no message quota.
        server.advance(Duration::from_secs(2));
        server
            .post(path, &message_request(medium, 2, "secret", 1))
            .await
            .ok();
    }
}

/// HTTP-19: in `tell` mode, responses that disclose an account are limited.
#[tokio::test]
async fn threepid_16_in_tell_mode_account_lookups_are_limited() {
    let server = server_with(&[LIMITS, ("GATEHOUSE_THREEPID_PRIVACY", "tell")]).await;
    sign_up_with(&server, "email", 1, "alice").await;
    server.advance(Duration::from_hours(1));
    let body = message_request("email", 1, "attacker", 1);
    let send = async || server.post(EMAIL, &body).await;
    assert_eq!(until_refused(send).await, (60, 2));
    let reply = allowed_after(&server, 2, send).await;
    reply.error(400, "M_THREEPID_IN_USE");
}

/// The number of messages that were sent since the last call.
async fn sent(server: &TestServer) -> u32 {
    server.deliver().await;
    let count = server.messages().len();
    server.local.outbox().clear();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// L13, HTTP-19: neither a new secret nor another network gets a new quota. The requests succeed, because a response
/// must not depend on whether a message is sent.
#[tokio::test]
async fn l13_messages_to_one_address_are_limited_in_any_session() {
    for (medium, path) in REQUESTS {
        let (most, seconds) = if medium == "email" {
            (10, 300)
        } else {
            (8, 600)
        };
        // For a reset, an account must have the 3PID.
        if path.contains("account/password") {
            continue;
        }
        let server = server_with(&[LIMITS]).await;
        for next in 0..most + 5 {
            let body = message_request(medium, 1, &format!("secret{next}"), 1);
            server.post_from(network(next), path, &body).await.ok();
        }
        assert_eq!(sent(&server).await, most);
        // Another spelling is the same 3PID.
        let respelled = match medium {
            "email" => mail_to("USER1@Example.ORG", "other", 1),
            _ => text_to("+44 (0) 7400-123457", "other", 1),
        };
        server.post_from(network(999), path, &respelled).await.ok();
        assert_eq!(sent(&server).await, 0);
        let other = message_request(medium, 2, "s", 1);
        server.post_from(network(999), path, &other).await.ok();
        assert_eq!(sent(&server).await, 1);
        server.advance(Duration::from_secs(seconds));
        for next in 100..102 {
            let body = message_request(medium, 1, &format!("secret{next}"), 1);
            server.post_from(network(next), path, &body).await.ok();
        }
        assert_eq!(sent(&server).await, 1);
    }
}

#[tokio::test]
async fn threepid_16_messages_from_one_network_are_limited() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[LIMITS]).await;
        let user = std::cell::Cell::new(0);
        let send = async || {
            user.set(user.get() + 1);
            // Each number is in a separate block.
            server
                .post(
                    path,
                    &message_request(medium, user.get() * 1000, "secret", 1),
                )
                .await
        };
        // For text messages, the share of the network in the quota of the country is smaller.
        let (most, seconds) = if medium == "email" {
            (20, 60)
        } else {
            (10, 120)
        };
        assert_eq!(until_refused(send).await, (most, seconds));
        assert_eq!(queued(&server), usize::try_from(most).unwrap());
        allowed_after(&server, seconds, send).await.ok();
        let from_other_network = message_request(medium, 99_000, "secret", 1);
        server
            .post_from(network(1), path, &from_other_network)
            .await
            .ok();
    }
}

/// L13: requests that register with a 3PID or add it do not use the quota of the owner's password reset, and the
/// reverse. Registering and adding share a quota.
#[tokio::test]
async fn threepid_16_password_resets_have_quotas_of_their_own() {
    for (medium, most) in [("email", 5), ("msisdn", 4)] {
        let paths = REQUESTS.into_iter().filter(|(own, _)| *own == medium);
        let [sign_up, reset, add] = paths.map(|(_, path)| path).collect::<Vec<_>>()[..] else {
            panic!("three purposes");
        };
        for (first, shared, other) in [(sign_up, Some(add), reset), (reset, None, sign_up)] {
            let server = server_with(&[LIMITS]).await;
            let next = std::cell::Cell::new(0);
            let accepted = async |path: &str| {
                let mut accepted = 0;
                for _ in 0..most + 2 {
                    next.set(next.get() + 1);
                    let body = message_request(medium, 1, &format!("secret{}", next.get()), 1);
                    let reply = server.post_from(network(1), path, &body).await;
                    match reply.status.as_u16() {
                        200 => accepted += 1,
                        _ => drop(reply.error(429, "M_LIMIT_EXCEEDED")),
                    }
                }
                accepted
            };
            assert_eq!(accepted(first).await, most, "{first}");
            if let Some(shared) = shared {
                assert_eq!(accepted(shared).await, 0, "{shared}");
            }
            assert_eq!(accepted(other).await, most, "{other}");
        }
    }
}

/// Number blocks and countries have separate quotas for password resets too.
#[tokio::test]
async fn threepid_16_sign_ups_do_not_use_the_reset_quota_of_blocks() {
    let server = server_with(&[LIMITS, ("GATEHOUSE_DAILY_TEXTS", "unlimited")]).await;
    sign_up_with(&server, "msisdn", 500, "alice").await;
    server.advance(Duration::from_hours(1));
    server.local.outbox().clear();
    for user in 1..=25 {
        let body = message_request("msisdn", user, "secret", 1);
        server.post_from(network(user), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 20, "the quota of the block");
    for user in 1..=200 {
        let body = message_request("msisdn", 1000 * user, "secret", 1);
        server.post_from(network(user), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 180, "200 with the first 20");
    let (_, reset) = REQUESTS[3];
    let body = message_request("msisdn", 500, "reset", 1);
    server.post_from(network(1), reset, &body).await.ok();
    assert_eq!(sent(&server).await, 1);
}

/// Incident 28: an attacker may own blocks of numbers.
#[tokio::test]
async fn incident_28_texts_to_one_block_of_numbers_are_limited() {
    let server = server_with(&[LIMITS]).await;
    for user in 1..=25 {
        let body = message_request("msisdn", user, "secret", 1);
        server.post_from(network(user), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 20);
    let next_block = message_request("msisdn", 1_000, "secret", 1);
    server
        .post_from(network(1_000), MSISDN, &next_block)
        .await
        .ok();
    assert_eq!(sent(&server).await, 1);
    server.advance(Duration::from_mins(3));
    for user in 30..32 {
        let body = message_request("msisdn", user, "secret", 1);
        server.post_from(network(user), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 1);
}

/// Incident 28: each country has its own quota.
#[tokio::test]
async fn incident_28_texts_to_one_country_are_limited() {
    let server = server_with(&[LIMITS, ("GATEHOUSE_DAILY_TEXTS", "unlimited")]).await;
    for number in 0..205 {
        let body = message_request("msisdn", number * 1_000, "secret", 1);
        server.post_from(network(number), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 200);
    let us_number = json!({
        "client_secret": "secret", "country": "US", "phone_number": "(520) 878-2491", "send_attempt": 1,
    });
    server
        .post_from(network(301), MSISDN, &us_number)
        .await
        .ok();
    assert_eq!(sent(&server).await, 1);
    server.advance(Duration::from_secs(10));
    for number in 206..208 {
        let body = message_request("msisdn", number * 1_000, "secret", 1);
        server.post_from(network(number), MSISDN, &body).await.ok();
    }
    assert_eq!(sent(&server).await, 1);
}

/// A message that exceeds one quota is charged to no other quota.
#[tokio::test]
async fn threepid_16_a_refused_message_costs_nothing() {
    let server = server_with(&[LIMITS]).await;
    for attempt in 1..=5 {
        server
            .post(EMAIL, &message_request("email", 1, "secret", attempt))
            .await
            .ok();
    }
    for attempt in 6..=20 {
        let reply = server
            .post(EMAIL, &message_request("email", 1, "secret", attempt))
            .await;
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
    // 15 of the network's 20 messages are left.
    for user in 2..=16 {
        server
            .post(EMAIL, &message_request("email", user, "secret", 1))
            .await
            .ok();
    }
    let reply = server
        .post(EMAIL, &message_request("email", 17, "secret", 1))
        .await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(queued(&server), 20);
}

/// L18, HTTP-19: guesses are limited per network, in addition to the limit of the session.
#[tokio::test]
async fn http_19_submissions_are_limited() {
    let server = server_with(&[LIMITS]).await;
    let sid = request_session(&server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await;
    let code = code(&server, &sid, 1);
    let wrong = async || submit(&server, "msisdn", "unknown", "secret", "123456").await;
    assert_eq!(until_refused(wrong).await, (60, 2));
    // While guesses are rejected, a right code gets the same response as a wrong code, and no guess is counted.
    let right = async || submit(&server, "msisdn", &sid, "secret", &code).await;
    right().await.error(429, "M_LIMIT_EXCEEDED");
    allowed_after(&server, 2, right).await.ok();
    assert_eq!(validations(&server)[0].wrong, 0);
}

/// HTTP-19, HTTP-28: the browser gets a page.
#[tokio::test]
async fn http_28_a_limited_link_is_a_page() {
    for path in [LINK, CODE] {
        let server = server_with(&[LIMITS]).await;
        let fields = form(&[("sid", "a"), ("client_secret", "b"), ("token", "c")]);
        let url = format!("{path}?{fields}");
        for _ in 0..60 {
            assert_eq!(server.get(&url).await.status, 400);
        }
        let answer = server.get(&url).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(answer.headers["retry-after"], "2");
        let pressed = request(
            "POST",
            &LINK.replace("submitToken", "confirm"),
            &[],
            fields.as_bytes(),
        );
        assert_eq!(server.send(pressed).await.status, 429);
    }
}
