//! What was called for and is of no use any more when it is delivered: nothing is sent.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::time::Duration;

use gatehouse_local::outbox::Message;
use kit::House;

use crate::flows::{
    mailbox::{
        MAIL_STAGE, ask, code, confirm, house, link, mail_to, session, stand, statuses,
        submit_code, text_to, ticks, with_proof,
    },
    support::assert_people,
};

const ADDRESS: &str = "a@example.org";
const NUMBER: &str = "447400123456";

/// A house whose session has got one message, and has called for another that still waits; and
/// that first message.
async fn waiting(body: impl Fn(i64) -> serde_json::Value) -> (House, String, Message) {
    let house = house(&[]).await;
    let sid = session(&house, &body(1)).await;
    house.deliver().await;
    let message = house.messages().pop().unwrap();
    house.local.outbox().clear();
    ask(&house, &body(2)).await.ok();
    lose_the_bell(&house).await;
    (house, sid, message)
}

async fn lose_the_bell(house: &House) {
    assert_eq!(house.local.skip_stream().await.unwrap(), 1);
}

fn a_mail(attempt: i64) -> serde_json::Value {
    mail_to(ADDRESS, "secret", attempt)
}

fn a_text(attempt: i64) -> serde_json::Value {
    text_to(NUMBER, "secret", attempt)
}

async fn tick(house: &House) {
    ticks(house, 1, Duration::from_mins(1)).await;
}

#[tokio::test]
async fn a_lost_doorbell_delays_a_message_and_loses_none() {
    for body in [a_mail(1), a_text(1)] {
        let house = house(&[]).await;
        ask(&house, &body).await.ok();
        lose_the_bell(&house).await;
        assert!(house.messages().is_empty());
        tick(&house).await;
        tick(&house).await;
        assert_eq!(house.messages().len(), 1);
    }
}

/// The control of what follows: a second message of a session that goes on is sent.
#[tokio::test]
async fn a_message_that_waits_is_sent_if_its_session_goes_on() {
    let (house, _, _) = waiting(a_mail).await;
    tick(&house).await;
    assert_eq!(house.messages().len(), 1);
    let (house, _, _) = waiting(a_text).await;
    tick(&house).await;
    assert_eq!(house.messages().len(), 1);
}

#[tokio::test]
async fn no_message_is_sent_for_a_session_that_has_expired() {
    let house = house(&[]).await;
    for (number, body) in [a_mail, a_text].iter().enumerate() {
        ask(&house, &body(1)).await.ok();
        assert_eq!(house.deliver().await, 1, "{number}");
    }
    house.local.outbox().clear();
    house.advance(Duration::from_hours(24) - Duration::from_mins(1));
    for body in [a_mail, a_text] {
        ask(&house, &body(2)).await.ok();
        lose_the_bell(&house).await;
    }
    // The rows are a minute old; the sessions are over.
    tick(&house).await;
    assert!(house.messages().is_empty());
    assert!(!statuses(&house).contains_key("queued"));
}

#[tokio::test]
async fn no_message_is_sent_for_an_address_that_is_validated_or_spent() {
    let (house, sid, mail) = waiting(a_mail).await;
    assert_eq!(confirm(&house, &link(&mail)).await.status, 200);
    tick(&house).await;
    assert!(house.messages().is_empty(), "validated");

    let (house, spent, mail) = waiting(a_mail).await;
    assert_eq!(spent, sid);
    assert_eq!(confirm(&house, &link(&mail)).await.status, 200);
    let body = with_proof("alice", MAIL_STAGE, &spent, "secret");
    house.register(&body).await.ok();
    tick(&house).await;
    assert!(house.messages().is_empty(), "spent");

    let (house, sid, text) = waiting(a_text).await;
    let reply = submit_code(&house, &sid, "secret", &code(&text)).await;
    reply.ok();
    tick(&house).await;
    assert!(house.messages().is_empty(), "validated by text");
}

#[tokio::test]
async fn no_message_is_sent_once_its_receiver_has_said_that_it_was_not_them() {
    let (house, _, mail) = waiting(a_mail).await;
    let refusal = format!("{}&action=refuse", link(&mail));
    assert_eq!(confirm(&house, &refusal).await.status, 200);
    tick(&house).await;
    assert!(house.messages().is_empty());
    assert!(!statuses(&house).contains_key("queued"));
}

#[tokio::test]
async fn no_message_is_sent_for_a_session_that_has_begun_anew() {
    let (house, sid, mail) = waiting(a_mail).await;
    let refusal = format!("{}&action=refuse", link(&mail));
    assert_eq!(confirm(&house, &refusal).await.status, 200);
    // Under the same id, with other links; the message of the session before still waits.
    assert_eq!(session(&house, &a_mail(3)).await, sid);
    lose_the_bell(&house).await;
    tick(&house).await;
    let messages = house.messages();
    assert_eq!(messages.len(), 1);
    assert_ne!(link(&messages[0]), link(&mail));
    assert_eq!(confirm(&house, &link(&mail)).await.status, 400);
    assert_eq!(confirm(&house, &link(&messages[0])).await.status, 200);
    let body = with_proof("alice", MAIL_STAGE, &sid, "secret");
    house.register(&body).await.ok();
    assert_eq!(statuses(&house)["sent"], 2, "{:?}", statuses(&house));
}

/// Five wrong guesses burn the codes so far. One that has not been sent yet is of no use either.
#[tokio::test]
async fn _3pid_48_a_code_that_is_burned_before_it_is_sent_is_not_sent() {
    let (house, sid, text) = waiting(a_text).await;
    let wrong = if code(&text) == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..5 {
        let reply = submit_code(&house, &sid, "secret", wrong).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
    ask(&house, &a_text(3)).await.ok();
    lose_the_bell(&house).await;
    tick(&house).await;
    let messages = house.messages();
    assert_eq!(messages.len(), 1, "the third alone: {messages:?}");
    let reply = submit_code(&house, &sid, "secret", &code(&messages[0])).await;
    reply.ok();
    assert_eq!(statuses(&house), stand(&[("moot", 1), ("sent", 2)]));
    assert_people(&house, &[]);
}
