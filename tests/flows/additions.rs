//! Proving an address for an account that exists, as far as the proof: 3PID-07, 3PID-50. Whom an address
//! belongs to is told to its owner, and shows only when it is added.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::TestServer;

use crate::flows::{
    mailbox::{
        ADD, CODE, LIMITED, ask, ask_for, code, confirm, link, mail_to, own, row, session_for,
        submit_code, test_server, text_to,
    },
    support::people,
};

const ADDRESS: &str = "alice@example.org";
const NUMBER: &str = "447400123456";
const LINK: &str = "/_matrix/client/v3/validate/email/submitToken";

fn by_mail(secret: &str) -> Value {
    mail_to(ADDRESS, secret, 1)
}

fn by_text(secret: &str) -> Value {
    text_to(NUMBER, secret, 1)
}

const MEDIA: [fn(&str) -> Value; 2] = [by_mail, by_text];

fn state(server: &TestServer, sid: &str) -> String {
    let row = row(server, "Proofs", sid);
    row["state"]["S"].as_str().unwrap().to_owned()
}

/// What a request with this secret brings.
async fn brings(server: &TestServer, body: &Value) -> Vec<Message> {
    server.local.outbox().clear();
    ask_for(server, ADD, body).await.ok();
    server.deliver().await;
    server.messages()
}

/// 3PID-50: neither the request nor the validation gives the address to anybody.
#[tokio::test]
async fn _3pid_07_an_address_that_nobody_has_is_proven_and_attached_to_nobody() {
    for link_does in ["confirm", "direct"] {
        for wish in MEDIA {
            let server = test_server(&[LIMITED, ("GATEHOUSE_EMAIL_LINK", link_does)]).await;
            let accounts = server.local.dynamodb().table("Accounts").unwrap();
            let sid = session_for(&server, ADD, &wish("secret")).await;
            server.deliver().await;
            let [message] = &server.messages()[..] else {
                panic!("one message");
            };
            assert!(message.text.contains("add"), "{}", message.text);
            if message.subject.is_some() {
                assert_eq!(message.to, ADDRESS);
                let page = server.get(&format!("{LINK}?{}", link(message))).await;
                assert_eq!(page.status, 200);
                if link_does == "confirm" {
                    assert!(page.text().contains("adding your address"));
                    assert_eq!(confirm(&server, &link(message)).await.status, 200);
                }
            } else {
                submit_code(&server, &sid, "secret", &code(message))
                    .await
                    .ok();
            }
            assert_eq!(state(&server, &sid), "validated");
            assert_eq!(server.local.dynamodb().table("Accounts").unwrap(), accounts);
        }
    }
}

/// 3PID-15: the stranger's session is as good as any other to the stranger, and proves nothing.
#[tokio::test]
async fn _3pid_07_an_address_that_somebody_has_is_never_proven_for_another() {
    for wish in MEDIA {
        let server = test_server(&[]).await;
        own(&server, "owner", &wish("the-owner")).await;
        let sid = session_for(&server, ADD, &wish("secret")).await;
        server.deliver().await;
        let row = row(&server, "Proofs", &sid);
        let generation = row["generation"]["S"].as_str().unwrap();
        let keys = &server.local.config().keys;
        let is_mail = row["medium"]["S"] == "email";
        let token = if is_mail {
            threepid_validation::link_token(keys, &sid, generation)
        } else {
            threepid_validation::code(keys, &sid, generation, 1)
        };
        let token = token.reveal();
        let body = json!({ "sid": sid, "client_secret": "secret", "token": token });
        let medium = row["medium"]["S"].as_str().unwrap();
        let path = CODE.replace("msisdn", medium);
        server
            .post(&path, &body)
            .await
            .error(400, "M_TOKEN_INCORRECT");
        if is_mail {
            let fields = format!("sid={sid}&token={token}");
            assert_eq!(server.get(&format!("{LINK}?{fields}")).await.status, 400);
            assert_eq!(confirm(&server, &fields).await.status, 400);
        }
        assert_eq!(state(&server, &sid), "pending");
    }
}

#[tokio::test]
async fn _3pid_07_the_owner_is_told_that_somebody_wanted_the_address_and_by_what_to_know_it() {
    let server = test_server(&[LIMITED]).await;
    own(&server, "theowner", &by_mail("the-owner")).await;
    server.advance(Duration::from_hours(1));
    let mut wish = by_mail("strangers-secret");
    wish["next_link"] = json!("https://evil.example.com/prize");
    let messages = brings(&server, &wish).await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to, ADDRESS);
    let told = format!("{notice:?}");
    // Neither the account nor anything of the stranger's, and nothing to follow.
    for word in [
        "theowner",
        "strangers-secret",
        "evil.example",
        "://",
        "href",
    ] {
        assert!(!told.contains(word), "{word} in {told}");
    }
    for word in ["localhost", "already", "not added"] {
        assert!(
            told.replace("\\n", " ").contains(word),
            "{word} not in {told}"
        );
    }
}

#[tokio::test]
async fn _3pid_07_the_text_message_to_an_owner_is_neutral() {
    let server = test_server(&[LIMITED]).await;
    own(&server, "theowner", &by_text("the-owner")).await;
    server.advance(Duration::from_hours(1));
    let messages = brings(&server, &by_text("strangers-secret")).await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to.trim_start_matches('+'), NUMBER);
    for word in ["already", "assword", "theowner", "://", "#", "@"] {
        assert!(!notice.text.contains(word), "{word} in {}", notice.text);
    }
    assert!(!notice.text.bytes().any(|b| b.is_ascii_digit()));
}

/// One mail a day of this kind in all, whatever strangers try.
#[tokio::test]
async fn _3pid_07_the_owner_is_told_once_a_day_of_sign_ups_and_of_additions() {
    for wish in MEDIA {
        let server = test_server(&[LIMITED]).await;
        own(&server, "owner", &wish("the-owner")).await;
        server.advance(Duration::from_hours(1));
        for day in 0..3 {
            let mut count = 0;
            for hour in 0..6 {
                server.local.outbox().clear();
                let wish = wish(&format!("secret-{day}-{hour}"));
                if (day + hour) % 2 == 0 {
                    ask(&server, &wish).await.ok();
                } else {
                    ask_for(&server, ADD, &wish).await.ok();
                }
                server.deliver().await;
                count += server.messages().len();
                server.advance(Duration::from_hours(4));
            }
            assert_eq!(count, 1, "day {day}");
        }
        assert_eq!(people(&server).len(), 1);
    }
}
