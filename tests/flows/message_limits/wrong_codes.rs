//! The limits of wrong codes, in all validation sessions of a phone number together (3PID-48).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{net::IpAddr, time::Duration};

use serde_json::json;
use shared::limits::Limit;
use test_support::{Reply, TestServer};

use super::{burst, consumed};
use crate::flows::support::mail_helpers::{
    CODE, LIMITED, REGISTER, RESET, code, create_owner, peer, request_token_from, submit_code,
    test_server, text_to, valid_secret,
};

const NUMBER: &str = "447400123456";

async fn submit_from(
    server: &TestServer,
    from: IpAddr,
    sid: &str,
    secret: &str,
    token: &str,
) -> Reply {
    let body = json!({ "sid": sid, "client_secret": secret, "token": token });
    server.post_from(from, CODE, &body).await
}

/// Starts a session for the number from a network, and submits five wrong codes. Returns the number of codes that were
/// compared.
async fn guess(
    server: &TestServer,
    network: u32,
    purpose: &str,
    number: &str,
    secret: &str,
) -> usize {
    let body = text_to(number, secret, 1);
    let reply = request_token_from(server, peer(network), purpose, &body).await;
    if reply.status != 200 {
        return 0;
    }
    let sid = reply.ok()["sid"].as_str().unwrap().to_owned();
    server.deliver().await;
    server.local.outbox().clear();
    let right = valid_secret(server, &sid);
    let wrong = if right.reveal() == "000000" {
        "000001"
    } else {
        "000000"
    };
    let mut compared = 0;
    for _ in 0..5 {
        let reply = submit_from(server, peer(network), &sid, secret, wrong).await;
        if reply.status == 429 {
            reply.error(429, "M_LIMIT_EXCEEDED");
        } else {
            reply.error(400, "M_TOKEN_INCORRECT");
            compared += 1;
        }
    }
    compared
}

#[tokio::test]
async fn threepid_48_wrong_codes_are_limited_over_all_sessions() {
    let server = test_server(&[LIMITED]).await;
    // One network, many sessions of one number.
    let mut one = 0;
    for session in 0..4 {
        one += guess(&server, 1, REGISTER, NUMBER, &format!("secret{session}")).await;
    }
    assert_eq!(one, burst(Limit::CodeForNumberFromNetwork));
    // Many networks.
    let mut all = one;
    for network in 10..40 {
        all += guess(
            &server,
            network,
            REGISTER,
            NUMBER,
            &format!("secret{network}"),
        )
        .await;
    }
    assert_eq!(all, burst(Limit::CodeForNumber));
    // A right code gets the same response as a wrong one.
    let body = text_to(NUMBER, "last", 1);
    let reply = request_token_from(&server, peer(99), REGISTER, &body)
        .await
        .ok();
    let sid = reply["sid"].as_str().unwrap();
    let right = valid_secret(&server, sid);
    let reply = submit_from(&server, peer(99), sid, "last", right.reveal()).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    // Another number has its own quota.
    assert_eq!(
        guess(&server, 50, REGISTER, "447400129456", "other").await,
        5
    );
}

/// A session accepts five codes. Further codes do not use up the quota of the number, which would need only one message.
#[tokio::test]
async fn threepid_48_a_session_charges_five_codes() {
    let server = test_server(&[LIMITED]).await;
    let request = async |network, secret: &str| {
        let body = text_to(NUMBER, secret, 1);
        let reply = request_token_from(&server, peer(network), REGISTER, &body);
        reply.await.ok()["sid"].as_str().unwrap().to_owned()
    };
    let sid = request(1, "attacker").await;
    for number in 0..30 {
        let reply = submit_from(&server, peer(1 + number % 3), &sid, "attacker", "wrong").await;
        let expired = number >= 5;
        reply.error(
            400,
            if expired {
                "M_SESSION_EXPIRED"
            } else {
                "M_TOKEN_INCORRECT"
            },
        );
    }
    let sid = request(99, "owner").await;
    let right = valid_secret(&server, &sid);
    submit_from(&server, peer(99), &sid, "owner", right.reveal())
        .await
        .ok();
}

#[tokio::test]
async fn threepid_48_one_network_is_limited_over_all_numbers() {
    let server = test_server(&[LIMITED]).await;
    let mut compared = 0;
    for number in 100..108 {
        let digits = format!("447400{number}456");
        compared += guess(&server, 1, REGISTER, &digits, "secret").await;
    }
    assert_eq!(compared, burst(Limit::CodeFromNetwork));
}

/// Wrong codes of attackers do not keep the owner of a number from a reset on a network that the owner has used, and
/// sign-ups do not keep anyone from it.
#[tokio::test]
async fn threepid_48_attackers_cannot_lock_the_owner_of_a_number_out() {
    let server = test_server(&[LIMITED]).await;
    create_owner(&server, "alice", &text_to(NUMBER, "the-owner", 1)).await;
    server.advance(Duration::from_hours(12));
    for network in 1..=20 {
        let secret = format!("secret{network}");
        guess(&server, network, REGISTER, NUMBER, &secret).await;
    }
    let mut compared = 0;
    for network in 21..=40 {
        let secret = format!("secret{network}");
        compared += guess(&server, network, RESET, NUMBER, &secret).await;
    }
    assert_eq!(compared, burst(Limit::CodeForNumber));
    let body = text_to(NUMBER, "owner", 1);
    let path = format!("/_matrix/client/v3/{RESET}/msisdn/requestToken");
    let sid = server.post(&path, &body).await.ok()["sid"]
        .as_str()
        .unwrap()
        .to_owned();
    server.deliver().await;
    let code = code(&server.messages().pop().unwrap());
    // A wrong code of the owner gets the response that it would get from any other network.
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let reply = submit_code(&server, &sid, "owner", wrong).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    submit_code(&server, &sid, "owner", &code).await.ok();
}

/// A right code is not counted.
#[tokio::test]
async fn threepid_48_a_right_code_is_not_counted() {
    let server = test_server(&[LIMITED]).await;
    create_owner(&server, "alice", &text_to(NUMBER, "the-owner", 1)).await;
    let consumed = consumed(&server);
    assert!(
        !consumed.keys().any(|name| name.starts_with("code-")),
        "{consumed:?}"
    );
}
