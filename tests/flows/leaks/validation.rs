//! Validation: the client secret, the link's token, the code and the client's own link are in no
//! table and no log; the address and the session ID are in no log.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod messages;

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::{Log, PREFIXES, Reply, TestServer};

use crate::flows::{
    leaks::LeakDetector,
    support::{
        DUMMY, flows, page, registration, stage, submit,
        threepid_helpers::{
            EMAIL, MAIL, MSISDN, NUMBER, SMS, ValidationSession, code_to, confirm, form_of,
            link_to, mail_to, path_of, request_token, text_to,
        },
        with,
    },
};

const ADDRESS: &str = "marker.address@example.org";
const SECRET: &str = "marker.client=secret_0123456789";
/// The functions whose calls fail in the test of failures.
const FAILING_FUNCTIONS: [&str; 3] = [
    "RegisterEmailRequestToken",
    "ValidateSubmitToken",
    "ValidateConfirm",
];
const NEXT_LINK: &str = "https://app.example.org/marker-next-link?client_secret=marker-inside";

/// Starts a leak detector with all secrets that are known in advance.
async fn detector(offered: &str, log: &Log, more: &[(&str, &str)]) -> LeakDetector {
    let hosts = ("GATEHOUSE_NEXT_LINK_HOSTS", "app.example.org");
    let settings = [&[flows(offered), MAIL, SMS, hosts], more].concat();
    let mut detector = LeakDetector::start(&settings, log).await;
    detector.ignores_sdk_trace = true;
    let secrets = [SECRET, NEXT_LINK, "marker-inside"];
    detector.secrets.extend(secrets.map(str::to_owned));
    // Short digit strings of the tables occur in many log lines, so only the whole number is
    // searched, in every spelling.
    let numbers = ["marker.address", NUMBER.1, NUMBER.0, "07400123456"];
    detector.only_stored.extend(numbers.map(str::to_owned));
    detector
}

/// Requests a message for a sign-up and adds the secrets that are derived from the session.
async fn ask(detector: &mut LeakDetector, body: &Value) -> ValidationSession {
    request_token_for(detector, "register", body).await
}

/// Requests a message for this purpose and adds the secrets that are derived from the session.
async fn request_token_for(
    detector: &mut LeakDetector,
    purpose: &str,
    body: &Value,
) -> ValidationSession {
    let mut body = body.clone();
    body["next_link"] = json!(NEXT_LINK);
    let stage = if body.get("email").is_some() {
        EMAIL
    } else {
        MSISDN
    };
    let path = request_token(PREFIXES[1], stage).replace("register", purpose);
    let reply = detector.server.post(&path, &body).await;
    let answer = reply.ok();
    let validation = ValidationSession {
        stage,
        sid: answer["sid"].as_str().unwrap().to_owned(),
        secret: SECRET.to_owned(),
        address: body
            .get("email")
            .unwrap_or(&answer["msisdn"])
            .as_str()
            .unwrap()
            .to_owned(),
        answer: answer.clone(),
    };
    detector.only_stored.push(validation.sid.clone());
    add_derived_secrets(detector, &validation);
    detector.check(&reply);
    validation
}

/// Adds the link's token and the code in the present state of the session.
fn add_derived_secrets(detector: &mut LeakDetector, validation: &ValidationSession) {
    let row = validation.row(&detector.server);
    let (sid, keys) = (&validation.sid, &detector.server.local.config().keys);
    let generation = row["generation"]["S"].as_str().unwrap();
    let secret = if validation.stage == EMAIL {
        threepid_validation::link_token(keys, sid, generation)
    } else {
        let sends = row["sends"]["N"].as_str().unwrap().parse().unwrap();
        threepid_validation::code(keys, sid, generation, sends)
    };
    detector.secrets.push(secret.reveal().clone());
}

/// Delivers a message and returns its link or code.
async fn delivered_secret(detector: &LeakDetector, validation: &ValidationSession) -> String {
    detector.server.deliver().await;
    detector.search();
    if validation.stage == EMAIL {
        link_to(&detector.server, &validation.address)
    } else {
        code_to(&detector.server, &validation.address)
    }
}

#[track_caller]
fn assert_not_in_sessions(server: &TestServer, secrets: &[&str]) {
    let rows = server.local.dynamodb().table("UiaSessions").unwrap();
    let text = Value::from(rows).to_string();
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in a UIA session");
    }
}

/// L4, incident 12: the test covers every step of a sign-up with an e-mail and a text message.
#[tokio::test]
async fn l4_no_secret_of_a_validation_leaks() {
    let (log, _guard) = Log::capture();
    let offered = format!("{EMAIL}+{MSISDN}+{DUMMY}");
    let mut detector = detector(&offered, &log, &[]).await;
    let session = detector.begin(&registration("alice")).await;
    let mail = ask(&mut detector, &mail_to(ADDRESS, SECRET, 1)).await;
    detector.register(&mail.attempt(Some(&session))).await;
    let link = delivered_secret(&detector, &mail).await;
    let opened = detector.server.get(path_of(&link)).await;
    // The request of a crawler and a damaged link do not validate either.
    detector.check(&opened);
    let broken = detector.server.get(&format!("{}x", path_of(&link))).await;
    assert_eq!(broken.status, 400);
    detector.check(&broken);
    let went = confirm(&detector.server, &link).await;
    assert_eq!(went.status, 303);
    detector.search();
    let body = detector
        .register(&json!({ "auth": { "session": session } }))
        .await;
    assert_eq!(body["completed"], json!([EMAIL]));
    let text = ask(&mut detector, &text_to(NUMBER.0, SECRET, 1)).await;
    detector.register(&text.attempt(Some(&session))).await;
    let code = delivered_secret(&detector, &text).await;
    let wrong = if code == "987654" { "987655" } else { "987654" };
    detector.secrets.push(wrong.to_owned());
    for code in [wrong, &code] {
        let reply = text.enter(&detector.server, code).await;
        detector.check(&reply);
    }
    detector.register(&text.attempt(Some(&session))).await;
    assert_not_in_sessions(&detector.server, &[ADDRESS, NUMBER.1, &mail.sid, &text.sid]);
    let answer = detector.register(&stage(DUMMY, &session)).await;
    assert!(answer["access_token"].is_string(), "{answer}");
    assert_not_in_sessions(&detector.server, &[ADDRESS, NUMBER.1, &mail.sid, &text.sid]);
    assert!(log.text().contains("requestToken"), "the log is captured");
    assert!(
        log.text().contains("sent"),
        "the log of deliver is captured too"
    );
}

/// L4: on the fallback pages, the server itself creates the client secret.
#[tokio::test]
async fn l4_no_secret_of_a_validation_on_a_page_leaks() {
    let (log, _guard) = Log::capture();
    let mut detector = detector(&format!("{EMAIL}+{MSISDN}"), &log, &[]).await;
    let session = detector.begin(&registration("alice")).await;
    let path = page(PREFIXES[0], EMAIL, &session);
    let form = "email=marker.address%40example.org";
    for form in [form, "action=check", "action=restart", form] {
        let reply = submit(&detector.server, &path, form).await;
        detector.check(&reply);
        detector.server.deliver().await;
        detector.search();
    }
    let link = link_to(&detector.server, ADDRESS);
    let (_, fields) = form_of(&detector.server, &link).await;
    let token = fields.split("token=").nth(1).unwrap().to_owned();
    detector.secrets.push(token);
    confirm(&detector.server, &link).await;
    detector.search();
    let reply = detector.server.get(&path).await;
    detector.check(&reply);
    detector
        .register(&json!({ "auth": { "session": session } }))
        .await;
    let path = page(PREFIXES[0], MSISDN, &session);
    let reply = submit(
        &detector.server,
        &path,
        "country=GB&phone_number=07400123456",
    )
    .await;
    detector.check(&reply);
    detector.server.deliver().await;
    let code = code_to(&detector.server, NUMBER.1);
    detector.secrets.push(code.clone());
    let reply = submit(
        &detector.server,
        &path,
        &format!("action=check&code={code}"),
    )
    .await;
    assert_eq!(reply.status, 200);
    detector.check(&reply);
    assert_not_in_sessions(&detector.server, &[ADDRESS, NUMBER.1]);
    let answer = detector
        .register(&json!({ "auth": { "session": session } }))
        .await;
    assert!(answer["access_token"].is_string(), "{answer}");
}

/// L4, incident 22: failures are logged with their causes and without secrets.
#[tokio::test]
async fn l4_no_secret_of_a_validation_is_in_the_log_of_a_failure() {
    let (log, _guard) = Log::capture();
    let denied = ("GATEHOUSE_EMAIL_DENIED", r"denied.*@.*");
    let mut detector = detector(&format!("{EMAIL} {MSISDN}"), &log, &[denied]).await;
    detector.only_stored.push("denied-marker".to_owned());
    let post = async |detector: &mut LeakDetector, path: &str, body: &Value| -> Reply {
        let reply = detector.server.post(path, body).await;
        detector.check(&reply);
        reply
    };
    let path = request_token(PREFIXES[1], EMAIL);
    for address in [
        "denied-marker@example.org",
        "marker.address@example.org@marker.address",
        "<marker.address>",
    ] {
        let reply = post(&mut detector, &path, &mail_to(address, SECRET, 1)).await;
        assert!(reply.status.is_client_error());
    }
    let mail = ask(&mut detector, &mail_to(ADDRESS, SECRET, 1)).await;
    let text = ask(&mut detector, &text_to(NUMBER.0, SECRET, 1)).await;
    for (number, validation) in [&mail, &text].into_iter().enumerate() {
        let registration = registration(&format!("user{number}"));
        detector
            .register(&with(registration, &validation.attempt(None)))
            .await;
    }
    // First the providers fail, then the tables, and then the session has expired.
    detector.server.expect_faults();
    for kind in [
        FaultKind::Rejected,
        FaultKind::Throttle,
        FaultKind::InternalError,
        FaultKind::ConnectionReset,
    ] {
        detector
            .server
            .local
            .aws_fakes()
            .inject(Fault::new(kind).times(2));
        detector.server.deliver().await;
        detector.server.advance(Duration::from_mins(3));
        detector.server.run_schedule().await;
        detector.search();
    }
    for function in FAILING_FUNCTIONS {
        detector
            .server
            .local
            .proxy()
            .inject(Fault::new(FaultKind::ConnectionReset).by(function).times(8));
    }
    let reply = post(&mut detector, &path, &mail_to(ADDRESS, SECRET, 2)).await;
    assert_eq!(reply.status, 500);
    let token = detector.secrets.last().cloned().unwrap();
    let reply = text.enter(&detector.server, &token).await;
    assert_eq!(reply.status, 500);
    detector.check(&reply);
    let link = format!("/_matrix/client/v3/validate/email/confirm?sid={}", mail.sid);
    let form = format!("sid={}&token={token}", mail.sid);
    let reply = submit(&detector.server, &link, &form).await;
    assert_eq!(reply.status, 500);
    detector.check(&reply);
    detector.server.local.proxy().clear_faults();
    detector.server.advance(Duration::from_hours(25));
    detector.server.run_schedule().await;
    let reply = text.enter(&detector.server, &token).await;
    assert!(reply.status.is_client_error());
    detector.check(&reply);
    assert!(log.text().contains("failed with an internal error"));
}
