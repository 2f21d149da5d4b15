//! Registration with a phone number: the request, the text message, its code and the account.

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    assert_users, flows, is_free, registration,
    threepid_helpers::{
        ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, ask, assert_addresses, claims, code_to,
        request_mail, request_text, text_to,
    },
    whoami, with,
};

const CLAIM: &str = "msisdn#447400123456";

async fn test_server(offered: &str) -> TestServer {
    TestServer::with(&[flows(offered), MAIL, SMS]).await
}

/// UIA-50, UIA-57: the test sends the requests of a client, with either prefix.
#[tokio::test]
async fn uia_57_a_sign_up_waits_until_the_code_is_submitted() {
    for prefix in PREFIXES {
        let server = test_server(MSISDN).await;
        let register = format!("{prefix}/register");
        let challenge = server
            .post(&register, &registration("alice"))
            .await
            .challenge();
        let session = challenge["session"].as_str().unwrap();
        let validation = ask(&server, prefix, &text_to(NUMBER.0, "secret", 1)).await;
        assert_eq!(validation.answer["msisdn"], NUMBER.1);
        let attempt = validation.attempt(Some(session));
        for _ in 0..2 {
            let body = server
                .post(&register, &attempt)
                .await
                .refused("M_UNAUTHORIZED");
            assert_eq!(body["completed"], json!([]));
        }
        assert_eq!(server.deliver().await, 1);
        let code = code_to(&server, NUMBER.1);
        let wrong = if code == "000000" { "000001" } else { "000000" };
        validation
            .enter(&server, wrong)
            .await
            .error(400, "M_TOKEN_INCORRECT");
        server
            .post(&register, &attempt)
            .await
            .refused("M_UNAUTHORIZED");
        assert_users(&server, &[]);
        let done = validation.enter(&server, &code).await.ok();
        assert_eq!(done, json!({ "success": true }));
        let answer = server.post(&register, &attempt).await.ok();
        assert_eq!(
            whoami(&server, &answer).await["user_id"],
            "@alice:localhost"
        );
        assert_users(&server, &["alice"]);
        assert_addresses(&server, &[(CLAIM, "alice")]);
    }
}

/// UIA-11, UIA-18
#[tokio::test]
async fn uia_18_a_code_completes_the_stage_for_a_session_alone() {
    for in_session in [false, true] {
        let server = test_server(MSISDN).await;
        let validation = request_text(&server, NUMBER.0, "secret").await;
        let last = if in_session {
            let (_, session) = server.begin(&registration("alice")).await;
            let attempt = validation.attempt(Some(&session));
            server.register(&attempt).await.refused("M_UNAUTHORIZED");
            json!({ "auth": { "session": session } })
        } else {
            with(registration("alice"), &validation.attempt(None))
        };
        server.register(&last).await.challenge();
        validation.validate(&server).await;
        server.register(&last).await.ok();
        assert_users(&server, &["alice"]);
        assert_addresses(&server, &[(CLAIM, "alice")]);
    }
}

/// 3PID-48: attempts are counted on every path, and an invalidated code creates no account.
#[tokio::test]
async fn l18_five_wrong_codes_invalidate_the_code_for_a_sign_up_too() {
    let server = test_server(MSISDN).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let validation = request_text(&server, NUMBER.0, "secret").await;
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        validation
            .enter(&server, wrong)
            .await
            .error(400, "M_TOKEN_INCORRECT");
    }
    for guess in [wrong, &code] {
        validation
            .enter(&server, guess)
            .await
            .error(400, "M_SESSION_EXPIRED");
    }
    let attempt = validation.attempt(Some(&session));
    server.register(&attempt).await.refused("M_UNAUTHORIZED");
    assert_users(&server, &[]);
    // The next message has another code, for the same session.
    let again = ask(&server, PREFIXES[1], &text_to(NUMBER.0, "secret", 2)).await;
    assert_eq!(again.sid, validation.sid);
    server.deliver().await;
    validation
        .enter(&server, &code)
        .await
        .error(400, "M_TOKEN_INCORRECT");
    let code = code_to(&server, NUMBER.1);
    validation.enter(&server, &code).await.ok();
    server.register(&attempt).await.ok();
    assert_addresses(&server, &[(CLAIM, "alice")]);
}

/// REG-26: the type of the flags of r0 is checked. The flags have no effect for a session of this server,
/// and a named identity server is not called.
#[tokio::test]
async fn reg_26_the_flags_to_bind_are_read_and_bind_nowhere() {
    for flag in ["bind_email", "bind_msisdn"] {
        let server = test_server(EMAIL).await;
        for wrong in [json!("true"), json!(1), json!([]), json!({})] {
            let mut body = registration("alice");
            body[flag] = wrong;
            server.register(&body).await.error(400, "M_BAD_JSON");
        }
        let validation = request_mail(&server, ALICE, "secret").await;
        validation.validate(&server).await;
        let flags: [Value; 3] = [json!(true), json!(false), Value::Null];
        for (number, value) in flags.into_iter().enumerate() {
            let mut body = with(
                registration(&format!("alice{number}")),
                &validation.attempt(None),
            );
            body[flag] = value;
            body["auth"]["threepid_creds"]["id_server"] = json!("169.254.169.254");
            let reply = server.register(&body).await;
            // The validated session is accepted for the first registration only.
            if number == 0 {
                reply.ok();
            } else {
                reply.refused("M_UNAUTHORIZED");
            }
        }
        assert_users(&server, &["alice0"]);
        assert_addresses(&server, &[("email#alice@example.org", "alice0")]);
    }
}

/// REG-28, 3PID-68: if the address has got an owner since its validation, the registration fails without
/// any effect.
#[tokio::test]
async fn reg_28_an_address_that_got_an_owner_meanwhile_is_in_use() {
    for kind in [EMAIL, MSISDN] {
        for in_session in [false, true] {
            let server = test_server(kind).await;
            let mut both = Vec::new();
            for secret in ["one", "two"] {
                let validation = if kind == EMAIL {
                    request_mail(&server, ALICE, secret).await
                } else {
                    request_text(&server, NUMBER.0, secret).await
                };
                validation.validate(&server).await;
                both.push(validation);
            }
            assert_ne!(both[0].sid, both[1].sid);
            let body = with(registration("alice"), &both[0].attempt(None));
            server.register(&body).await.ok();
            let last = if in_session {
                let (_, session) = server.begin(&registration("bob")).await;
                both[1].attempt(Some(&session))
            } else {
                with(registration("bob"), &both[1].attempt(None))
            };
            for _ in 0..2 {
                server.register(&last).await.error(400, "M_THREEPID_IN_USE");
                assert!(is_free(&server, "bob").await, "the request has no effect");
                assert_users(&server, &["alice"]);
            }
            let expected = if kind == EMAIL {
                "email#alice@example.org"
            } else {
                CLAIM
            };
            assert_addresses(&server, &[(expected, "alice")]);
            assert_eq!(both[1].state(&server), "validated", "not spent");
        }
    }
}

/// REG-28: the operator has changed the rules since the message was sent.
#[tokio::test]
async fn reg_28_an_address_that_is_not_allowed_any_more_is_denied() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [flows("m.login.email.identity"), MAIL];
    let before = TestServer::in_directory(&settings, directory.path()).await;
    let validation = request_mail(&before, ALICE, "secret").await;
    validation.validate(&before).await;
    let (_, session) = before.begin(&registration("alice")).await;
    drop(before);
    let stricter = [
        &settings[..],
        &[("GATEHOUSE_EMAIL_DENIED", r".*@example\.org")],
    ]
    .concat();
    let server = TestServer::in_directory(&stricter, directory.path()).await;
    for last in [
        with(registration("alice"), &validation.attempt(None)),
        validation.attempt(Some(&session)),
    ] {
        server.register(&last).await.error(403, "M_THREEPID_DENIED");
        assert_users(&server, &[]);
        assert!(claims(&server).is_empty());
        assert_eq!(validation.state(&server), "validated", "not spent");
    }
    // The stage must be completed again, with another address.
    let poll = json!({ "auth": { "session": session } });
    let challenge = server.register(&poll).await.challenge();
    assert_eq!(challenge["completed"], json!([]));
    drop(server);
    // With the earlier rules the registration works again.
    let server = TestServer::in_directory(&settings, directory.path()).await;
    server
        .register(&validation.attempt(Some(&session)))
        .await
        .ok();
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}
