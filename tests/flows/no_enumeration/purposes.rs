//! No account enumeration with messages for a reset and for an address to be added: 3PID-06,
//! 3PID-07, 3PID-15. Only the messages to an address disclose whether the address has an account.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::json;
use test_support::TestServer;

use super::{MAILS, Medium, NUMBERS, Observation, Requester};
use crate::flows::support::mail_helpers::{
    ADD, LIMITED, REGISTER, RESET, create_owner, put, request_token_for, session_for, test_server,
};

const PURPOSES: [&str; 2] = [RESET, ADD];
const ALL_PURPOSES: [&str; 3] = [REGISTER, RESET, ADD];
const MEDIA: [Medium; 2] = [Medium::Mail, Medium::Text];

/// Sends every request that a client can send for an address without access to its messages.
async fn try_everything(requester: &mut Requester<'_>, purpose: &str, medium: Medium) {
    let server = requester.server;
    let parameters = |attempt| medium.ask(0, "attacker", attempt);
    let request_message = |attempt| {
        let body = parameters(attempt);
        async move { request_token_for(server, purpose, &body).await }
    };
    let first = requester
        .observe("a request", request_message(1))
        .await
        .ok();
    let sid = first["sid"].as_str().unwrap().to_owned();
    for (what, attempt) in [("its repetition", 1), ("the next attempt", 2)] {
        let answer = requester.observe(what, request_message(attempt)).await.ok();
        assert_eq!(answer["sid"], sid, "L1: {what}");
    }
    server.deliver().await;
    for (what, attempt) in [("a repetition later", 2), ("an attempt later", 3)] {
        let answer = requester.observe(what, request_message(attempt)).await.ok();
        assert_eq!(answer["sid"], sid, "L1: {what}");
    }
    server.deliver().await;
    for _ in 0..5 {
        let guess = medium.guess(server, &sid, "attacker");
        let reply = requester.observe("a wrong code", guess).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
    let guess = medium.guess(server, &sid, "attacker");
    let reply = requester.observe("one more code", guess).await;
    match medium {
        Medium::Mail => reply.error(400, "M_TOKEN_INCORRECT"),
        Medium::Text => reply.error(400, "M_SESSION_EXPIRED"),
    };
    if medium == Medium::Mail {
        requester.links(&sid).await;
    }
    server.advance(Duration::from_hours(25));
    let guess = medium.guess(server, &sid, "attacker");
    let reply = requester.observe("a code after the expiry", guess).await;
    reply.error(400, "M_SESSION_EXPIRED");
    let answer = requester
        .observe("a new session", request_message(1))
        .await
        .ok();
    assert_eq!(answer["sid"], sid, "L1: a new session");
}

/// Starts a server with an account that has the address with this index. The first request of each
/// function is sent here, because it reads more than the later ones.
async fn with_owner(
    purpose: &str,
    medium: Medium,
    whose: usize,
    settings: &[(&str, &str)],
) -> TestServer {
    let server = test_server(settings).await;
    create_owner(&server, "owner", &medium.ask(whose, "the-owner", 1)).await;
    server.advance(Duration::from_hours(48));
    let body = medium.ask(1, "other", 1);
    request_token_for(&server, purpose, &body).await.ok();
    server.deliver().await;
    server
}

async fn replies_for_owner(
    purpose: &str,
    medium: Medium,
    whose: usize,
    settings: &[(&str, &str)],
) -> Vec<(String, Observation)> {
    let server = with_owner(purpose, medium, whose, settings).await;
    let mut requester = Requester {
        server: &server,
        limited: settings.contains(&LIMITED),
        seen: Vec::new(),
    };
    try_everything(&mut requester, purpose, medium).await;
    requester.seen
}

async fn assert_same_for_known_and_unknown(settings: &[(&str, &str)]) {
    for purpose in PURPOSES {
        for medium in MEDIA {
            let known = replies_for_owner(purpose, medium, 0, settings).await;
            let unknown = replies_for_owner(purpose, medium, 1, settings).await;
            assert_eq!(known.len(), unknown.len());
            for ((what, known), (_, unknown)) in known.iter().zip(&unknown) {
                assert_eq!(known, unknown, "{purpose}, {medium:?}: {what}");
            }
            assert!(known.len() >= 13, "{}", known.len());
        }
    }
}

/// As for a sign-up, the responses are equal byte by byte, and the DynamoDB calls are the same.
#[tokio::test]
async fn threepid_15_no_purpose_distinguishes_known_addresses() {
    assert_same_for_known_and_unknown(&[]).await;
}

#[tokio::test]
async fn threepid_15_no_purpose_has_other_quotas_for_known_addresses() {
    assert_same_for_known_and_unknown(&[LIMITED]).await;
}

/// All responses and headers are equal, including the responses while the quotas are exhausted.
#[tokio::test]
async fn threepid_15_for_every_purpose_message_quotas_are_equal() {
    for purpose in ALL_PURPOSES {
        for medium in MEDIA {
            let mut runs = Vec::new();
            for whose in [0, 1] {
                let server = with_owner(purpose, medium, whose, &[LIMITED]).await;
                server.advance(Duration::from_hours(48));
                let mut requester = Requester {
                    server: &server,
                    limited: true,
                    seen: Vec::new(),
                };
                for number in 0..8 {
                    let body = medium.ask(0, &format!("secret{number}"), 1);
                    let request = request_token_for(&server, purpose, &body);
                    requester.observe("a request", request).await;
                    server.deliver().await;
                }
                let refused = requester.seen.iter().filter(|(_, seen)| seen.status == 429);
                assert!(refused.count() >= 3, "{purpose}, {medium:?}");
                runs.push(requester.seen);
            }
            assert_eq!(runs[0], runs[1], "{purpose}, {medium:?}");
        }
    }
}

/// L1: the session ID is the same in every request, for known and unknown addresses, before and
/// after `deliver`.
#[tokio::test]
async fn l1_for_every_purpose_an_address_keeps_its_session_id() {
    for purpose in ALL_PURPOSES {
        for medium in MEDIA {
            let server = with_owner(purpose, medium, 0, &[]).await;
            for which in [0, 1] {
                let parameters = |attempt| medium.ask(which, "attacker", attempt);
                let sid = session_for(&server, purpose, &parameters(1)).await;
                for attempt in [1, 1, 2, 2, 3] {
                    assert_eq!(
                        session_for(&server, purpose, &parameters(attempt)).await,
                        sid
                    );
                    server.deliver().await;
                }
            }
        }
    }
}

/// The row of the address is invalid, so a function that read it would fail.
#[tokio::test]
async fn threepid_15_no_request_for_any_purpose_reads_the_owner() {
    for purpose in PURPOSES {
        for medium in MEDIA {
            let server = with_owner(purpose, medium, 1, &[]).await;
            let key = match medium {
                Medium::Mail => format!("3PID#email#{}", MAILS[0]),
                Medium::Text => format!("3PID#msisdn#{}", NUMBERS[0]),
            };
            let corrupt = json!({ "pk": { "S": key }, "sk": { "S": "A" }, "schema": { "N": "1" } });
            put(&server, "accounts", &corrupt);
            server.local.outbox().clear();
            let mut requester = Requester {
                server: &server,
                limited: false,
                seen: Vec::new(),
            };
            try_everything(&mut requester, purpose, medium).await;
            // `deliver` reads the row and fails.
            assert!(server.messages().is_empty(), "{purpose}, {medium:?}");
        }
    }
}

/// 3PID-05, 3PID-07: if the server discloses ownership, the request is rejected before anything is
/// written or sent.
#[tokio::test]
async fn threepid_06_disclosure_answers_without_a_message() {
    let disclosing = ("GATEHOUSE_THREEPID_PRIVACY", "tell");
    for (purpose, disclosed, errcode) in [
        (REGISTER, 0, "M_THREEPID_IN_USE"),
        (RESET, 1, "M_THREEPID_NOT_FOUND"),
        (ADD, 0, "M_THREEPID_IN_USE"),
    ] {
        for medium in MEDIA {
            let server = test_server(&[disclosing, LIMITED]).await;
            create_owner(&server, "owner", &medium.ask(0, "the-owner", 1)).await;
            server.advance(Duration::from_hours(1));
            let before = server.local.dynamodb().table("Proofs").unwrap();
            for attempt in 1..=10 {
                let parameters = medium.ask(disclosed, "attacker", attempt);
                let reply = request_token_for(&server, purpose, &parameters).await;
                reply.error(400, errcode);
            }
            assert_eq!(server.deliver().await, 0);
            assert_eq!(server.local.dynamodb().table("Proofs").unwrap(), before);
            let parameters = medium.ask(1 - disclosed, "attacker", 1);
            request_token_for(&server, purpose, &parameters).await.ok();
            server.deliver().await;
            assert_eq!(server.messages().len(), 1);
        }
    }
}
