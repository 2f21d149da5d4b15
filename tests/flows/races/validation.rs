//! Concurrent requests about addresses at registration, with and without faults: a validated
//! session is spent once, an address has one owner, and the request that is written second gets an error.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::{
    races::{send_overtaken, send_until_answered},
    random_faults::{BREAKAGE, CONTENTION},
    support::{
        DUMMY, assert_complete, assert_users, at_once, count, flows, register_at_once,
        registration, serial, stage, tallied, tally,
        threepid_helpers::{
            ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, ValidationSession, assert_addresses, claims,
            link_to, mail_to, owned, request_mail, request_text, request_token, sessions_in,
        },
        users, with,
    },
};

const MANY: usize = 50;
const CLAIM: &str = "email#alice@example.org";

async fn test_server(offered: &str) -> Arc<TestServer> {
    Arc::new(TestServer::with(&[flows(offered), MAIL, SMS]).await)
}

async fn validated_session(server: &TestServer, stage: &str, secret: &str) -> ValidationSession {
    let validation = if stage == EMAIL {
        request_mail(server, ALICE, secret).await
    } else {
        request_text(server, NUMBER.0, secret).await
    };
    validation.validate(server).await;
    validation
}

/// Asserts that one account was created, with the address.
#[track_caller]
fn assert_one_owner(server: &TestServer, claim: &str) {
    let users = users(server);
    assert_complete(&users);
    let names: Vec<_> = users.keys().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_addresses(server, &[(claim, names[0])]);
}

/// UIA-54, UIA-15: the other final request runs before any one of the reads and writes of this request.
/// A session that was spent for the same account causes no error.
#[tokio::test]
async fn uia_15_an_overtaken_final_with_an_address_is_equal() {
    for kind in [EMAIL, MSISDN] {
        for at in [
            ("BatchGetItem", 1),
            ("GetItem", 1),
            ("TransactWriteItems", 1),
        ] {
            for session_only in [false, true] {
                let server = test_server(kind).await;
                let (_, session) = server.begin(&registration("alice")).await;
                let validation = if kind == EMAIL {
                    request_mail(&server, ALICE, "secret").await
                } else {
                    request_text(&server, NUMBER.0, "secret").await
                };
                let attempt = validation.attempt(Some(&session));
                server.register(&attempt).await.refused("M_UNAUTHORIZED");
                validation.validate(&server).await;
                let last = if session_only {
                    json!({ "auth": { "session": session } })
                } else {
                    attempt
                };
                let (slow, quick) = send_overtaken(&server, at, &last).await;
                quick.ok();
                assert_eq!(slow.text(), quick.text(), "{kind} {at:?} {session_only}");
                assert_users(&server, &["alice"]);
                assert_eq!(sessions_in(&server, "spent"), 1);
            }
        }
    }
}

/// UIA-54, a flaw of Tuwunel: the test sends requests without a UIA session, requests with the stage as
/// the last one of a session, and requests in a session in which the stage was completed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_fifty_sign_ups_with_one_session_make_one_account() {
    let _serial = serial().await;
    for (offered, in_session) in [
        (EMAIL.to_owned(), false),
        (EMAIL.to_owned(), true),
        (format!("{EMAIL}+{DUMMY}"), true),
    ] {
        let server = test_server(&offered).await;
        let validation = validated_session(&server, EMAIL, "secret").await;
        let mut bodies = Vec::new();
        for number in 0..MANY {
            let registration = registration(&format!("user{number}"));
            if !in_session {
                bodies.push(with(registration, &validation.attempt(None)));
                continue;
            }
            let (_, session) = server.begin(&registration).await;
            if offered == EMAIL {
                bodies.push(validation.attempt(Some(&session)));
            } else {
                server
                    .register(&validation.attempt(Some(&session)))
                    .await
                    .challenge();
                bodies.push(stage(DUMMY, &session));
            }
        }
        let replies = register_at_once(&server, MANY, |number| bodies[number].clone()).await;
        assert_one_winner(&replies);
        assert_one_owner(&server, CLAIM);
        assert_eq!(count(&server, "Proofs"), 1);
        // The rejected requests do not succeed later either.
        for body in &bodies {
            let again = server.register(body).await;
            assert!(
                [200, 400, 401].contains(&again.status.as_u16()),
                "{}",
                again.text()
            );
        }
        assert_one_owner(&server, CLAIM);
    }
}

/// Asserts that one response is a 200 and that the others have the error that the address is in use or
/// that the session is not validated.
#[track_caller]
fn assert_one_winner(replies: &[Reply]) {
    let tally = tally(replies);
    let times = |status: u16, code: &str| {
        let key = (status, code.to_owned());
        tally.get(&key).copied().unwrap_or_default()
    };
    let lost = times(400, "M_THREEPID_IN_USE") + times(401, "M_UNAUTHORIZED");
    assert_eq!((times(200, ""), lost), (1, replies.len() - 1), "{tally:?}");
}

/// REG-28, 3PID-68: each request has a validated session, and one of them gets the address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reg_28_racing_sign_ups_with_an_address_make_one_account() {
    let _serial = serial().await;
    for (kind, claim) in [(EMAIL, CLAIM), (MSISDN, "msisdn#447400123456")] {
        for in_session in [false, true] {
            for _ in 0..5 {
                let server = test_server(kind).await;
                let mut bodies = Vec::new();
                for name in ["alice", "bob"] {
                    let validation = validated_session(&server, kind, name).await;
                    bodies.push(if in_session {
                        let (_, session) = server.begin(&registration(name)).await;
                        validation.attempt(Some(&session))
                    } else {
                        with(registration(name), &validation.attempt(None))
                    });
                }
                let replies = register_at_once(&server, 2, |number| bodies[number].clone()).await;
                let expected = [(200, "", 1), (400, "M_THREEPID_IN_USE", 1)];
                assert_eq!(tally(&replies), tallied(&expected));
                assert_one_owner(&server, claim);
                assert_eq!(
                    sessions_in(&server, "validated"),
                    1,
                    "the session of the rejected request is not spent"
                );
            }
        }
    }
}

/// UIA-15: all requests are the final request of one session, with or without credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_fifty_finals_with_an_address_get_the_same_bytes() {
    let _serial = serial().await;
    for asked_for in [
        registration("alice"),
        json!({ "password": test_support::PASSWORD }),
    ] {
        for session_only in [false, true] {
            let server = test_server(EMAIL).await;
            let (_, session) = server.begin(&asked_for).await;
            let validation = request_mail(&server, ALICE, "secret").await;
            let attempt = validation.attempt(Some(&session));
            server.register(&attempt).await.refused("M_UNAUTHORIZED");
            validation.validate(&server).await;
            let last = if session_only {
                json!({ "auth": { "session": session } })
            } else {
                attempt
            };
            let replies = register_at_once(&server, MANY, |_| last.clone()).await;
            assert_eq!(tally(&replies), tallied(&[(200, "", MANY)]));
            for reply in &replies {
                assert_eq!(reply.body, replies[0].body);
            }
            assert_one_owner(&server, CLAIM);
        }
    }
}

/// 3PID-24: a client that sends one request many times concurrently gets one e-mail, and the request
/// consumes the quota once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l17_fifty_identical_concurrent_requests_send_one_mail() {
    let _serial = serial().await;
    let settings = [flows(EMAIL), MAIL, ("GATEHOUSE_LIMITS", "on")];
    let server = Arc::new(TestServer::with(&settings).await);
    let path = request_token(PREFIXES[1], EMAIL);
    let replies = at_once(MANY, |_| {
        let (server, path) = (Arc::clone(&server), path.clone());
        async move { server.post(&path, &mail_to(ALICE, "secret", 1)).await }
    })
    .await;
    for reply in &replies {
        assert_eq!(reply.ok(), replies[0].ok());
    }
    assert_eq!((count(&server, "Outbox"), count(&server, "Proofs")), (1, 1));
    server.deliver().await;
    server.advance(Duration::from_mins(3));
    server.run_schedule().await;
    assert_eq!(server.messages().len(), 1);
    link_to(&server, ALICE);
    // The quota suffices for the next attempt.
    server.post(&path, &mail_to(ALICE, "secret", 2)).await.ok();
    server.deliver().await;
    assert_eq!(server.messages().len(), 2);
}

/// UIA-54, REG-27, incident 20: with random faults, the account, its address and the spent session are
/// written together or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incident_20_a_session_makes_one_account_despite_faults() {
    let _serial = serial().await;
    for (seed, (kinds, per_mille)) in (1..).zip([(CONTENTION, 200), (BREAKAGE, 60)]) {
        let server = test_server(EMAIL).await;
        server.expect_faults();
        // There are two validated sessions of one address, and many UIA sessions with each of them.
        let credentials = [
            validated_session(&server, EMAIL, "one").await,
            validated_session(&server, EMAIL, "two").await,
        ];
        let mut bodies = Vec::new();
        for number in 0..MANY {
            let (_, session) = server.begin(&registration(&format!("user{number}"))).await;
            bodies.push(credentials[number % 2].attempt(Some(&session)));
        }
        server.local.proxy().random_faults(seed, per_mille, kinds);
        let replies = register_at_once(&server, MANY, |number| bodies[number].clone()).await;
        server.local.proxy().clear_faults();
        let winners = replies.iter().filter(|reply| reply.status == 200).count();
        assert!(winners <= 1, "{:?}", tally(&replies));
        assert!(users(&server).len() <= 1);
        assert_eq!(users(&server).len(), claims(&server).len());
        assert_eq!(owned(&server).len(), sessions_in(&server, "spent"));
        let mut answers = Vec::new();
        for body in &bodies {
            let reply = send_until_answered(async || server.register(body).await).await;
            if reply.status == 200 {
                answers.push(reply.json());
            }
        }
        assert_eq!(answers.len(), 1);
        let before = replies.iter().find(|reply| reply.status == 200);
        assert!(before.is_none_or(|reply| reply.json() == answers[0]));
        assert_one_owner(&server, CLAIM);
    }
}
