//! When a message can be asked for at all, and to which addresses.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::Call;
use serde_json::{Value, json};
use test_support::TestServer;

use crate::api::threepids::{
    FLOWS, MAIL, MEDIA, REQUESTS, SMS, mail_to, queued, rows, server_with, sign_up_with, text_to,
    wish, with,
};

const WITH_DUMMY: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.dummy m.login.email.identity m.login.msisdn",
);

const NO_MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "");
const NO_SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "");

/// Incident 29: a message goes out only if some flow that is offered asks for one.
#[tokio::test]
async fn incident_29_nothing_is_sent_that_no_flow_asks_for() {
    let flows = |flows| ("GATEHOUSE_REGISTRATION_FLOWS", flows);
    let closed = ("GATEHOUSE_REGISTRATION", "closed");
    let both = ["email", "msisdn"];
    for (settings, sent) in [
        (vec![flows("m.login.dummy"), MAIL, SMS], &both[..0]),
        (vec![WITH_DUMMY, MAIL, SMS], &both[..]),
        (vec![WITH_DUMMY, MAIL, NO_SMS], &both[..1]),
        (vec![WITH_DUMMY, NO_MAIL, SMS], &both[1..]),
        (vec![WITH_DUMMY, NO_MAIL, NO_SMS], &both[..0]),
        (vec![flows("m.login.email.identity"), MAIL, SMS], &both[..1]),
        (vec![flows("m.login.msisdn"), MAIL, SMS], &both[1..]),
        // A flow whose other message cannot be sent is not offered.
        (
            vec![
                flows("m.login.dummy m.login.email.identity+m.login.msisdn"),
                MAIL,
                NO_SMS,
            ],
            &both[..0],
        ),
        (
            vec![flows("m.login.email.identity+m.login.msisdn"), MAIL, SMS],
            &both[..],
        ),
        (vec![WITH_DUMMY, MAIL, SMS, closed], &both[..0]),
        (
            vec![WITH_DUMMY, MAIL, SMS, closed, ("GATEHOUSE_GUESTS", "true")],
            &both[..0],
        ),
    ] {
        let server = TestServer::with(&settings).await;
        for (medium, path) in MEDIA {
            let before = queued(&server);
            let reply = server.post(path, &wish(medium, 1, "secret", 1)).await;
            let is_sent = sent.contains(&medium);
            assert_eq!(reply.status == 200, is_sent, "{medium}: {settings:?}");
            assert_eq!(
                queued(&server) - before,
                usize::from(is_sent),
                "{settings:?}"
            );
        }
    }
}

/// 3PID-09: what cannot be sent from here would be for an identity server to send.
#[tokio::test]
async fn _3pid_12_a_medium_that_is_not_offered_is_refused_before_anything_else() {
    let without_mail = TestServer::with(&[WITH_DUMMY, NO_MAIL, NO_SMS]).await;
    let without_use =
        TestServer::with(&[("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy"), MAIL, SMS]).await;
    for server in [without_mail, without_use] {
        for (medium, path) in MEDIA {
            let whole = wish(medium, 1, "secret", 1);
            for body in [whole.clone(), json!({})] {
                let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                reply.error(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
                assert!(calls.is_empty(), "{calls:?}");
            }
            let body = with(whole, &json!({ "id_server": "matrix.org" }));
            server
                .post(path, &body)
                .await
                .error(400, "M_SERVER_NOT_TRUSTED");
        }
        assert!(rows(&server).is_empty());
    }
}

/// REG-29: and a closed server answers no question about addresses.
#[tokio::test]
async fn reg_29_a_closed_server_sends_nothing_and_looks_at_nothing() {
    let server = TestServer::with(&[FLOWS, MAIL, SMS, ("GATEHOUSE_REGISTRATION", "closed")]).await;
    for (medium, path) in MEDIA {
        for body in [wish(medium, 1, "secret", 1), json!({})] {
            let body = with(body, &json!({ "id_server": "matrix.org" }));
            let (reply, calls) = server.calls_of(server.post(path, &body)).await;
            reply.error(403, "M_FORBIDDEN");
            assert!(calls.is_empty(), "{calls:?}");
        }
    }
}

#[tokio::test]
async fn _3pid_08_addresses_outside_the_policy_are_denied() {
    let server = server_with(&[
        (
            "GATEHOUSE_EMAIL_ALLOWED",
            r".*@example\.org .*@sub\.example\.net",
        ),
        ("GATEHOUSE_EMAIL_DENIED", r"spam.*@example\.org"),
        ("GATEHOUSE_PHONE_DENIED", "44740012.*"),
    ])
    .await;
    let mail = |address: &str| mail_to(address, "secret", 1);
    let phone = |number: &str| text_to(number, "secret", 1);
    let cases = [
        ("email", mail("alice@example.org"), true),
        ("email", mail("ALICE@EXAMPLE.ORG"), true),
        ("email", mail("alice@sub.example.net"), true),
        ("email", mail("alice@example.net"), false),
        // A pattern is about the whole address.
        ("email", mail("alice@example.org.evil.example"), false),
        ("email", mail("alice@xexample.org"), false),
        ("email", mail("alice@exampleXorg.com"), false),
        ("email", mail("spam@example.org"), false),
        // And about its canonical form: the long s.
        ("email", mail("\u{17f}pam2@example.org"), false),
        ("msisdn", phone("07400 123456"), false),
        ("msisdn", phone("+44 7400 12 99 99"), false),
        ("msisdn", phone("07400 223456"), true),
    ];
    for (_, path) in REQUESTS {
        let own = cases.iter().filter(|(medium, ..)| path.contains(medium));
        for (_, body, is_allowed) in own {
            let before = (queued(&server), rows(&server).len());
            let reply = server.post(path, body).await;
            if *is_allowed {
                reply.ok();
            } else {
                reply.error(403, "M_THREEPID_DENIED");
                assert_eq!((queued(&server), rows(&server).len()), before, "{body}");
            }
        }
    }
}

/// 3PID-05: where the operator wants it said.
#[tokio::test]
async fn _3pid_05_in_tell_mode_a_known_address_is_in_use() {
    let server = server_with(&[("GATEHOUSE_THREEPID_PRIVACY", "tell")]).await;
    for (medium, path) in MEDIA {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), rows(&server).len());
        for secret in ["secret", "owner"] {
            let reply = server.post(path, &wish(medium, 1, secret, 2)).await;
            reply.error(400, "M_THREEPID_IN_USE");
        }
        assert_eq!((queued(&server), rows(&server).len()), before);
        server.post(path, &wish(medium, 2, "secret", 1)).await.ok();
        assert_eq!(queued(&server), before.0 + 1);
    }
}

/// What a request makes the tables do.
fn shape(calls: &[Call]) -> Vec<(String, Vec<String>)> {
    let mut shape: Vec<_> = calls
        .iter()
        .map(|call| (call.operation.clone(), call.tables.clone()))
        .collect();
    shape.sort();
    shape
}

/// 3PID-05, L1, L2, incident 32: a known and an unknown address look alike in answer, headers, reads
/// and writes, and keep their session call after call.
#[tokio::test]
async fn _3pid_15_in_quiet_mode_a_known_address_looks_like_any_other() {
    for limits in ["off", "on"] {
        let server = server_with(&[("GATEHOUSE_LIMITS", limits)]).await;
        for (medium, _) in MEDIA {
            sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        }
        for (medium, path) in REQUESTS {
            let mut seen: Vec<Vec<(Value, Vec<_>, usize)>> = Vec::new();
            for who in [1, 2] {
                // Budgets that were spent from a moment ago cost another call.
                server.advance(Duration::from_hours(3));
                let mut steps = Vec::new();
                let mut sids = Vec::new();
                for attempt in [1, 1, 2] {
                    let body = wish(medium, who, "secret", attempt);
                    let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                    assert!(
                        calls
                            .iter()
                            .all(|call| !call.tables.contains(&"Accounts".to_owned()))
                    );
                    let mut answer = reply.ok();
                    sids.push(answer["sid"].take());
                    // The number that was sent is the one thing that may differ.
                    for own in ["msisdn", "intl_fmt"] {
                        if answer.get(own).is_some() {
                            answer[own].take();
                        }
                    }
                    steps.push((answer, shape(&calls), reply.body.len()));
                }
                assert!(sids.iter().all(|sid| sid == &sids[0]), "L1: {sids:?}");
                seen.push(steps);
            }
            assert_eq!(seen[0], seen[1], "{path}");
        }
    }
}
