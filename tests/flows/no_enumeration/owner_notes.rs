//! The notification of an address's owner when another client requests a sign-up with it.

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::TestServer;

use super::{MAILS, Medium, NUMBERS, PREFIX};
use crate::flows::support::{
    mail_helpers::{
        CODE, LIMITED, MAIL_STAGE, code, confirm, create_owner, link, mail_to, registration_with,
        request_message, row, session, submit_code, test_server, valid_secret,
    },
    users,
};

/// A link that an attacker sends and that must not reach the owner.
const NEXT_LINK: &str = "https://evil.example.com/prize";

async fn with_owner(medium: Medium) -> TestServer {
    let server = test_server(&[LIMITED]).await;
    create_owner(&server, "theowner", &medium.ask(0, "the-owner", 1)).await;
    server.advance(Duration::from_hours(1));
    server
}

/// Requests a message with a new client secret and returns the messages that were sent.
async fn sent(server: &TestServer, medium: Medium, secret: &str) -> Vec<Message> {
    server.local.outbox().clear();
    let mut parameters = medium.ask(0, secret, 1);
    parameters["next_link"] = json!(NEXT_LINK);
    request_message(server, &parameters).await.ok();
    server.deliver().await;
    server.messages()
}

fn all_text(message: &Message) -> String {
    let parts = [&message.subject, &Some(message.text.clone()), &message.html];
    let parts: Vec<_> = parts.into_iter().flatten().cloned().collect();
    parts.join("\n")
}

#[tokio::test]
async fn threepid_05_the_owner_of_an_address_is_notified_once_a_day() {
    for medium in [Medium::Mail, Medium::Text] {
        let server = with_owner(medium).await;
        for day in 0..3 {
            for hour in [0, 1, 12, 23] {
                let secret = format!("secret-{day}-{hour}");
                let count = sent(&server, medium, &secret).await.len();
                assert_eq!(count, usize::from(hour == 0), "{day}, {hour}: {medium:?}");
                let next = if hour == 0 || hour == 23 { 1 } else { 11 };
                server.advance(Duration::from_hours(next));
            }
        }
        // A note to one address does not consume the quota of another address.
        let other = medium.ask(1, "secret", 1);
        request_message(&server, &other).await.ok();
        assert_eq!(server.deliver().await, 1);
        assert_eq!(server.messages().len(), 1);
    }
}

#[tokio::test]
async fn threepid_05_the_owners_mail_contains_no_link_token_or_name() {
    let server = with_owner(Medium::Mail).await;
    let messages = sent(&server, Medium::Mail, "attackers-secret").await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to, MAILS[0]);
    let text = all_text(notice);
    let (_, rows) = requester(&server, Medium::Mail, "attackers-secret").await;
    let token = threepid_validation::link_token(
        &server.local.config().keys,
        rows["pk"]["S"].as_str().unwrap(),
        rows["generation"]["S"].as_str().unwrap(),
    );
    for secret in [
        "theowner",
        "attackers-secret",
        "evil.example.com",
        "://",
        "href",
        rows["pk"]["S"].as_str().unwrap(),
        token.reveal(),
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for said in ["localhost", "already", "assword"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(notice.html.is_some());
}

#[tokio::test]
async fn threepid_05_the_owners_text_message_is_neutral() {
    let server = with_owner(Medium::Text).await;
    let messages = sent(&server, Medium::Text, "attackers-secret").await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to.trim_start_matches('+'), NUMBERS[0]);
    let text = all_text(notice);
    assert!(text.contains("localhost"), "{text}");
    // The number may have been reassigned, so the text mentions no account and no reset and contains
    // no code and no link.
    for word in ["already", "assword", "reset", "theowner", "://", "#", "@"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(!text.bytes().any(|b| b.is_ascii_digit()), "{text}");
}

/// The ID of a requester's session, and the row of the session.
async fn requester(server: &TestServer, medium: Medium, secret: &str) -> (String, Value) {
    let sid = session(server, &medium.ask(0, secret, 1)).await;
    let row = row(server, "Proofs", &sid);
    (sid, row)
}

#[tokio::test]
async fn threepid_05_a_session_for_a_known_address_never_validates() {
    for (medium, whose) in [
        (Medium::Mail, 0),
        (Medium::Text, 0),
        // The control: a session for a free address can be validated.
        (Medium::Mail, 1),
        (Medium::Text, 1),
    ] {
        let server = test_server(&[]).await;
        create_owner(&server, "theowner", &medium.ask(whose, "the-owner", 1)).await;
        let (sid, _) = requester(&server, medium, "secret").await;
        let token = valid_secret(&server, &sid);
        server.deliver().await;
        let token = token.reveal();
        let path = match medium {
            Medium::Mail => CODE.replace("msisdn", "email"),
            Medium::Text => CODE.to_owned(),
        };
        let body = json!({ "sid": sid, "client_secret": "secret", "token": token });
        let link = format!("sid={sid}&token={token}");
        let page = format!("{PREFIX}/validate/email/submitToken?{link}");
        let poll = registration_with("attacker", medium.stage(), &sid, "secret");
        if whose == 1 {
            server.post(&path, &body).await.ok();
            server.register(&poll).await.ok();
            continue;
        }
        let reply = server.post(&path, &body).await;
        reply.error(400, "M_TOKEN_INCORRECT");
        if medium == Medium::Mail {
            assert_eq!(server.get(&page).await.status, 400);
            assert_eq!(confirm(&server, &link).await.status, 400);
            let refusal = format!("{link}&action=refuse");
            assert_eq!(confirm(&server, &refusal).await.status, 400);
        }
        server.register(&poll).await.refused("M_UNAUTHORIZED");
        // The session cannot be validated after the next send attempt either, independent of whether
        // the owner is notified.
        request_message(&server, &medium.ask(0, "secret", 2))
            .await
            .ok();
        server.deliver().await;
        let reply = server.post(&path, &body).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
}

/// The claim of the address was removed, but the row in the partition of its former owner is left.
#[tokio::test]
async fn threepid_68_a_released_address_is_free_for_everybody() {
    for medium in [Medium::Mail, Medium::Text] {
        let server = with_owner(medium).await;
        let key = match medium {
            Medium::Mail => format!("3PID#email#{}", MAILS[0]),
            Medium::Text => format!("3PID#msisdn#{}", NUMBERS[0]),
        };
        let claim = row(&server, "Accounts", &key);
        let table = format!("{}-accounts", server.local.config().tables);
        let gone = json!({ "TableName": table, "Key": { "pk": claim["pk"], "sk": claim["sk"] } });
        server.raw_dynamodb("DeleteItem", &gone);
        let messages = sent(&server, medium, "secret").await;
        assert_eq!(messages.len(), 1);
        let (sid, _) = requester(&server, medium, "secret").await;
        match medium {
            Medium::Mail => {
                assert_eq!(confirm(&server, &link(&messages[0])).await.status, 200);
            }
            Medium::Text => {
                let reply = submit_code(&server, &sid, "secret", &code(&messages[0])).await;
                reply.ok();
            }
        }
        let body = registration_with("nextowner", medium.stage(), &sid, "secret");
        server.register(&body).await.ok();
        let claim = row(&server, "Accounts", &key);
        assert_eq!(claim["owner"]["S"], "nextowner", "{claim}");
    }
}

/// Incident 14: a spelling that folds to the address of an account is sent to that address, never
/// to the spelling in the request.
#[tokio::test]
async fn threepid_64_a_look_alike_is_sent_to_the_folded_address() {
    for (typed, address) in [
        ("\u{212a}ate@example.org", "kate@example.org"),
        ("KATE@EXAMPLE.ORG", "kate@example.org"),
        ("Strau\u{df}@Example.org", "strauss@example.org"),
        ("STRAU\u{1e9e}@example.org", "strauss@example.org"),
        ("\u{17f}am@example.org", "sam@example.org"),
    ] {
        let server = test_server(&[]).await;
        // The address has no account yet.
        let sid = session(&server, &mail_to(typed, "secret", 1)).await;
        server.deliver().await;
        let messages = server.messages();
        assert_eq!(messages.len(), 1, "{typed}");
        assert_eq!(messages[0].to, address);
        assert_eq!(confirm(&server, &link(&messages[0])).await.status, 200);
        let body = registration_with("owner", MAIL_STAGE, &sid, "secret");
        server.register(&body).await.ok();
        server.local.outbox().clear();
        // The address now has an account.
        for (number, typed) in [typed, address].into_iter().enumerate() {
            let secret = format!("secret{number}");
            request_message(&server, &mail_to(typed, &secret, 1))
                .await
                .ok();
            server.deliver().await;
            let messages = server.messages();
            assert_eq!(messages.len(), number + 1);
            assert_eq!(messages[number].to, address);
            assert_eq!(messages[number].links().count(), 0, "the owner is notified");
        }
        assert_eq!(users(&server).len(), 1);
    }
}

/// Incident 14: a spelling that folds to no deliverable address gets no message.
#[tokio::test]
async fn incident_14_a_look_alike_outside_ascii_gets_no_mail() {
    let server = test_server(&[]).await;
    create_owner(&server, "owner", &mail_to("kim@example.org", "secret", 1)).await;
    for typed in [
        "k\u{131}m@example.org",
        "\u{ff4b}im@example.org",
        "kim@ex\u{430}mple.org",
        "k\u{200d}im@example.org",
    ] {
        let reply = request_message(&server, &mail_to(typed, "secret", 1)).await;
        if reply.status == 200 {
            server.deliver().await;
            for message in server.messages() {
                assert_ne!(message.to, "kim@example.org", "{typed}");
                assert!(message.to.is_ascii(), "{typed}: {}", message.to);
            }
            server.local.outbox().clear();
        } else {
            reply.error(400, "M_INVALID_PARAM");
        }
    }
    let users = users(&server);
    assert_eq!(users.len(), 1, "{users:?}");
    let rows = &users["owner"];
    assert!(rows.contains("3PID#email#kim@example.org"), "{rows:?}");
}
