//! The credentials of a validation session in `auth`: their spellings and their validity.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::TestServer;

use crate::flows::support::{
    DUMMY, assert_users, count, flows, registration, stage,
    threepid_helpers::{
        ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, ValidationSession, assert_addresses, claims,
        confirm, link_to, path_of, request_mail, request_text,
    },
    with,
};

/// Returns the members of `auth` that name the session. The second argument has the credentials of another
/// session.
type Spelling = fn(&ValidationSession, &Value) -> Value;

const EITHER: &str = "m.login.email.identity m.login.msisdn";

async fn test_server(limits: &str) -> TestServer {
    TestServer::with(&[flows(EITHER), MAIL, SMS, ("GATEHOUSE_LIMITS", limits)]).await
}

/// A registration that attempts the stage `kind` with these further members of `auth`.
fn attempt(kind: &str, members: &Value) -> Value {
    let auth = with(json!({ "type": kind }), members);
    with(registration("alice"), &json!({ "auth": auth }))
}

async fn validated_session(server: &TestServer) -> ValidationSession {
    let validation = request_mail(server, ALICE, "secret").await;
    validation.validate(server).await;
    validation
}

/// UIA-51, UIA-52: the test uses both names, an object and a list of one object, with the members of r0
/// and without.
#[tokio::test]
async fn uia_51_credentials_are_accepted_in_every_spelling() {
    let wrong = json!({ "sid": "other", "client_secret": "other" });
    let spellings: [Spelling; 13] = [
        |validation, _| json!({ "threepid_creds": validation.creds() }),
        |validation, _| json!({ "threepidCreds": validation.creds() }),
        |validation, _| json!({ "threepid_creds": [validation.creds()] }),
        |validation, _| json!({ "threepidCreds": [validation.creds()] }),
        // Element's dialogs send both names at once.
        |validation, _| json!({ "threepid_creds": validation.creds(), "threepidCreds": validation.creds() }),
        |validation, _| json!({ "threepid_creds": validation.creds(), "threepidCreds": [validation.creds()] }),
        // The name of the specification takes precedence.
        |validation, wrong| json!({ "threepid_creds": validation.creds(), "threepidCreds": wrong }),
        |validation, _| json!({ "threepid_creds": null, "threepidCreds": validation.creds() }),
        |validation, _| json!({ "threepid_creds": { "sid": validation.sid, "clientSecret": validation.secret } }),
        |validation, _| {
            let both = json!({ "client_secret": validation.secret, "clientSecret": "other" });
            json!({ "threepid_creds": with(both, &json!({ "sid": validation.sid })) })
        },
        // UIA-52: an identity server may be named, and is not called.
        |validation, _| json!({ "threepid_creds": with(validation.creds(), &json!({ "id_server": "is.example", "id_access_token": "t" })) }),
        |validation, _| json!({ "threepidCreds": [with(validation.creds(), &json!({ "idServer": "[::1]", "idAccessToken": "t" }))] }),
        |validation, _| json!({ "threepid_creds": with(validation.creds(), &json!({ "id_server": null, "more": [1] })) }),
    ];
    for (number, spelling) in spellings.iter().enumerate() {
        let server = test_server("off").await;
        let validation = validated_session(&server).await;
        let body = attempt(EMAIL, &spelling(&validation, &wrong));
        let reply = server.register(&body).await;
        assert_eq!(reply.status, 200, "spelling {number}: {}", reply.text());
        assert_addresses(&server, &[("email#alice@example.org", "alice")]);
    }
}

/// UIA-51, HTTP-16: a value of another type is rejected and never converted.
#[tokio::test]
async fn uia_51_credentials_of_another_type_are_rejected() {
    let server = test_server("off").await;
    let validation = validated_session(&server).await;
    let with_member = |name: &str, value: Value| {
        let mut creds = validation.creds();
        creds[name] = value;
        creds
    };
    let wrong = [
        json!("sid"),
        json!(true),
        json!(7),
        json!([]),
        json!([validation.creds(), validation.creds()]),
        json!([[validation.creds()]]),
        json!(["sid"]),
        with_member("sid", json!(1)),
        with_member("sid", json!([validation.sid])),
        with_member("client_secret", json!({})),
        with_member("client_secret", json!(true)),
        with_member("id_server", json!(["is.example"])),
        with_member("id_access_token", json!(5)),
    ];
    for creds in wrong {
        for name in ["threepid_creds", "threepidCreds"] {
            let mut members = json!({});
            members[name] = creds.clone();
            let reply = server.register(&attempt(EMAIL, &members)).await;
            reply.error(400, "M_BAD_JSON");
        }
    }
    // UIA-27: a missing member gets another error.
    for members in [
        json!({}),
        json!({ "threepid_creds": null }),
        json!({ "threepid_creds": {} }),
        json!({ "threepid_creds": { "sid": validation.sid } }),
        json!({ "threepid_creds": { "client_secret": validation.secret } }),
    ] {
        let reply = server.register(&attempt(EMAIL, &members)).await;
        reply.refused("M_MISSING_PARAM");
    }
    assert_users(&server, &[]);
    assert_eq!(validation.state(&server), "validated");
}

/// UIA-53: the response for every session that is not accepted is the same and contains no reason.
#[tokio::test]
async fn uia_53_only_a_validated_session_of_secret_and_medium_passes() {
    let server = test_server("off").await;
    let mail = validated_session(&server).await;
    let text = request_text(&server, NUMBER.0, "secret").await;
    text.validate(&server).await;
    let pending = request_mail(&server, "bob@example.org", "secret").await;
    let creds = |sid: &str, secret: &str| json!({ "sid": sid, "client_secret": secret });
    let long = "a".repeat(256);
    let attempts = [
        (EMAIL, creds(&mail.sid, "wrong")),
        (EMAIL, creds(&mail.sid, "SECRET")),
        (EMAIL, creds(&mail.sid, "")),
        (EMAIL, creds(&mail.sid, &long)),
        (EMAIL, creds("", "secret")),
        (EMAIL, creds("unknown", "secret")),
        (EMAIL, creds(&long, "secret")),
        (EMAIL, creds("no id/at all", "secret")),
        (EMAIL, creds(&mail.sid.to_uppercase(), "secret")),
        (EMAIL, pending.creds()),
        (EMAIL, text.creds()),
        (MSISDN, mail.creds()),
    ];
    let mut answers = Vec::new();
    for (kind, creds) in attempts {
        let body = attempt(kind, &json!({ "threepid_creds": creds }));
        let mut body = server.register(&body).await.refused("M_UNAUTHORIZED");
        assert_eq!(body["completed"], json!([]), "{kind} {creds}");
        body["session"] = Value::Null;
        answers.push(body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_users(&server, &[]);
    assert_eq!(
        (mail.state(&server), text.state(&server)),
        ("validated".into(), "validated".into())
    );
}

/// UIA-53, 3PID-49, L6: a session is accepted for a day from its validation.
#[tokio::test]
async fn l6_a_validated_session_expires() {
    for (hours, works) in [(23, true), (24, false), (25, false), (24 * 5, false)] {
        let server = test_server("off").await;
        let validation = request_mail(&server, ALICE, "secret").await;
        server.deliver().await;
        server.advance(Duration::from_hours(23));
        confirm(&server, &link_to(&server, ALICE)).await;
        server.advance(Duration::from_hours(hours));
        let body = attempt(EMAIL, &json!({ "threepid_creds": validation.creds() }));
        let reply = server.register(&body).await;
        if works {
            reply.ok();
            assert_users(&server, &["alice"]);
        } else {
            reply.refused("M_UNAUTHORIZED");
            assert_users(&server, &[]);
            assert!(claims(&server).is_empty());
        }
    }
}

/// UIA-53: if a validated session expires after its stage was completed, the stage must be completed
/// again.
#[tokio::test]
async fn l6_a_session_that_expires_during_uia_is_requested_again() {
    let offered = "m.login.email.identity+m.login.dummy";
    let server = TestServer::with(&[flows(offered), MAIL]).await;
    let validation = validated_session(&server).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let body = server.register(&validation.attempt(Some(&session))).await;
    assert_eq!(body.challenge()["completed"], json!([EMAIL]));
    server.advance(Duration::from_hours(25));
    let last = stage(DUMMY, &session);
    let body = server.register(&last).await.refused("M_UNAUTHORIZED");
    assert_eq!(body["completed"], json!([DUMMY]));
    assert_eq!(body["session"], *session);
    assert_users(&server, &[]);
    // The same client with the same secret starts a new epoch of the same session.
    let again = request_mail(&server, ALICE, "secret").await;
    assert_eq!(again.sid, validation.sid);
    again.validate(&server).await;
    server.register(&again.attempt(Some(&session))).await.ok();
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}

/// UIA-54, incident 20: a validated session creates one account, independent of the order of the
/// requests.
#[tokio::test]
async fn uia_54_a_validated_session_is_spent_once() {
    let server = test_server("off").await;
    let validation = validated_session(&server).await;
    let (_, before) = server.begin(&registration("carol")).await;
    let body = attempt(EMAIL, &json!({ "threepid_creds": validation.creds() }));
    server.register(&body).await.ok();
    assert_eq!(validation.state(&server), "spent");
    let (_, after) = server.begin(&registration("dave")).await;
    for again in [
        with(registration("bob"), &validation.attempt(None)),
        validation.attempt(Some(&before)),
        validation.attempt(Some(&after)),
    ] {
        let body = server.register(&again).await.refused("M_UNAUTHORIZED");
        assert_eq!(body["completed"], json!([]));
    }
    // Opening the link again has no effect.
    let link = link_to(&server, ALICE);
    let page = server.get(path_of(&link)).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("There is nothing else to do"));
    server
        .register(&validation.attempt(Some(&before)))
        .await
        .refused("M_UNAUTHORIZED");
    assert_users(&server, &["alice"]);
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}

/// UIA-54: if two UIA sessions use one validated session, only the UIA session that finishes first
/// creates an account.
#[tokio::test]
async fn uia_54_a_session_shared_by_two_serves_the_first_to_finish() {
    let offered = "m.login.email.identity+m.login.dummy";
    let server = TestServer::with(&[flows(offered), MAIL]).await;
    let validation = validated_session(&server).await;
    let mut sessions = Vec::new();
    for name in ["alice", "bob"] {
        let (_, session) = server.begin(&registration(name)).await;
        let body = server.register(&validation.attempt(Some(&session))).await;
        assert_eq!(body.challenge()["completed"], json!([EMAIL]));
        sessions.push(session);
    }
    server.register(&stage(DUMMY, &sessions[0])).await.ok();
    let reply = server.register(&stage(DUMMY, &sessions[1])).await;
    reply.error(400, "M_THREEPID_IN_USE");
    // The stage must be completed again, with another address.
    let reply = server.register(&stage(DUMMY, &sessions[1])).await;
    assert_eq!(reply.challenge()["completed"], json!([DUMMY]));
    assert_users(&server, &["alice"]);
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}

/// UIA-57, UIA-26: clients poll many times. Polls are not rejected, and only the first poll writes to a
/// table.
#[tokio::test]
async fn uia_57_fifty_polls_succeed_and_only_the_first_writes() {
    let server = test_server("on").await;
    let validation = request_mail(&server, ALICE, "secret").await;
    server.deliver().await;
    let (_, session) = server.begin(&registration("alice")).await;
    let poll = validation.attempt(Some(&session));
    server.register(&poll).await.refused("M_UNAUTHORIZED");
    let rows = |server: &TestServer| {
        ["UiaSessions", "Proofs", "Outbox"]
            .map(|table| server.local.dynamodb().table(table).unwrap())
    };
    let before = rows(&server);
    for number in 0..50 {
        let (reply, calls) = server.calls_of(server.register(&poll)).await;
        reply.refused("M_UNAUTHORIZED");
        let writes = calls.iter().filter(|call| {
            call.operation != "BatchGetItem"
                && call.operation != "GetItem"
                && call.tables != ["Limits"]
        });
        assert_eq!(writes.count(), 0, "poll {number}: {calls:?}");
    }
    assert_eq!(rows(&server), before);
    confirm(&server, &link_to(&server, ALICE)).await;
    server.register(&poll).await.ok();
    assert_eq!(count(&server, "UiaSessions"), 1);
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
}
