//! The same of messages that lead to a new password, and of those that prove an address for an
//! account: 3PID-06, 3PID-07, 3PID-15. Only who reads what is sent to an address learns whether an
//! account has it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::time::Duration;

use serde_json::json;
use test_support::TestServer;

use super::{MAILS, Medium, NUMBERS, Seen, Stranger};
use crate::flows::support::mail_helpers::{
    ADD, LIMITED, RESET, ask_for, own, put, session_for, test_server,
};

const PURPOSES: [&str; 2] = [RESET, ADD];
const MEDIA: [Medium; 2] = [Medium::Mail, Medium::Text];

/// Everything that can be tried with an address and no access to what is sent to it.
async fn tries(stranger: &mut Stranger<'_>, purpose: &str, medium: Medium) {
    let server = stranger.server;
    let wish = |attempt| medium.ask(0, "stranger", attempt);
    let ask = |attempt| {
        let body = wish(attempt);
        async move { ask_for(server, purpose, &body).await }
    };
    let first = stranger.sees("a request", ask(1)).await.ok();
    let sid = first["sid"].as_str().unwrap().to_owned();
    for (what, attempt) in [("its repetition", 1), ("the next attempt", 2)] {
        let answer = stranger.sees(what, ask(attempt)).await.ok();
        assert_eq!(answer["sid"], sid, "L1: {what}");
    }
    server.deliver().await;
    for (what, attempt) in [("a repetition later", 2), ("an attempt later", 3)] {
        let answer = stranger.sees(what, ask(attempt)).await.ok();
        assert_eq!(answer["sid"], sid, "L1: {what}");
    }
    server.deliver().await;
    for _ in 0..5 {
        let guess = medium.guess(server, &sid, "stranger");
        let reply = stranger.sees("a wrong guess", guess).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
    let guess = medium.guess(server, &sid, "stranger");
    let reply = stranger.sees("one guess more", guess).await;
    match medium {
        Medium::Mail => reply.error(400, "M_TOKEN_INCORRECT"),
        Medium::Text => reply.error(400, "M_SESSION_EXPIRED"),
    };
    if medium == Medium::Mail {
        stranger.links(&sid).await;
    }
    server.advance(Duration::from_hours(25));
    let guess = medium.guess(server, &sid, "stranger");
    let reply = stranger.sees("a guess too late", guess).await;
    reply.error(400, "M_SESSION_EXPIRED");
    let answer = stranger.sees("a session anew", ask(1)).await.ok();
    assert_eq!(answer["sid"], sid, "L1: a session anew");
}

/// A house with an account that has the address of this number, in which every function has been
/// asked before: the first request reads more than the others.
async fn with_owner(
    purpose: &str,
    medium: Medium,
    whose: usize,
    settings: &[(&str, &str)],
) -> TestServer {
    let server = test_server(settings).await;
    own(&server, "owner", &medium.ask(whose, "the-owner", 1)).await;
    server.advance(Duration::from_hours(48));
    let body = medium.ask(1, "somebody", 1);
    ask_for(&server, purpose, &body).await.ok();
    server.deliver().await;
    server
}

async fn world(
    purpose: &str,
    medium: Medium,
    whose: usize,
    settings: &[(&str, &str)],
) -> Vec<(String, Seen)> {
    let server = with_owner(purpose, medium, whose, settings).await;
    let mut stranger = Stranger {
        server: &server,
        limited: settings.contains(&LIMITED),
        seen: Vec::new(),
    };
    tries(&mut stranger, purpose, medium).await;
    stranger.seen
}

async fn the_worlds_are_alike(settings: &[(&str, &str)]) {
    for purpose in PURPOSES {
        for medium in MEDIA {
            let known = world(purpose, medium, 0, settings).await;
            let unknown = world(purpose, medium, 1, settings).await;
            assert_eq!(known.len(), unknown.len());
            for ((what, known), (_, unknown)) in known.iter().zip(&unknown) {
                assert_eq!(known, unknown, "{purpose}, {medium:?}: {what}");
            }
            assert!(known.len() >= 13, "{}", known.len());
        }
    }
}

/// To the byte and to the call, as at sign-up.
#[tokio::test]
async fn _3pid_15_no_purpose_tells_a_known_address_from_an_unknown_one() {
    the_worlds_are_alike(&[]).await;
}

#[tokio::test]
async fn _3pid_15_for_no_purpose_a_known_address_has_another_budget() {
    the_worlds_are_alike(&[LIMITED]).await;
}

/// Beyond the budgets too, and in every header.
#[tokio::test]
async fn _3pid_15_for_every_purpose_messages_run_out_alike() {
    for purpose in PURPOSES {
        for medium in MEDIA {
            let mut worlds = Vec::new();
            for whose in [0, 1] {
                let server = with_owner(purpose, medium, whose, &[LIMITED]).await;
                server.advance(Duration::from_hours(48));
                let mut stranger = Stranger {
                    server: &server,
                    limited: true,
                    seen: Vec::new(),
                };
                for number in 0..8 {
                    let body = medium.ask(0, &format!("secret{number}"), 1);
                    let asked = ask_for(&server, purpose, &body);
                    stranger.sees("a request", asked).await;
                    server.deliver().await;
                }
                let refused = stranger.seen.iter().filter(|(_, seen)| seen.status == 429);
                assert!(refused.count() >= 3, "{purpose}, {medium:?}");
                worlds.push(stranger.seen);
            }
            assert_eq!(worlds[0], worlds[1], "{purpose}, {medium:?}");
        }
    }
}

/// L1: known or not, `deliver` having run or not.
#[tokio::test]
async fn l1_for_every_purpose_the_session_of_an_address_keeps_its_id() {
    for purpose in PURPOSES {
        for medium in MEDIA {
            let server = with_owner(purpose, medium, 0, &[]).await;
            for which in [0, 1] {
                let wish = |attempt| medium.ask(which, "stranger", attempt);
                let sid = session_for(&server, purpose, &wish(1)).await;
                for attempt in [1, 1, 2, 2, 3] {
                    assert_eq!(session_for(&server, purpose, &wish(attempt)).await, sid);
                    server.deliver().await;
                }
            }
        }
    }
}

/// Whoever read the row of the address would fail: it is a row that nobody can read.
#[tokio::test]
async fn _3pid_15_no_request_for_any_purpose_reads_whose_an_address_is() {
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
            let mut stranger = Stranger {
                server: &server,
                limited: false,
                seen: Vec::new(),
            };
            tries(&mut stranger, purpose, medium).await;
            // `deliver` does read it, and does not get past it.
            assert!(server.messages().is_empty(), "{purpose}, {medium:?}");
        }
    }
}

/// Where the operator chose to tell, it is told before anything is written or sent.
#[tokio::test]
async fn _3pid_06_and_07_a_server_that_tells_says_so_and_sends_nothing() {
    let tell = ("GATEHOUSE_THREEPID_PRIVACY", "tell");
    for (purpose, told, errcode) in [
        (RESET, 1, "M_THREEPID_NOT_FOUND"),
        (ADD, 0, "M_THREEPID_IN_USE"),
    ] {
        for medium in MEDIA {
            let server = test_server(&[tell, LIMITED]).await;
            own(&server, "owner", &medium.ask(0, "the-owner", 1)).await;
            server.advance(Duration::from_hours(1));
            let before = server.local.engine().table("Proofs").unwrap();
            for attempt in 1..=10 {
                let wish = medium.ask(told, "stranger", attempt);
                let reply = ask_for(&server, purpose, &wish).await;
                reply.error(400, errcode);
            }
            assert_eq!(server.deliver().await, 0);
            assert_eq!(server.local.engine().table("Proofs").unwrap(), before);
            let wish = medium.ask(1 - told, "stranger", 1);
            ask_for(&server, purpose, &wish).await.ok();
            server.deliver().await;
            assert_eq!(server.messages().len(), 1);
        }
    }
}
