//! Messages that have become useless before their delivery are not sent.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use test_support::TestServer;

use crate::flows::support::{
    assert_users,
    mail_helpers::{
        MAIL_STAGE, code, confirm, expected_statuses, link, mail_to, registration_with,
        request_message, run_schedules, session, statuses, submit_code, test_server, text_to,
    },
};

const ADDRESS: &str = "a@example.org";
const NUMBER: &str = "447400123456";

/// Returns a server with a session for which one message was sent and another one is queued; the ID of
/// the session; and the first message.
async fn waiting(body: impl Fn(i64) -> serde_json::Value) -> (TestServer, String, Message) {
    let server = test_server(&[]).await;
    let sid = session(&server, &body(1)).await;
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    server.local.outbox().clear();
    request_message(&server, &body(2)).await.ok();
    drop_stream_event(&server).await;
    (server, sid, message)
}

async fn drop_stream_event(server: &TestServer) {
    assert_eq!(server.local.drop_stream_records().await.unwrap(), 1);
}

fn a_mail(attempt: i64) -> serde_json::Value {
    mail_to(ADDRESS, "secret", attempt)
}

fn a_text(attempt: i64) -> serde_json::Value {
    text_to(NUMBER, "secret", attempt)
}

async fn minute_later(server: &TestServer) {
    run_schedules(server, 1, Duration::from_mins(1)).await;
}

#[tokio::test]
async fn a_lost_stream_event_delays_a_message_and_loses_none() {
    for body in [a_mail(1), a_text(1)] {
        let server = test_server(&[]).await;
        request_message(&server, &body).await.ok();
        drop_stream_event(&server).await;
        assert!(server.messages().is_empty());
        minute_later(&server).await;
        minute_later(&server).await;
        assert_eq!(server.messages().len(), 1);
    }
}

/// The control for the tests below: the second message of a pending session is sent.
#[tokio::test]
async fn a_waiting_message_of_a_pending_session_is_sent() {
    let (server, _, _) = waiting(a_mail).await;
    minute_later(&server).await;
    assert_eq!(server.messages().len(), 1);
    let (server, _, _) = waiting(a_text).await;
    minute_later(&server).await;
    assert_eq!(server.messages().len(), 1);
}

#[tokio::test]
async fn no_message_is_sent_for_an_expired_session() {
    let server = test_server(&[]).await;
    for (number, body) in [a_mail, a_text].iter().enumerate() {
        request_message(&server, &body(1)).await.ok();
        assert_eq!(server.deliver().await, 1, "{number}");
    }
    server.local.outbox().clear();
    server.advance(Duration::from_hours(24) - Duration::from_mins(1));
    for body in [a_mail, a_text] {
        request_message(&server, &body(2)).await.ok();
        drop_stream_event(&server).await;
    }
    // The rows are a minute old; the sessions have expired.
    minute_later(&server).await;
    assert!(server.messages().is_empty());
    assert!(!statuses(&server).contains_key("queued"));
}

#[tokio::test]
async fn no_message_is_sent_for_a_validated_or_spent_session() {
    let (server, sid, mail) = waiting(a_mail).await;
    assert_eq!(confirm(&server, &link(&mail)).await.status, 200);
    minute_later(&server).await;
    assert!(server.messages().is_empty(), "validated");
    let expected = expected_statuses(&[("moot", 1), ("sent", 1)]);
    assert_eq!(statuses(&server), expected);

    let (server, spent, mail) = waiting(a_mail).await;
    assert_eq!(spent, sid);
    assert_eq!(confirm(&server, &link(&mail)).await.status, 200);
    let body = registration_with("alice", MAIL_STAGE, &spent, "secret");
    server.register(&body).await.ok();
    minute_later(&server).await;
    assert!(server.messages().is_empty(), "spent");

    let (server, sid, text) = waiting(a_text).await;
    let reply = submit_code(&server, &sid, "secret", &code(&text)).await;
    reply.ok();
    minute_later(&server).await;
    assert!(server.messages().is_empty(), "validated by text");
}

#[tokio::test]
async fn no_message_is_sent_after_the_receiver_has_rejected_it() {
    let (server, _, mail) = waiting(a_mail).await;
    let refusal = format!("{}&action=refuse", link(&mail));
    assert_eq!(confirm(&server, &refusal).await.status, 200);
    minute_later(&server).await;
    assert!(server.messages().is_empty());
    assert!(!statuses(&server).contains_key("queued"));
}

#[tokio::test]
async fn no_message_is_sent_for_a_session_that_has_restarted() {
    let (server, sid, mail) = waiting(a_mail).await;
    let refusal = format!("{}&action=refuse", link(&mail));
    assert_eq!(confirm(&server, &refusal).await.status, 200);
    // The session has the same ID and other links; the message with the earlier link is still queued.
    assert_eq!(session(&server, &a_mail(3)).await, sid);
    drop_stream_event(&server).await;
    minute_later(&server).await;
    let messages = server.messages();
    assert_eq!(messages.len(), 1);
    assert_ne!(link(&messages[0]), link(&mail));
    assert_eq!(confirm(&server, &link(&mail)).await.status, 400);
    assert_eq!(confirm(&server, &link(&messages[0])).await.status, 200);
    let body = registration_with("alice", MAIL_STAGE, &sid, "secret");
    server.register(&body).await.ok();
    assert_eq!(statuses(&server)["sent"], 2, "{:?}", statuses(&server));
}

/// Five wrong attempts invalidate all codes so far, including a code that was not yet sent.
#[tokio::test]
async fn threepid_48_a_code_that_is_invalidated_first_is_not_sent() {
    let (server, sid, text) = waiting(a_text).await;
    let wrong = if code(&text) == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..5 {
        let reply = submit_code(&server, &sid, "secret", wrong).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
    request_message(&server, &a_text(3)).await.ok();
    drop_stream_event(&server).await;
    minute_later(&server).await;
    let messages = server.messages();
    assert_eq!(messages.len(), 1, "only the third is sent: {messages:?}");
    let reply = submit_code(&server, &sid, "secret", &code(&messages[0])).await;
    reply.ok();
    assert_eq!(
        statuses(&server),
        expected_statuses(&[("moot", 1), ("sent", 2)])
    );
    assert_users(&server, &[]);
}
