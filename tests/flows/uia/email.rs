//! Registration with an e-mail address: the request, the e-mail, its link and the account.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, assert_users, flows, new_token, registration, stage,
    threepid_helpers::{
        ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, ValidationSession, ask, assert_addresses, claims,
        confirm, link_to, mail_to, path_of, request_mail, request_text, sessions_in,
    },
    token_stage, whoami, with,
};

async fn test_server(offered: &str) -> TestServer {
    TestServer::with(&[flows(offered), MAIL, SMS, POLICIES]).await
}

fn poll(session: &str) -> Value {
    json!({ "auth": { "session": session } })
}

/// UIA-50, UIA-57: the test sends the requests of a client, with either prefix.
#[tokio::test]
async fn uia_57_a_sign_up_waits_until_the_link_is_confirmed() {
    for prefix in PREFIXES {
        let server = test_server(EMAIL).await;
        let register = format!("{prefix}/register");
        let challenge = server
            .post(&register, &registration("alice"))
            .await
            .challenge();
        assert_eq!(challenge["flows"], json!([{ "stages": [EMAIL] }]));
        let session = challenge["session"].as_str().unwrap().to_owned();
        let validation = ask(&server, prefix, &mail_to(ALICE, "secret", 1)).await;
        let attempt = validation.attempt(Some(&session));
        let polls = |times: usize| {
            let (server, register, attempt, session) = (&server, &register, &attempt, &session);
            async move {
                for _ in 0..times {
                    let body = server
                        .post(register, attempt)
                        .await
                        .refused("M_UNAUTHORIZED");
                    assert_eq!(body["completed"], json!([]));
                    assert_eq!(body["session"], **session);
                }
            }
        };
        polls(2).await;
        assert_eq!(server.deliver().await, 1);
        polls(2).await;
        let link = link_to(&server, ALICE);
        // Opening the page confirms nothing.
        assert_eq!(server.get(path_of(&link)).await.status, 200);
        polls(2).await;
        assert_users(&server, &[]);
        confirm(&server, &link).await;
        let answer = server.post(&register, &attempt).await.ok();
        assert_eq!(answer["user_id"], "@alice:localhost");
        assert_eq!(
            whoami(&server, &answer).await["user_id"],
            "@alice:localhost"
        );
        // UIA-15: a repeated request gets the same response.
        assert_eq!(server.post(&register, &attempt).await.ok(), answer);
        assert_users(&server, &["alice"]);
        assert_addresses(&server, &[("email#alice@example.org", "alice")]);
        assert_eq!(server.messages().len(), 1);
    }
}

/// UIA-11: one request without a session contains everything.
#[tokio::test]
async fn uia_11_a_validated_address_signs_up_in_one_request() {
    let server = test_server(EMAIL).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    let body = with(registration("alice"), &validation.attempt(None));
    let refused = server.register(&body).await.refused("M_UNAUTHORIZED");
    assert_eq!(refused["completed"], json!([]));
    validation.validate(&server).await;
    let answer = server.register(&body).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}

/// UIA-18: a request that attempts no stage finds the stage completed.
#[tokio::test]
async fn uia_18_a_session_alone_checks_for_the_validation() {
    for (offered, completed) in [
        (EMAIL.to_owned(), None),
        (format!("{EMAIL}+{DUMMY}"), Some(json!([EMAIL]))),
    ] {
        let server = test_server(&offered).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let validation = request_mail(&server, ALICE, "secret").await;
        // Before the session has the credentials, the response contains no error about them.
        let body = server.register(&poll(&session)).await.challenge();
        assert!(body.get("errcode").is_none(), "{body}");
        server
            .register(&validation.attempt(Some(&session)))
            .await
            .refused("M_UNAUTHORIZED");
        let body = server.register(&poll(&session)).await.challenge();
        assert_eq!(body["completed"], json!([]));
        validation.validate(&server).await;
        let reply = server.register(&poll(&session)).await;
        match completed {
            None => drop(reply.ok()),
            Some(completed) => {
                let body = reply.challenge();
                assert_eq!(body["completed"], completed);
                assert!(body.get("errcode").is_none(), "{body}");
                server.register(&stage(DUMMY, &session)).await.ok();
            }
        }
        assert_addresses(&server, &[("email#alice@example.org", "alice")]);
    }
}

/// UIA-18, UIA-50: a stage without credentials uses the stored credentials of the session. If there are
/// none, the request gets the error for a missing parameter.
#[tokio::test]
async fn uia_50_credentials_are_needed_once() {
    let server = test_server(EMAIL).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let bare = stage(EMAIL, &session);
    server.register(&bare).await.refused("M_MISSING_PARAM");
    let validation = request_mail(&server, ALICE, "secret").await;
    let attempt = validation.attempt(Some(&session));
    server.register(&attempt).await.refused("M_UNAUTHORIZED");
    server.register(&bare).await.refused("M_UNAUTHORIZED");
    validation.validate(&server).await;
    server.register(&bare).await.ok();
    assert_users(&server, &["alice"]);
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}

/// The client has requested a message for a second address.
#[tokio::test]
async fn uia_50_the_last_credentials_count() {
    let server = test_server(EMAIL).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let first = request_mail(&server, "typo@example.org", "secret").await;
    let second = request_mail(&server, ALICE, "secret").await;
    for validation in [&first, &second] {
        let attempt = validation.attempt(Some(&session));
        server.register(&attempt).await.refused("M_UNAUTHORIZED");
    }
    first.validate(&server).await;
    server.register(&poll(&session)).await.challenge();
    assert_users(&server, &[]);
    second.validate(&server).await;
    server.register(&poll(&session)).await.ok();
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
    assert_eq!(first.state(&server), "validated");
}

/// Attempts one stage of a flow and returns the body of the response.
async fn complete(
    server: &TestServer,
    kind: &str,
    session: &str,
    validation: &[ValidationSession],
    token: &str,
) -> Value {
    let body = match kind {
        TOKEN => token_stage(token, Some(session)),
        DUMMY | TERMS => stage(kind, session),
        _ => {
            let validation = validation
                .iter()
                .find(|validation| validation.stage == kind)
                .unwrap();
            validation.attempt(Some(session))
        }
    };
    let reply = server.register(&body).await;
    assert!(
        [200, 401].contains(&reply.status.as_u16()),
        "{}",
        reply.text()
    );
    reply.json()
}

/// UIA-16, REG-27: the stage of an address is the first, a middle or the last stage of a flow, with one
/// address and with two.
#[tokio::test]
async fn uia_16_an_address_may_be_any_stage_of_a_flow() {
    let orders: [&[&str]; 8] = [
        &[EMAIL, DUMMY],
        &[DUMMY, EMAIL],
        &[TOKEN, EMAIL],
        &[EMAIL, TOKEN],
        &[TERMS, EMAIL, DUMMY],
        &[EMAIL, MSISDN],
        &[MSISDN, EMAIL],
        &[TERMS, MSISDN, TOKEN, EMAIL],
    ];
    for order in orders {
        let server = test_server(&order.join("+")).await;
        let token = new_token(&server, &["--uses", "1"]).await;
        let mut validation = vec![request_mail(&server, ALICE, "one").await];
        if order.contains(&MSISDN) {
            validation.push(request_text(&server, NUMBER.0, "two").await);
        }
        for validation in &validation {
            validation.validate(&server).await;
        }
        let (_, session) = server.begin(&registration("alice")).await;
        // A stage that is attempted out of order is not completed.
        for later in &order[1..] {
            let body = complete(&server, later, &session, &validation, &token).await;
            assert_eq!(body["completed"], json!([]), "{later} of {order:?}");
            assert!(body["errcode"].is_string(), "{later} of {order:?}: {body}");
        }
        for (number, kind) in order.iter().enumerate() {
            assert_users(&server, &[]);
            let body = complete(&server, kind, &session, &validation, &token).await;
            if number + 1 < order.len() {
                assert_eq!(body["completed"], json!(order[..=number]), "{order:?}");
                assert!(body.get("errcode").is_none(), "{body}");
            } else {
                assert_eq!(body["user_id"], "@alice:localhost", "{order:?}: {body}");
            }
        }
        assert_users(&server, &["alice"]);
        let mut expected = vec![("email#alice@example.org", "alice")];
        if order.contains(&MSISDN) {
            expected.push(("msisdn#447400123456", "alice"));
        }
        assert_addresses(&server, &expected);
    }
}

/// Only the stages of the completed flow have effects.
#[tokio::test]
async fn reg_27_an_address_of_another_flow_is_not_attached() {
    let server = test_server(&format!("{EMAIL}+{TERMS} {DUMMY}")).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    validation.validate(&server).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let body = server.register(&validation.attempt(Some(&session))).await;
    assert_eq!(body.challenge()["completed"], json!([EMAIL]));
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_users(&server, &["alice"]);
    assert_addresses(&server, &[]);
    assert_eq!(validation.state(&server), "validated");
}

/// UIA-19: the first parameters stay stored until the e-mail has been read.
#[tokio::test]
async fn uia_19_a_day_may_pass_between_the_mail_and_the_account() {
    let server = test_server(EMAIL).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    let attempt = validation.attempt(Some(&session));
    server.register(&attempt).await.refused("M_UNAUTHORIZED");
    server.deliver().await;
    server.advance(Duration::from_hours(23));
    confirm(&server, &link_to(&server, ALICE)).await;
    server.advance(Duration::from_hours(23));
    let answer = server.register(&poll(&session)).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
}

/// UIA-31: flows with a stage whose messages cannot be sent are not offered.
#[tokio::test]
async fn uia_31_flows_whose_messages_cannot_be_sent_are_not_offered() {
    let offered = format!("{EMAIL}+{DUMMY} {MSISDN}+{DUMMY} {EMAIL}+{MSISDN} {TERMS}+{DUMMY}");
    let with_mail = json!([{ "stages": [EMAIL, DUMMY] }, { "stages": [TERMS, DUMMY] }]);
    let with_sms = json!([{ "stages": [MSISDN, DUMMY] }, { "stages": [TERMS, DUMMY] }]);
    let with_none = json!([{ "stages": [TERMS, DUMMY] }]);
    let (no_mail, no_sms) = ((MAIL.0, ""), (SMS.0, ""));
    for (media, missing, expected) in [
        ([MAIL, no_sms], &[MSISDN][..], with_mail),
        ([no_mail, SMS], &[EMAIL], with_sms),
        ([no_mail, no_sms], &[EMAIL, MSISDN], with_none),
    ] {
        let server = TestServer::with(&[&[flows(&offered), POLICIES], &media[..]].concat()).await;
        let (challenge, session) = server.begin(&registration("alice")).await;
        assert_eq!(challenge["flows"], expected);
        for kind in missing {
            // A stage that is not offered is rejected too, not only hidden (incident 23).
            let creds = json!({ "sid": "sid", "client_secret": "secret" });
            let body =
                json!({ "auth": { "type": kind, "session": session, "threepid_creds": creds } });
            let body = server.register(&body).await.refused("M_UNRECOGNIZED");
            assert_eq!(body["completed"], json!([]));
        }
    }
}

/// UIA-31
#[test]
fn uia_31_without_a_flow_the_server_does_not_start() {
    let settings = [
        ("GATEHOUSE_SERVER_NAME", "example.org"),
        ("GATEHOUSE_PUBLIC_URL", "https://example.org"),
        (
            "GATEHOUSE_SECRET",
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        ),
        ("GATEHOUSE_REGISTRATION", "open"),
        (
            "GATEHOUSE_REGISTRATION_FLOWS",
            "m.login.email.identity m.login.msisdn",
        ),
    ];
    let start = |more: &[(&str, &str)]| {
        let all: Vec<_> = settings.iter().chain(more).copied().collect();
        let lookup = move |name: &str| {
            let own = all.iter().find(|(own, _)| *own == name)?;
            Some(own.1.to_owned())
        };
        shared::config::Config::from_lookup(lookup)
    };
    let faults = start(&[]).unwrap_err().to_string();
    for name in [
        "GATEHOUSE_REGISTRATION_FLOWS",
        "GATEHOUSE_MAIL_FROM",
        "GATEHOUSE_SMS_COUNTRIES",
    ] {
        assert!(faults.contains(name), "{name}: {faults}");
    }
    for enough in [MAIL, SMS] {
        assert_eq!(start(&[enough]).unwrap().flows().len(), 1);
    }
}

/// REG-23, UIA-09: an operation that fails spends no validated session.
#[tokio::test]
async fn reg_23_a_missing_password_spends_no_session() {
    let server = test_server(EMAIL).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    validation.validate(&server).await;
    let (_, session) = server.begin(&json!({ "username": "alice" })).await;
    let attempt = validation.attempt(Some(&session));
    server
        .register(&attempt)
        .await
        .error(400, "M_MISSING_PARAM");
    assert_eq!(
        (claims(&server).len(), sessions_in(&server, "spent")),
        (0, 0)
    );
    let late = with(
        poll(&session),
        &json!({ "password": test_support::PASSWORD }),
    );
    server.register(&late).await.ok();
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}
