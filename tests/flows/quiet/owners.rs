//! What the owner of an address is told when somebody else wants to sign up with it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::{secrets::Secret, threepid_validation};
use test_support::TestServer;

use super::{MAILS, Medium, NUMBERS, PREFIX};
use crate::flows::{
    mailbox::{
        CODE, LIMITED, MAIL_STAGE, ask, code, confirm, link, mail_to, own, row, session,
        submit_code, test_server, with_proof,
    },
    support::people,
};

/// What a stranger sends along, and would like the owner to read.
const NEXT_LINK: &str = "https://evil.example.com/prize";

async fn with_owner(medium: Medium) -> TestServer {
    let server = test_server(&[LIMITED]).await;
    own(&server, "theowner", &medium.ask(0, "the-owner", 1)).await;
    server.advance(Duration::from_hours(1));
    server
}

/// Asks with a new secret, and says what was sent.
async fn sent(server: &TestServer, medium: Medium, secret: &str) -> Vec<Message> {
    server.local.outbox().clear();
    let mut wish = medium.ask(0, secret, 1);
    wish["next_link"] = json!(NEXT_LINK);
    ask(server, &wish).await.ok();
    server.deliver().await;
    server.messages()
}

fn whole(message: &Message) -> String {
    let parts = [&message.subject, &Some(message.text.clone()), &message.html];
    let parts: Vec<_> = parts.into_iter().flatten().cloned().collect();
    parts.join("\n")
}

#[tokio::test]
async fn _3pid_05_the_owner_of_an_address_is_told_at_most_once_a_day() {
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
        // What is told nobody else's address is not in the way of.
        let other = medium.ask(1, "secret", 1);
        ask(&server, &other).await.ok();
        assert_eq!(server.deliver().await, 1);
        assert_eq!(server.messages().len(), 1);
    }
}

#[tokio::test]
async fn _3pid_05_the_owners_mail_has_no_link_no_token_no_name_and_nothing_of_the_strangers() {
    let server = with_owner(Medium::Mail).await;
    let messages = sent(&server, Medium::Mail, "strangers-secret").await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to, MAILS[0]);
    let text = whole(notice);
    let (_, rows) = stranger(&server, Medium::Mail, "strangers-secret").await;
    let token = threepid_validation::link_token(
        &server.local.config().keys,
        rows["pk"]["S"].as_str().unwrap(),
        rows["generation"]["S"].as_str().unwrap(),
    );
    for secret in [
        "theowner",
        "strangers-secret",
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
async fn _3pid_05_the_owners_text_message_is_neutral() {
    let server = with_owner(Medium::Text).await;
    let messages = sent(&server, Medium::Text, "strangers-secret").await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to.trim_start_matches('+'), NUMBERS[0]);
    let text = whole(notice);
    assert!(text.contains("localhost"), "{text}");
    // The number may be somebody else's by now: no account, no reset, no code, no link.
    for word in ["already", "assword", "reset", "theowner", "://", "#", "@"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(!text.bytes().any(|b| b.is_ascii_digit()), "{text}");
}

/// The session of a stranger, and its row.
async fn stranger(server: &TestServer, medium: Medium, secret: &str) -> (String, Value) {
    let sid = session(server, &medium.ask(0, secret, 1)).await;
    let row = row(server, "Proofs", &sid);
    (sid, row)
}

/// What would be right for anybody else: the code, or the link's token, derived from the row.
fn right(server: &TestServer, medium: Medium, sid: &str, row: &Value) -> Secret {
    let generation = row["generation"]["S"].as_str().unwrap();
    let keys = &server.local.config().keys;
    match medium {
        Medium::Mail => threepid_validation::link_token(keys, sid, generation),
        Medium::Text => threepid_validation::code(keys, sid, generation, 1),
    }
}

#[tokio::test]
async fn _3pid_05_a_session_for_a_known_address_never_validates_even_with_the_right_token() {
    for (medium, whose) in [
        (Medium::Mail, 0),
        (Medium::Text, 0),
        // The control: with an address of nobody's it does.
        (Medium::Mail, 1),
        (Medium::Text, 1),
    ] {
        let server = test_server(&[]).await;
        own(&server, "theowner", &medium.ask(whose, "the-owner", 1)).await;
        let (sid, row) = stranger(&server, medium, "secret").await;
        server.deliver().await;
        let token = right(&server, medium, &sid, &row);
        let token = token.reveal();
        let path = match medium {
            Medium::Mail => CODE.replace("msisdn", "email"),
            Medium::Text => CODE.to_owned(),
        };
        let body = json!({ "sid": sid, "client_secret": "secret", "token": token });
        let link = format!("sid={sid}&token={token}");
        let page = format!("{PREFIX}/validate/email/submitToken?{link}");
        let poll = with_proof("stranger", medium.stage(), &sid, "secret");
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
        // Nor after the next attempt, whose message the owner gets or does not get.
        ask(&server, &medium.ask(0, "secret", 2)).await.ok();
        server.deliver().await;
        let reply = server.post(&path, &body).await;
        reply.error(400, "M_TOKEN_INCORRECT");
    }
}

/// A tombstone says who had an address, not who has it.
#[tokio::test]
async fn _3pid_68_an_address_that_was_released_is_anybodys() {
    for medium in [Medium::Mail, Medium::Text] {
        let server = with_owner(medium).await;
        let key = match medium {
            Medium::Mail => format!("3PID#email#{}", MAILS[0]),
            Medium::Text => format!("3PID#msisdn#{}", NUMBERS[0]),
        };
        let claim = row(&server, "Accounts", &key);
        let table = format!("{}-accounts", server.local.config().tables);
        let gone = json!({ "TableName": table, "Key": { "pk": claim["pk"], "sk": claim["sk"] } });
        server.past_the_functions("DeleteItem", &gone);
        let messages = sent(&server, medium, "secret").await;
        assert_eq!(messages.len(), 1);
        let (sid, _) = stranger(&server, medium, "secret").await;
        match medium {
            Medium::Mail => {
                assert_eq!(confirm(&server, &link(&messages[0])).await.status, 200);
            }
            Medium::Text => {
                let reply = submit_code(&server, &sid, "secret", &code(&messages[0])).await;
                reply.ok();
            }
        }
        let body = with_proof("nextowner", medium.stage(), &sid, "secret");
        server.register(&body).await.ok();
        let claim = row(&server, "Accounts", &key);
        assert_eq!(claim["owner"]["S"], "nextowner", "{claim}");
    }
}

/// Incident 14: a spelling that folds to somebody's address is written to at that address, and
/// never as it was typed.
#[tokio::test]
async fn _3pid_64_a_look_alike_is_written_to_at_the_address_it_folds_to() {
    for (typed, address) in [
        ("\u{212a}ate@example.org", "kate@example.org"),
        ("KATE@EXAMPLE.ORG", "kate@example.org"),
        ("Strau\u{df}@Example.org", "strauss@example.org"),
        ("STRAU\u{1e9e}@example.org", "strauss@example.org"),
        ("\u{17f}am@example.org", "sam@example.org"),
    ] {
        let server = test_server(&[]).await;
        // A stranger's address first, ...
        let sid = session(&server, &mail_to(typed, "secret", 1)).await;
        server.deliver().await;
        let messages = server.messages();
        assert_eq!(messages.len(), 1, "{typed}");
        assert_eq!(messages[0].to, address);
        assert_eq!(confirm(&server, &link(&messages[0])).await.status, 200);
        let body = with_proof("owner", MAIL_STAGE, &sid, "secret");
        server.register(&body).await.ok();
        server.local.outbox().clear();
        // ... and then its owner's.
        for (number, typed) in [typed, address].into_iter().enumerate() {
            let secret = format!("secret{number}");
            ask(&server, &mail_to(typed, &secret, 1)).await.ok();
            server.deliver().await;
            let messages = server.messages();
            assert_eq!(messages.len(), number + 1);
            assert_eq!(messages[number].to, address);
            assert_eq!(messages[number].links().count(), 0, "the owner is told");
        }
        assert_eq!(people(&server).len(), 1);
    }
}

/// Incident 14: what folds to no address that mail can go to gets none.
#[tokio::test]
async fn incident_14_a_look_alike_that_does_not_fold_to_ascii_gets_no_mail() {
    let server = test_server(&[]).await;
    own(&server, "owner", &mail_to("kim@example.org", "secret", 1)).await;
    for typed in [
        "k\u{131}m@example.org",
        "\u{ff4b}im@example.org",
        "kim@ex\u{430}mple.org",
        "kim@example\u{3002}org",
        "k\u{200d}im@example.org",
    ] {
        let reply = ask(&server, &mail_to(typed, "secret", 1)).await;
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
    let people = people(&server);
    assert_eq!(people.len(), 1, "{people:?}");
    let rows = &people["owner"];
    assert!(rows.contains("3PID#email#kim@example.org"), "{rows:?}");
}
