//! Availability of messages: it depends on flows, media and policy.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::Call;
use serde_json::{Value, json};
use test_support::TestServer;

use crate::api::{
    rows::{queued, validations},
    support::with,
    threepids::{
        FLOWS, MAIL, MEDIA, REQUESTS, SMS, mail_to, message_request, server_with, sign_up_with,
        text_to,
    },
};

const WITH_DUMMY: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.dummy m.login.email.identity m.login.msisdn",
);

const NO_MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "");
const NO_SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "");

/// Incident 29: a message is sent only if an offered flow needs it.
#[tokio::test]
async fn incident_29_no_message_is_sent_that_no_flow_needs() {
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
        // A flow with a medium that is not enabled is not offered.
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
            let reply = server
                .post(path, &message_request(medium, 1, "secret", 1))
                .await;
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

/// 3PID-09: with `id_server`, the client expects an identity server to send the message.
#[tokio::test]
async fn threepid_12_a_disabled_medium_is_refused_first() {
    let without_mail = TestServer::with(&[WITH_DUMMY, NO_MAIL, NO_SMS]).await;
    let without_use =
        TestServer::with(&[("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy"), MAIL, SMS]).await;
    for server in [without_mail, without_use] {
        for (medium, path) in MEDIA {
            let valid = message_request(medium, 1, "secret", 1);
            for body in [valid.clone(), json!({})] {
                let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                reply.error(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED");
                assert!(calls.is_empty(), "{calls:?}");
            }
            let body = with(valid, &json!({ "id_server": "matrix.org" }));
            server
                .post(path, &body)
                .await
                .error(400, "M_SERVER_NOT_TRUSTED");
        }
        assert!(validations(&server).is_empty());
    }
}

/// REG-29: a closed server reveals nothing about 3PIDs.
#[tokio::test]
async fn reg_29_a_closed_server_sends_and_reads_nothing() {
    let server = TestServer::with(&[FLOWS, MAIL, SMS, ("GATEHOUSE_REGISTRATION", "closed")]).await;
    for (medium, path) in MEDIA {
        for body in [message_request(medium, 1, "secret", 1), json!({})] {
            let body = with(body, &json!({ "id_server": "matrix.org" }));
            let (reply, calls) = server.calls_of(server.post(path, &body)).await;
            reply.error(403, "M_FORBIDDEN");
            assert!(calls.is_empty(), "{calls:?}");
        }
    }
}

#[tokio::test]
async fn threepid_08_addresses_outside_the_policy_are_denied() {
    let server = server_with(&[
        (
            "GATEHOUSE_EMAIL_ALLOWED",
            r".*@example\.org .*@sub\.example\.net",
        ),
        ("GATEHOUSE_EMAIL_DENIED", r"spam.*@example\.org"),
        ("GATEHOUSE_PHONE_DENIED", "44740012.*"),
    ])
    .await;
    let mail_request = |address: &str| mail_to(address, "secret", 1);
    let text_request = |number: &str| text_to(number, "secret", 1);
    let cases = [
        ("email", mail_request("alice@example.org"), true),
        ("email", mail_request("ALICE@EXAMPLE.ORG"), true),
        ("email", mail_request("alice@sub.example.net"), true),
        ("email", mail_request("alice@example.net"), false),
        // A pattern matches the whole address.
        (
            "email",
            mail_request("alice@example.org.evil.example"),
            false,
        ),
        ("email", mail_request("alice@xexample.org"), false),
        ("email", mail_request("alice@exampleXorg.com"), false),
        ("email", mail_request("spam@example.org"), false),
        // A pattern also matches the canonical form, in which the long s is an s.
        ("email", mail_request("\u{17f}pam2@example.org"), false),
        ("msisdn", text_request("07400 123456"), false),
        ("msisdn", text_request("+44 7400 12 99 99"), false),
        ("msisdn", text_request("07400 223456"), true),
    ];
    for (_, path) in REQUESTS {
        let own = cases.iter().filter(|(medium, ..)| path.contains(medium));
        for (_, body, is_allowed) in own {
            let before = (queued(&server), validations(&server).len());
            let reply = server.post(path, body).await;
            if *is_allowed {
                reply.ok();
            } else {
                reply.error(403, "M_THREEPID_DENIED");
                assert_eq!(
                    (queued(&server), validations(&server).len()),
                    before,
                    "{body}"
                );
            }
        }
    }
}

/// 3PID-05: the mode is `tell`.
#[tokio::test]
async fn threepid_05_in_tell_mode_a_known_address_is_in_use() {
    let server = server_with(&[("GATEHOUSE_THREEPID_PRIVACY", "tell")]).await;
    for (medium, path) in MEDIA {
        sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        let before = (queued(&server), validations(&server).len());
        for secret in ["secret", "owner"] {
            let reply = server
                .post(path, &message_request(medium, 1, secret, 2))
                .await;
            reply.error(400, "M_THREEPID_IN_USE");
        }
        assert_eq!((queued(&server), validations(&server).len()), before);
        server
            .post(path, &message_request(medium, 2, "secret", 1))
            .await
            .ok();
        assert_eq!(queued(&server), before.0 + 1);
    }
}

/// The calls to the tables, sorted.
fn sorted_calls(calls: &[Call]) -> Vec<(String, Vec<String>)> {
    let mut sorted_calls: Vec<_> = calls
        .iter()
        .map(|call| (call.operation.clone(), call.tables.clone()))
        .collect();
    sorted_calls.sort();
    sorted_calls
}

/// 3PID-05, L1, L2, incident 32: requests for a known and an unknown 3PID get the same responses and headers and cause
/// the same reads and writes. Each 3PID keeps its session.
#[tokio::test]
async fn threepid_15_a_known_address_looks_like_any_other() {
    for limits in ["off", "on"] {
        let server = server_with(&[("GATEHOUSE_LIMITS", limits)]).await;
        for (medium, _) in MEDIA {
            sign_up_with(&server, medium, 1, &format!("alice-{medium}")).await;
        }
        for (medium, path) in REQUESTS {
            let mut seen: Vec<Vec<(Value, Vec<_>, usize)>> = Vec::new();
            for user in [1, 2] {
                // A quota that was used recently costs an additional call.
                server.advance(Duration::from_hours(3));
                let mut steps = Vec::new();
                let mut sids = Vec::new();
                for attempt in [1, 1, 2] {
                    let body = message_request(medium, user, "secret", attempt);
                    let (reply, calls) = server.calls_of(server.post(path, &body)).await;
                    assert!(
                        calls
                            .iter()
                            .all(|call| !call.tables.contains(&"Accounts".to_owned()))
                    );
                    let mut answer = reply.ok();
                    sids.push(answer["sid"].take());
                    // Only the number itself may differ.
                    for own in ["msisdn", "intl_fmt"] {
                        if answer.get(own).is_some() {
                            answer[own].take();
                        }
                    }
                    steps.push((answer, sorted_calls(&calls), reply.body.len()));
                }
                assert!(sids.iter().all(|sid| sid == &sids[0]), "L1: {sids:?}");
                seen.push(steps);
            }
            assert_eq!(seen[0], seen[1], "{path}");
        }
    }
}
