//! Limits on messages: each costs somebody money or patience.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::{LIMITS, hammer, served_after};
use crate::api::{
    support::{request, text},
    threepids::{
        CODE, EMAIL, LINK, MSISDN, REQUESTS, code, form, link_token, mail_to, queued, rows,
        server_with, sid, submit, text_to, wish,
    },
};

/// A network of its own for each number.
fn network(number: u32) -> IpAddr {
    IpAddr::from((0x0A00_0000 + number * 256).to_be_bytes())
}

async fn post_from(server: &TestServer, peer: IpAddr, path: &str, body: &Value) -> Reply {
    let body = body.to_string();
    server
        .send_from(peer, request("POST", path, &[], body.as_bytes()))
        .await
}

/// 3PID-16: the same request again costs no message, but a read.
#[tokio::test]
async fn http_19_requests_for_messages_are_limited_whether_one_goes_out_or_not() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[LIMITS]).await;
        let body = wish(medium, 1, "secret", 1);
        let ask = async || server.post(path, &body).await;
        assert_eq!(hammer(ask).await, (60, 2));
        assert_eq!(queued(&server), 1);
        served_after(&server, 2, ask).await.ok();
        // What was refused took no message from anybody.
        server.advance(Duration::from_secs(2));
        server.post(path, &wish(medium, 2, "secret", 1)).await.ok();
    }
}

/// HTTP-19: where strangers are told who has an account, they are told so many times.
#[tokio::test]
async fn _3pid_16_questions_who_has_an_account_are_limited_where_they_are_answered() {
    let server = server_with(&[LIMITS, ("GATEHOUSE_THREEPID_PRIVACY", "tell")]).await;
    let own = sid(&server, EMAIL, &wish("email", 1, "owner", 1)).await;
    let token = link_token(&server, &own);
    submit(&server, "email", &own, "owner", &token).await.ok();
    let creds = json!({ "sid": own, "client_secret": "owner" });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
    server.register(&body).await.ok();
    server.advance(Duration::from_hours(1));
    let body = wish("email", 1, "stranger", 1);
    let ask = async || server.post(EMAIL, &body).await;
    assert_eq!(hammer(ask).await, (60, 2));
    let reply = served_after(&server, 2, ask).await;
    reply.error(400, "M_THREEPID_IN_USE");
}

/// L13, HTTP-19: a new secret is a new session, and no new budget; nor is another network.
#[tokio::test]
async fn l13_messages_to_one_address_are_limited_whatever_the_session() {
    for (medium, path) in REQUESTS {
        let (most, seconds) = if medium == "email" {
            (10, 300)
        } else {
            (8, 600)
        };
        let server = server_with(&[LIMITS]).await;
        let next = std::cell::Cell::new(0);
        let ask = async || {
            next.set(next.get() + 1);
            let body = wish(medium, 1, &format!("secret{}", next.get()), 1);
            post_from(&server, network(next.get()), path, &body).await
        };
        assert_eq!(hammer(ask).await, (most, seconds));
        assert_eq!(queued(&server), usize::try_from(most).unwrap());
        assert_eq!(
            rows(&server).len(),
            queued(&server),
            "a refused request leaves no session"
        );
        // Another spelling is no other address.
        let spelled = match medium {
            "email" => mail_to("USER1@Example.ORG", "other", 1),
            _ => text_to("+44 (0) 7400-123457", "other", 1),
        };
        let reply = post_from(&server, network(999), path, &spelled).await;
        reply.error(429, "M_LIMIT_EXCEEDED");
        post_from(&server, network(999), path, &wish(medium, 2, "s", 1))
            .await
            .ok();
        served_after(&server, seconds, ask).await.ok();
    }
}

#[tokio::test]
async fn _3pid_16_messages_from_one_network_are_limited_whomever_they_go_to() {
    for (medium, path) in REQUESTS {
        let server = server_with(&[LIMITS]).await;
        let who = std::cell::Cell::new(0);
        let ask = async || {
            who.set(who.get() + 1);
            // In blocks of their own.
            server
                .post(path, &wish(medium, who.get() * 1000, "secret", 1))
                .await
        };
        assert_eq!(hammer(ask).await, (20, 60));
        assert_eq!(queued(&server), 20);
        served_after(&server, 60, ask).await.ok();
        let elsewhere = wish(medium, 99_000, "secret", 1);
        post_from(&server, network(1), path, &elsewhere).await.ok();
    }
}

/// L13: an owner's way to a new password is not spent by whoever asks for sign-ups with the address
/// or wants to add it, which share their budgets; nor the reverse.
#[tokio::test]
async fn _3pid_16_what_leads_to_a_new_password_has_budgets_of_its_own() {
    for (medium, most) in [("email", 10), ("msisdn", 8)] {
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
                    let body = wish(medium, 1, &format!("secret{}", next.get()), 1);
                    let reply = post_from(&server, network(next.get()), path, &body).await;
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

/// The same for the budgets of the block and of the country.
#[tokio::test]
async fn _3pid_16_sign_ups_do_not_spend_what_a_block_or_a_country_has_for_new_passwords() {
    let server = server_with(&[LIMITS]).await;
    let who = std::cell::Cell::new(0);
    let sign_up = async || {
        who.set(who.get() + 1);
        let body = wish("msisdn", who.get(), "secret", 1);
        post_from(&server, network(who.get()), MSISDN, &body).await
    };
    assert_eq!(hammer(sign_up).await, (20, 180));
    let blocks = async || {
        who.set(who.get() + 1000);
        let body = wish("msisdn", who.get(), "secret", 1);
        post_from(&server, network(who.get()), MSISDN, &body).await
    };
    assert_eq!(hammer(blocks).await, (180, 10), "with the 20 of before");
    let (_, reset) = REQUESTS[3];
    let body = wish("msisdn", 1, "reset", 1);
    post_from(&server, network(1), reset, &body).await.ok();
}

/// Incident 28: numbers that one party may own, bought in blocks.
#[tokio::test]
async fn incident_28_text_messages_to_one_block_of_numbers_are_limited() {
    let server = server_with(&[LIMITS]).await;
    let who = std::cell::Cell::new(0);
    let ask = async || {
        who.set(who.get() + 1);
        let body = wish("msisdn", who.get(), "secret", 1);
        post_from(&server, network(who.get()), MSISDN, &body).await
    };
    assert_eq!(hammer(ask).await, (20, 180));
    let next_block = wish("msisdn", 1_000, "secret", 1);
    post_from(&server, network(1_000), MSISDN, &next_block)
        .await
        .ok();
    served_after(&server, 180, ask).await.ok();
}

/// Incident 28: a country's budget is its own, and the others' go on.
#[tokio::test]
async fn incident_28_text_messages_to_one_country_are_limited_and_others_go_on() {
    let server = server_with(&[LIMITS]).await;
    for number in 0..200 {
        let body = wish("msisdn", number * 1_000, "secret", 1);
        post_from(&server, network(number), MSISDN, &body)
            .await
            .ok();
    }
    let body = wish("msisdn", 200_000, "secret", 1);
    let refusal = post_from(&server, network(200), MSISDN, &body).await;
    let refusal = refusal.error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(refusal["retry_after_ms"], 10_000);
    assert_eq!(queued(&server), 200);
    let american = json!({
        "client_secret": "secret", "country": "US", "phone_number": "(520) 878-2491", "send_attempt": 1,
    });
    post_from(&server, network(201), MSISDN, &american)
        .await
        .ok();
    server.advance(Duration::from_secs(10));
    post_from(&server, network(200), MSISDN, &body).await.ok();
}

/// A message that one budget refuses is charged to none.
#[tokio::test]
async fn _3pid_16_a_refused_message_costs_nothing() {
    let server = server_with(&[LIMITS]).await;
    for attempt in 1..=5 {
        server
            .post(EMAIL, &wish("email", 1, "secret", attempt))
            .await
            .ok();
    }
    for attempt in 6..=20 {
        let reply = server
            .post(EMAIL, &wish("email", 1, "secret", attempt))
            .await;
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
    // Of the network's 20 there are 15 left.
    for who in 2..=16 {
        server
            .post(EMAIL, &wish("email", who, "secret", 1))
            .await
            .ok();
    }
    let reply = server.post(EMAIL, &wish("email", 17, "secret", 1)).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(queued(&server), 20);
}

/// L18, HTTP-19: guesses by the network, on top of what a session allows.
#[tokio::test]
async fn http_19_submissions_are_limited_and_served_again_after_the_wait() {
    let server = server_with(&[LIMITS]).await;
    let sid = sid(&server, MSISDN, &wish("msisdn", 1, "secret", 1)).await;
    let code = code(&server, &sid, 1);
    let junk = async || submit(&server, "msisdn", "unknown", "secret", "123456").await;
    assert_eq!(hammer(junk).await, (60, 2));
    // The right code is not told from a wrong one meanwhile, and no guess is counted.
    let right = async || submit(&server, "msisdn", &sid, "secret", &code).await;
    right().await.error(429, "M_LIMIT_EXCEEDED");
    served_after(&server, 2, right).await.ok();
    assert_eq!(text(&rows(&server)[0]["wrong"], "N"), "0");
}

/// HTTP-19, HTTP-28: a person is told on a page.
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
