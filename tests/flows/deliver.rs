//! Delivery of messages from the outbox to SES and SNS: by the stream and by the schedule, with retries
//! and expiry.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod crash_points;
mod failures;
mod guarantees;
mod leases;
mod skipped_messages;

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

async fn request_mail(server: &TestServer, secret: &str) -> String {
    let body = json!({ "email": ADDRESS, "client_secret": secret, "send_attempt": 1 });
    let path = "/_matrix/client/v3/register/email/requestToken";
    let answer = server.post(path, &body).await.ok();
    answer["sid"].as_str().unwrap().to_owned()
}

async fn request_text(server: &TestServer, secret: &str) -> String {
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

/// Creates an account that owns the address.
async fn sign_up_by_mail(server: &TestServer) {
    let sid = request_mail(server, "first").await;
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

/// The path of the link that an e-mail for this session would contain.
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
    let status_and_attempts = |row: &Value| {
        let status = row["status"]["S"].as_str().unwrap().to_owned();
        let is_open = ["queued", "sending"].contains(&status.as_str());
        assert_eq!(row.get("due").is_some(), is_open, "{row}");
        (status, number(row, "attempts"))
    };
    rows.iter().map(status_and_attempts).collect()
}

/// The statuses of the outbox's rows in alphabetical order.
fn statuses(server: &TestServer) -> Vec<String> {
    let mut statuses: Vec<_> = rows(server).into_iter().map(|(status, _)| status).collect();
    statuses.sort();
    statuses
}

/// Advances the clock by this number of minutes and runs the schedule in each minute.
async fn wait(server: &TestServer, minutes: u32) {
    for _ in 0..minutes {
        server.advance(MINUTE);
        server.run_schedule().await;
    }
}

/// The parts of a message that its reader sees.
fn content(message: &Message) -> (&str, Option<&str>, &str, Option<&str>) {
    (
        &message.to,
        message.subject.as_deref(),
        &message.text,
        message.html.as_deref(),
    )
}

#[tokio::test]
async fn a_mail_is_sent_on_the_stream_event_and_only_once() {
    let server = test_server().await;
    request_mail(&server, "one").await;
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
async fn the_schedule_finds_messages_without_a_stream_event() {
    let server = test_server().await;
    request_mail(&server, "one").await;
    request_text(&server, "one").await;
    assert_eq!(server.local.drop_stream_records().await.unwrap(), 2);
    server.run_schedule().await;
    assert_eq!(server.messages().len(), 2);
    assert_eq!(statuses(&server), ["sent", "sent"]);
}

/// The outbox has more rows than fit on one page of a query.
#[tokio::test]
async fn one_scheduled_run_works_off_a_backlog() {
    let server = TestServer::with(&[(
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.email.identity m.login.dummy",
    )])
    .await;
    for n in 0..130 {
        request_mail(&server, &format!("secret{n}")).await;
    }
    server.local.drop_stream_records().await.unwrap();
    server.run_schedule().await;
    assert_eq!(server.messages().len(), 130);
}

/// 3PID-05, 3PID-15
#[tokio::test]
async fn the_owner_is_notified_once_a_day_and_no_session_validates() {
    let server = test_server().await;
    sign_up_by_mail(&server).await;
    let mut sids = Vec::new();
    for secret in ["two", "three"] {
        sids.push(request_mail(&server, secret).await);
        server.deliver().await;
    }
    let [mail] = &server.messages()[..] else {
        panic!("one mail")
    };
    assert_eq!(mail.to, ADDRESS);
    assert!(mail.subject.as_ref().unwrap().contains("already"));
    assert_eq!(mail.links().count(), 0);
    assert_eq!(statuses(&server), ["moot", "sent", "sent"]);
    // The link that was never sent does not validate the session either.
    for sid in sids {
        assert_ne!(server.get(&link(&server, &sid)).await.status, 200);
    }
    server.advance(Duration::from_hours(24));
    request_mail(&server, "four").await;
    server.deliver().await;
    assert_eq!(server.messages().len(), 2);
}

/// The daily quota of the notification is consumed for the row of the outbox. If a delivery consumed
/// the quota and was interrupted, a later delivery of the same row sends the notification.
#[tokio::test]
async fn an_interrupted_notification_of_the_owner_is_not_lost() {
    let server = test_server().await;
    sign_up_by_mail(&server).await;
    let busy = Fault::new(FaultKind::Throttle).on("SendEmail").times(2);
    server.local.aws_fakes().inject(busy);
    request_mail(&server, "two").await;
    server.deliver().await;
    request_mail(&server, "three").await;
    server.deliver().await;
    wait(&server, 10).await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(statuses(&server), ["moot", "sent", "sent"]);
}
