//! From the outbox to the sinks: what rings, what is sent, what waits and what is given up.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod guarantee;

use std::time::Duration;

use gatehouse_local::{
    aws_fakes::outbox::{Medium, Message},
    dynamodb::proxy::{Fault, FaultKind},
};
use serde_json::{Value, json};
use shared::threepid_validation::link_token;
use test_support::{PASSWORD, TestServer};

const ADDRESS: &str = "alice@example.org";
const NUMBER: &str = "447400123456";
const MINUTE: Duration = Duration::from_mins(1);
const FOREVER: u64 = 1_000_000;

async fn test_server() -> TestServer {
    TestServer::with(&[
        (
            "GATEHOUSE_REGISTRATION_FLOWS",
            "m.login.email.identity m.login.msisdn",
        ),
        ("GATEHOUSE_EMAIL_LINK", "direct"),
        ("GATEHOUSE_LIMITS", "on"),
    ])
    .await
}

async fn ask_for_mail(server: &TestServer, secret: &str) -> String {
    let body = json!({ "email": ADDRESS, "client_secret": secret, "send_attempt": 1 });
    let path = "/_matrix/client/v3/register/email/requestToken";
    let answer = server.post(path, &body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

async fn ask_for_text(server: &TestServer, secret: &str) -> String {
    let body = json!({
        "country": "GB",
        "phone_number": NUMBER.replacen("44", "0", 1),
        "client_secret": secret,
        "send_attempt": 1,
    });
    let path = "/_matrix/client/v3/register/msisdn/requestToken";
    let answer = server.post(path, &body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

/// An account that owns the address.
async fn sign_up_by_mail(server: &TestServer) {
    let sid = ask_for_mail(server, "first").await;
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    let link = message.links().next().unwrap().to_owned();
    assert_eq!(server.get(path_of(&link)).await.status, 200);
    let auth = json!({
        "type": "m.login.email.identity",
        "threepid_creds": { "sid": sid, "client_secret": "first" },
    });
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
    server.register(&body).await.ok();
    server.local.outbox().clear();
}

fn path_of(link: &str) -> &str {
    &link[link.find("/_matrix").unwrap()..]
}

/// The path of the link that a mail of this session would have.
fn link(server: &TestServer, sid: &str) -> String {
    let proofs = server.local.dynamodb().table("Proofs").unwrap();
    let row = proofs.iter().find(|row| row["pk"]["S"] == sid).unwrap();
    let generation = row["generation"]["S"].as_str().unwrap();
    let token = link_token(&server.local.config().keys, sid, generation);
    let token = token.reveal();
    format!("/_matrix/client/v3/validate/email/submitToken?sid={sid}&token={token}")
}

/// The outbox's rows, oldest first: status and attempts.
fn rows(server: &TestServer) -> Vec<(String, i64)> {
    let mut rows = server.local.dynamodb().table("Outbox").unwrap();
    let number = |row: &Value, name: &str| row[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
    rows.sort_by_key(|row| number(row, "created"));
    let told = |row: &Value| {
        let status = row["status"]["S"].as_str().unwrap().to_owned();
        let is_open = ["queued", "sending"].contains(&status.as_str());
        assert_eq!(row.get("due").is_some(), is_open, "{row}");
        (status, number(row, "attempts"))
    };
    rows.iter().map(told).collect()
}

/// The same without attempts, in the alphabet's order.
fn statuses(server: &TestServer) -> Vec<String> {
    let mut statuses: Vec<_> = rows(server).into_iter().map(|(status, _)| status).collect();
    statuses.sort();
    statuses
}

/// As many minutes, each with its schedule.
async fn wait(server: &TestServer, minutes: u32) {
    for _ in 0..minutes {
        server.advance(MINUTE);
        server.tick().await;
    }
}

/// What a message is to its reader.
fn read(message: &Message) -> (&str, Option<&str>, &str, Option<&str>) {
    (
        &message.to,
        message.subject.as_deref(),
        &message.text,
        message.html.as_deref(),
    )
}

#[tokio::test]
async fn a_mail_goes_out_when_the_stream_rings_and_once_only() {
    let server = test_server().await;
    ask_for_mail(&server, "one").await;
    assert_eq!(server.deliver().await, 1);
    wait(&server, 5).await;
    let [mail] = &server.messages()[..] else {
        panic!("one mail")
    };
    assert_eq!((mail.medium, mail.to.as_str()), (Medium::Email, ADDRESS));
    assert_eq!(mail.links().count(), 1);
    assert_eq!(rows(&server), [("sent".to_owned(), 1)]);
}

#[tokio::test]
async fn what_the_stream_did_not_tell_the_schedule_finds() {
    let server = test_server().await;
    ask_for_mail(&server, "one").await;
    ask_for_text(&server, "one").await;
    assert_eq!(server.local.drop_stream_records().await.unwrap(), 2);
    server.tick().await;
    assert_eq!(server.messages().len(), 2);
    assert_eq!(statuses(&server), ["sent", "sent"]);
}

/// More than one page of them.
#[tokio::test]
async fn a_day_s_backlog_is_worked_off_by_one_schedule() {
    let server = TestServer::with(&[(
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.email.identity m.login.dummy",
    )])
    .await;
    for n in 0..130 {
        ask_for_mail(&server, &format!("secret{n}")).await;
    }
    server.local.drop_stream_records().await.unwrap();
    server.tick().await;
    assert_eq!(server.messages().len(), 130);
}

/// L16, 3PID-17
#[tokio::test]
async fn after_an_hour_without_ses_every_mail_arrives_once() {
    let server = test_server().await;
    let down = Fault::new(FaultKind::InternalError)
        .on("SendEmail")
        .times(FOREVER);
    server.local.aws_fakes().inject(down);
    for secret in ["one", "two", "three"] {
        ask_for_mail(&server, secret).await;
        server.deliver().await;
    }
    wait(&server, 60).await;
    assert_eq!(server.messages().len(), 0);
    for (status, attempts) in rows(&server) {
        assert_eq!(status, "queued");
        assert!((5..=12).contains(&attempts), "{attempts}");
    }
    server.local.aws_fakes().clear_faults();
    wait(&server, 16).await;
    assert_eq!(server.messages().len(), 3);
    wait(&server, 60).await;
    assert_eq!(server.messages().len(), 3);
    assert_eq!(statuses(&server), ["sent", "sent", "sent"]);
}

#[tokio::test]
async fn after_a_day_a_mail_is_given_up() {
    let server = test_server().await;
    let down = Fault::new(FaultKind::Throttle)
        .on("SendEmail")
        .times(FOREVER);
    server.local.aws_fakes().inject(down);
    ask_for_mail(&server, "one").await;
    server.deliver().await;
    for _ in 0..23 {
        wait(&server, 1).await;
        server.advance(59 * MINUTE);
    }
    assert_eq!(statuses(&server), ["queued"]);
    server.advance(60 * MINUTE);
    server.tick().await;
    assert_eq!(statuses(&server), ["dead"]);
    server.local.aws_fakes().clear_faults();
    wait(&server, 60).await;
    assert_eq!(server.messages().len(), 0);
}

#[tokio::test]
async fn what_a_provider_refuses_for_good_is_not_tried_again() {
    let server = test_server().await;
    for operation in ["SendEmail", "Publish"] {
        let fault = Fault::new(FaultKind::Rejected).on(operation);
        server.local.aws_fakes().inject(fault);
    }
    ask_for_mail(&server, "one").await;
    ask_for_text(&server, "one").await;
    server.deliver().await;
    wait(&server, 30).await;
    assert_eq!(server.messages().len(), 0);
    let failed = ("failed".to_owned(), 1);
    assert_eq!(rows(&server), [failed.clone(), failed]);
}

/// 3PID-05, 3PID-15
#[tokio::test]
async fn who_has_an_account_is_told_once_a_day_and_their_session_never_validates() {
    let server = test_server().await;
    sign_up_by_mail(&server).await;
    let mut sids = Vec::new();
    for secret in ["two", "three"] {
        sids.push(ask_for_mail(&server, secret).await);
        server.deliver().await;
    }
    let [mail] = &server.messages()[..] else {
        panic!("one mail")
    };
    assert_eq!(mail.to, ADDRESS);
    assert!(mail.subject.as_ref().unwrap().contains("already"));
    assert_eq!(mail.links().count(), 0);
    assert_eq!(statuses(&server), ["moot", "sent", "sent"]);
    // Not even by the link that was never sent.
    for sid in sids {
        assert_ne!(server.get(&link(&server, &sid)).await.status, 200);
    }
    server.advance(Duration::from_hours(24));
    ask_for_mail(&server, "four").await;
    server.deliver().await;
    assert_eq!(server.messages().len(), 2);
}

/// The note's one place in the day belongs to the row: who took it and did not get to send, sends
/// it later.
#[tokio::test]
async fn a_note_whose_delivery_was_interrupted_is_not_lost() {
    let server = test_server().await;
    sign_up_by_mail(&server).await;
    let busy = Fault::new(FaultKind::Throttle).on("SendEmail").times(2);
    server.local.aws_fakes().inject(busy);
    ask_for_mail(&server, "two").await;
    server.deliver().await;
    ask_for_mail(&server, "three").await;
    server.deliver().await;
    wait(&server, 10).await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(statuses(&server), ["moot", "sent", "sent"]);
}

/// What is called for by a session that has moved on in the meantime is not sent any more.
#[tokio::test]
async fn a_mail_for_a_session_that_is_validated_is_not_sent() {
    let server = test_server().await;
    ask_for_mail(&server, "one").await;
    server.deliver().await;
    let again = json!({ "email": ADDRESS, "client_secret": "one", "send_attempt": 2 });
    let path = "/_matrix/client/v3/register/email/requestToken";
    server.post(path, &again).await.ok();
    let message = server.messages().pop().unwrap();
    let link = message.links().next().unwrap().to_owned();
    assert_eq!(server.get(path_of(&link)).await.status, 200);
    server.deliver().await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(statuses(&server), ["moot", "sent"]);
}
