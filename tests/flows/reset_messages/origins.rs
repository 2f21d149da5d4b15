//! The origin of a request in an e-mail and on the page behind its link: the time, the network, and whether the account
//! owner has used the network.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{net::IpAddr, time::Duration};

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::json;
use shared::{clock::Clock, format_date};
use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{LOGIN, OTHER_PASSWORD, PASSWORD_PATH, login_of, try_login},
    mail_helpers::{
        ADD, ADDRESS, LIMITED, LINK, REGISTER, RESET, by_mail, confirm, link, peer,
        request_token_from, row, session_for, with_owner,
    },
};

const USED: &str = "Your account was used from this network in the last 30 days.";
const NOT_USED: &str = "Your account was not used from this network in the last 30 days.";

/// Requests an e-mail from a network and returns it.
async fn mail_from(server: &TestServer, from: IpAddr, purpose: &str, secret: &str) -> Message {
    // Earlier messages, such as security notifications.
    server.deliver().await;
    server.local.outbox().clear();
    request_token_from(server, from, purpose, &by_mail(secret))
        .await
        .ok();
    server.deliver().await;
    let mut messages = server.messages();
    assert_eq!(messages.len(), 1, "{secret}");
    messages.remove(0)
}

/// The parts of an e-mail and the page behind its link, if it has one.
async fn parts(server: &TestServer, message: &Message) -> Vec<String> {
    let mut parts = vec![message.text.clone(), message.html.clone().unwrap()];
    if message.links().next().is_some() {
        let page = server.get(&format!("{LINK}?{}", link(message))).await;
        parts.push(page.text().clone());
    }
    parts
}

#[tokio::test]
async fn a_reset_shows_its_time_network_and_familiarity() {
    let server = with_owner(by_mail, &[LIMITED]).await;
    let own = IpAddr::from([127, 0, 0, 1]);
    let v6: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
    let attacker = peer(7);
    for (from, network, familiarity, other) in [
        (attacker, "10.0.0.7", NOT_USED, USED),
        (v6, "2001:db8:1:2::/64", NOT_USED, USED),
    ] {
        let message = mail_from(
            &server,
            from,
            RESET,
            &format!("secret-{network}").replace(['/', ':'], "-"),
        )
        .await;
        let time = format_date::utc(server.local.clock().now());
        for part in parts(&server, &message).await {
            for text in [&*time, network, familiarity] {
                assert!(part.contains(text), "{text} in {part}");
            }
            assert!(!part.contains(other), "{part}");
        }
        server.advance(Duration::from_hours(1));
    }
    // The owner has registered from the network of the test client.
    let sid = session_for(&server, RESET, &by_mail("owner")).await;
    server.local.outbox().clear();
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    for part in parts(&server, &message).await {
        assert!(part.contains(USED) && !part.contains(NOT_USED), "{part}");
    }
    // The table contains no network.
    let stored = row(&server, "Proofs", &sid).to_string();
    assert!(!stored.contains(&own.to_string()), "{stored}");
    // The next request of the same session from another network is not known.
    let mut again = by_mail("owner");
    again["send_attempt"] = json!(2);
    request_token_from(&server, attacker, RESET, &again)
        .await
        .ok();
    server.local.outbox().clear();
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    for part in parts(&server, &message).await {
        assert!(
            part.contains(NOT_USED) && part.contains("10.0.0.7"),
            "{part}"
        );
    }
}

/// The e-mails to an owner about requests of other clients show the same.
#[tokio::test]
async fn other_emails_show_the_origin_of_their_request() {
    for purpose in [REGISTER, ADD] {
        let server = with_owner(by_mail, &[LIMITED]).await;
        let message = mail_from(&server, peer(7), purpose, "attacker").await;
        for part in parts(&server, &message).await {
            assert!(
                part.contains("10.0.0.7") && part.contains(NOT_USED),
                "{part}"
            );
        }
        // The owner of a free address has no account.
        let body = test_support::mail_to("free@example.org", "free", 1);
        request_token_from(&server, peer(8), purpose, &body)
            .await
            .ok();
        server.local.outbox().clear();
        server.deliver().await;
        let message = server.messages().pop().unwrap();
        for part in parts(&server, &message).await {
            assert!(part.contains("10.0.0.8"), "{part}");
            assert!(!part.contains(USED) && !part.contains(NOT_USED), "{part}");
        }
    }
}

#[tokio::test]
async fn the_operator_can_hide_the_network_of_a_request() {
    let settings = [LIMITED, ("GATEHOUSE_SHOW_REQUEST_NETWORK", "off")];
    let server = with_owner(by_mail, &settings).await;
    let message = mail_from(&server, peer(7), RESET, "secret").await;
    for part in parts(&server, &message).await {
        assert!(
            !part.contains("10.0.0.7") && part.contains(NOT_USED),
            "{part}"
        );
        assert!(part.contains("Requested on"), "{part}");
    }
}

/// Without rate limits no network is recorded, so nothing is stated about it.
#[tokio::test]
async fn without_limits_no_network_is_called_unknown() {
    let server = with_owner(by_mail, &[]).await;
    let message = mail_from(&server, peer(7), RESET, "secret").await;
    for part in parts(&server, &message).await {
        assert!(part.contains("10.0.0.7"), "{part}");
        assert!(!part.contains(USED) && !part.contains(NOT_USED), "{part}");
    }
}

/// An attacker who knew the password has logged in. After a reset by the owner, the attacker's network is not known any
/// more, and the network of the reset is. A change with the old password changes neither.
#[tokio::test]
async fn known_networks_end_with_a_reset_by_a_validated_address() {
    let server = with_owner(by_mail, &[LIMITED]).await;
    let thief = peer(66);
    let log_in = async |from: IpAddr, password: &str| {
        let body = login_of("alice", password);
        let reply = server.post_from(from, LOGIN, &body).await.ok();
        reply["access_token"].as_str().unwrap().to_owned()
    };
    let token = log_in(thief, PASSWORD).await;
    let is_used = async |from: IpAddr, secret: &str| {
        let message = mail_from(&server, from, RESET, secret).await;
        let is_used = message.text.contains(USED);
        assert_eq!(is_used, !message.text.contains(NOT_USED));
        server.advance(Duration::from_hours(1));
        is_used
    };
    assert!(is_used(thief, "thief-1").await);
    // The attacker changes the password. The networks of the owner stay known.
    let body = json!({
        "new_password": OTHER_PASSWORD,
        "auth": {
            "type": "m.login.password", "password": PASSWORD,
            "identifier": { "type": "m.id.user", "user": "alice" },
        },
    });
    server
        .post_as_from(thief, &token, PASSWORD_PATH, &body)
        .await
        .ok();
    let home = "127.0.0.1".parse().unwrap();
    assert!(is_used(thief, "thief-2").await && is_used(home, "home-1").await);
    // The owner resets the password.
    let sid = session_for(&server, RESET, &by_mail("reset")).await;
    server.local.outbox().clear();
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    assert_eq!(message.to, ADDRESS);
    assert_eq!(confirm(&server, &link(&message)).await.status, 200);
    let body = json!({
        "new_password": "lantern 7 orchard quilt",
        "auth": {
            "type": "m.login.email.identity",
            "threepid_creds": { "sid": sid, "client_secret": "reset" },
        },
    });
    server.post(PASSWORD_PATH, &body).await.ok();
    assert!(!is_used(thief, "thief-3").await);
    assert!(is_used(home, "home-2").await);
    // A login makes a network known again.
    try_login(&server, "alice", "lantern 7 orchard quilt")
        .await
        .ok();
    log_in(peer(67), "lantern 7 orchard quilt").await;
    assert!(is_used(peer(67), "new").await);
}
