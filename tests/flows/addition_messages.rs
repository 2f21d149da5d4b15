//! Validation of an address for an existing account, up to the validated session: 3PID-07, 3PID-50.
//! Only the owner of an address is informed that the address has an account. The requester sees this
//! when the address is added.

use std::time::Duration;

use gatehouse_local::aws_fakes::outbox::Message;
use serde_json::{Value, json};
use shared::threepid_validation;
use test_support::TestServer;

use crate::flows::support::{
    mail_helpers::{
        ADD, ADDRESS, CODE, LIMITED, LINK, MEDIA, NUMBER, by_mail, by_text, code, confirm,
        create_owner, link, request_message, request_token_for, row, session_for, state,
        submit_code, test_server,
    },
    users,
};

/// The messages that a request with this secret causes.
async fn messages_for(server: &TestServer, body: &Value) -> Vec<Message> {
    server.local.outbox().clear();
    request_token_for(server, ADD, body).await.ok();
    server.deliver().await;
    server.messages()
}

/// 3PID-50: neither the request nor the validation attaches the address to an account.
#[tokio::test]
async fn threepid_07_a_free_address_is_validated_and_not_attached() {
    for link_does in ["confirm", "direct"] {
        for request in MEDIA {
            let server = test_server(&[LIMITED, ("GATEHOUSE_EMAIL_LINK", link_does)]).await;
            let accounts = server.local.dynamodb().table("Accounts").unwrap();
            let sid = session_for(&server, ADD, &request("secret")).await;
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

/// 3PID-15: the requester cannot distinguish the session from any other, and the session is never
/// validated.
#[tokio::test]
async fn threepid_07_a_taken_address_never_validates_for_another() {
    for request in MEDIA {
        let server = test_server(&[]).await;
        create_owner(&server, "owner", &request("the-owner")).await;
        let sid = session_for(&server, ADD, &request("secret")).await;
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
async fn threepid_07_the_owner_learns_of_a_request_for_the_address() {
    let server = test_server(&[LIMITED]).await;
    create_owner(&server, "theowner", &by_mail("the-owner")).await;
    server.advance(Duration::from_hours(1));
    let mut request = by_mail("attackers-secret");
    request["next_link"] = json!("https://evil.example.com/prize");
    let messages = messages_for(&server, &request).await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to, ADDRESS);
    let message_text = format!("{notice:?}");
    // The e-mail contains neither the account's name, nor anything that the requester has sent, nor
    // a link.
    for word in [
        "theowner",
        "attackers-secret",
        "evil.example",
        "://",
        "href",
    ] {
        assert!(!message_text.contains(word), "{word} in {message_text}");
    }
    for word in ["localhost", "already", "not added"] {
        assert!(
            message_text.replace("\\n", " ").contains(word),
            "{word} not in {message_text}"
        );
    }
}

#[tokio::test]
async fn threepid_07_the_text_message_to_an_owner_is_neutral() {
    let server = test_server(&[LIMITED]).await;
    create_owner(&server, "theowner", &by_text("the-owner")).await;
    server.advance(Duration::from_hours(1));
    let messages = messages_for(&server, &by_text("attackers-secret")).await;
    let [notice] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(notice.to.trim_start_matches('+'), NUMBER);
    for word in ["already", "assword", "theowner", "://", "#", "@"] {
        assert!(!notice.text.contains(word), "{word} in {}", notice.text);
    }
    assert!(!notice.text.bytes().any(|b| b.is_ascii_digit()));
}

/// An address receives at most one such message a day, independent of the number of requests.
#[tokio::test]
async fn threepid_07_sign_ups_and_additions_share_one_daily_note() {
    for request in MEDIA {
        let server = test_server(&[LIMITED]).await;
        create_owner(&server, "owner", &request("the-owner")).await;
        server.advance(Duration::from_hours(1));
        for day in 0..3 {
            let mut count = 0;
            for hour in 0..6 {
                server.local.outbox().clear();
                let request = request(&format!("secret-{day}-{hour}"));
                if (day + hour) % 2 == 0 {
                    request_message(&server, &request).await.ok();
                } else {
                    request_token_for(&server, ADD, &request).await.ok();
                }
                server.deliver().await;
                count += server.messages().len();
                server.advance(Duration::from_hours(4));
            }
            assert_eq!(count, 1, "day {day}");
        }
        assert_eq!(users(&server).len(), 1);
    }
}
