//! The daily limits of e-mails and of text messages.

use std::time::Duration;

use serde_json::Value;
use test_support::TestServer;

use super::sent;
use crate::flows::support::{
    account_helpers::{PASSWORD_PATH, log_in, password_of, with_auth},
    mail_helpers::{
        LIMITED, REGISTER, RESET, create_owner, expected_statuses, mail_to, peer,
        request_token_from, statuses, test_server, text_to,
    },
};

/// Requests a message for a sign-up with a new address, from a new network.
async fn sign_up(server: &TestServer, number: u32, is_mail: bool) {
    let body = if is_mail {
        mail_to(&format!("user{number}@example.org"), "secret", 1)
    } else {
        text_to(&format!("447400{number:03}000"), "secret", 1)
    };
    let reply = request_token_from(server, peer(number), REGISTER, &body).await;
    reply.ok();
}

fn settings(limit: &'static str) -> [(&'static str, &'static str); 3] {
    [
        LIMITED,
        ("GATEHOUSE_DAILY_EMAILS", limit),
        ("GATEHOUSE_DAILY_TEXTS", limit),
    ]
}

/// Any number of clients with any number of addresses get no more messages in a day than the operator allows.
#[tokio::test]
async fn the_messages_of_a_day_are_limited() {
    for is_mail in [true, false] {
        let server = test_server(&settings("20")).await;
        let mut messages = 0;
        for hour in 0..24 {
            for number in 0..4 {
                sign_up(&server, 100 + hour * 4 + number, is_mail).await;
            }
            messages += sent(&server).await;
            server.advance(Duration::from_hours(1));
        }
        assert!((16..=20).contains(&messages), "{is_mail}: {messages}");
        // The messages beyond the limit are in the metric and the alarm of messages that were given up.
        let dropped = 24 * 4 - messages;
        let expected = expected_statuses(&[("dead", dropped), ("sent", messages)]);
        assert_eq!(statuses(&server), expected);
        // Another medium has its own limit.
        sign_up(&server, 900, !is_mail).await;
        assert_eq!(sent(&server).await, 1);
    }
}

/// A part of the limit is reserved for password resets.
#[tokio::test]
async fn sign_ups_cannot_use_up_the_resets_of_a_day() {
    for (is_mail, owners) in [
        (
            true,
            (|secret: &str| mail_to("alice@example.org", secret, 1)) as fn(&str) -> Value,
        ),
        (false, |secret| text_to("447400123456", secret, 1)),
    ] {
        let server = test_server(&settings("20")).await;
        create_owner(&server, "alice", &owners("the-owner")).await;
        server.advance(Duration::from_hours(24));
        for number in 0..30 {
            sign_up(&server, 100 + number, is_mail).await;
        }
        assert_eq!(sent(&server).await, 8, "of a burst of ten");
        for (number, expected) in [(1, 1), (2, 1), (3, 0), (4, 0)] {
            // A rejected message of the smaller share changes nothing.
            sign_up(&server, 200 + number, is_mail).await;
            assert_eq!(sent(&server).await, 0);
            let body = owners(&format!("reset{number}"));
            request_token_from(&server, peer(number), RESET, &body)
                .await
                .ok();
            assert_eq!(sent(&server).await, expected, "{number}");
        }
    }
}

/// A security notification is not dropped: it waits until the limit allows it.
#[tokio::test]
async fn a_security_notification_waits_for_the_daily_limit() {
    let server = test_server(&settings("20")).await;
    let owner = mail_to("alice@example.org", "the-owner", 1);
    create_owner(&server, "alice", &owner).await;
    server.advance(Duration::from_hours(24));
    for number in 0..10 {
        sign_up(&server, 100 + number, true).await;
    }
    for number in 1..=2 {
        let body = mail_to("alice@example.org", &format!("reset{number}"), 1);
        request_token_from(&server, peer(number), RESET, &body)
            .await
            .ok();
    }
    assert_eq!(sent(&server).await, 10);
    let device = log_in(&server, "alice", test_support::PASSWORD).await;
    let body = with_auth(
        serde_json::json!({ "new_password": "walnut 3 harbour comet", "logout_devices": false }),
        password_of("alice", test_support::PASSWORD, None),
    );
    device.post(&server, PASSWORD_PATH, &body).await.ok();
    assert_eq!(sent(&server).await, 0);
    let mut passed = Duration::ZERO;
    while server.messages().is_empty() {
        server.advance(Duration::from_mins(10));
        passed += Duration::from_mins(10);
        server.run_schedule().await;
        assert!(passed < Duration::from_hours(4), "{passed:?}");
    }
    assert!(server.messages()[0].text.contains("was changed"));
}
