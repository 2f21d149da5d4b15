//! The way to a new password, as far as the proof of an address: whom it is sent to, and what it is good
//! for. 3PID-06, 3PID-52, 3PID-64, PWD-19.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod deliveries;

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use shared::{secrets::Secret, threepid_validation};
use test_support::TestServer;

use crate::{
    api::support::set_status,
    flows::{
        mailbox::{
            ADD, CODE, CONFIRM, LIMITED, MAIL_STAGE, RESET, SMS_STAGE, ask_for, code, confirm,
            link, mail_to, own, row, session_for, stand, statuses, submit_code, test_server,
            text_to, with_proof,
        },
        support::{people, submit},
    },
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

/// Both media, each with a request about the same address.
const MEDIA: [fn(&str) -> Value; 2] = [by_mail, by_text];

/// A house with an account that has the address.
async fn with_owner(wish: fn(&str) -> Value, settings: &[(&str, &str)]) -> TestServer {
    let server = test_server(settings).await;
    own(&server, "alice", &wish("the-owner")).await;
    server.advance(Duration::from_hours(1));
    server
}

/// What would be right, derived from the session's row.
fn right(server: &TestServer, sid: &str) -> Secret {
    let row = row(server, "Proofs", sid);
    let keys = &server.local.config().keys;
    let generation = row["generation"]["S"].as_str().unwrap();
    if row["medium"]["S"] == "email" {
        threepid_validation::link_token(keys, sid, generation)
    } else {
        let sends = row["sends"]["N"].as_str().unwrap().parse().unwrap();
        threepid_validation::code(keys, sid, generation, sends)
    }
}

fn state(server: &TestServer, sid: &str) -> String {
    let row = row(server, "Proofs", sid);
    row["state"]["S"].as_str().unwrap().to_owned()
}

/// Submits what is right for the session in every way there is; none of them works.
async fn never_validates(server: &TestServer, sid: &str) {
    let row = row(server, "Proofs", sid);
    let medium = row["medium"]["S"].as_str().unwrap();
    let token = right(server, sid);
    let token = token.reveal();
    let body = json!({ "sid": sid, "client_secret": "secret", "token": token });
    let reply = server.post(&CODE.replace("msisdn", medium), &body).await;
    reply.error(400, "M_TOKEN_INCORRECT");
    let fields = format!("sid={sid}&token={token}");
    if medium == "email" {
        assert_eq!(server.get(&format!("{LINK}?{fields}")).await.status, 400);
        assert_eq!(confirm(server, &fields).await.status, 400);
        let refusal = format!("{fields}&action=refuse");
        assert_eq!(confirm(server, &refusal).await.status, 400);
    } else {
        let query = format!("{fields}&client_secret=secret");
        assert_eq!(server.get(&format!("{CODE}?{query}")).await.status, 400);
    }
    assert_eq!(state(server, sid), "pending");
}

#[tokio::test]
async fn _3pid_06_an_owner_gets_the_way_to_a_new_password_and_it_validates() {
    for wish in MEDIA {
        let server = with_owner(wish, &[LIMITED]).await;
        let sid = session_for(&server, RESET, &wish("secret")).await;
        server.deliver().await;
        let [message] = &server.messages()[..] else {
            panic!("one message");
        };
        let told = format!("{message:?}");
        // Whoever else reads it learns no name.
        for word in ["@alice", "alice:"] {
            assert!(!told.contains(word), "{word} in {told}");
        }
        assert!(message.text.contains("new password"), "{told}");
        if message.subject.is_some() {
            assert_eq!(message.to, ADDRESS);
            assert!(message.text.contains("signed out"), "{told}");
            let page = server.get(&format!("{LINK}?{}", link(message))).await;
            assert_eq!(page.status, 200);
            assert!(page.text().contains("new password"), "{}", page.text());
            assert_eq!(state(&server, &sid), "pending");
            assert_eq!(confirm(&server, &link(message)).await.status, 200);
        } else {
            assert_eq!(message.to.trim_start_matches('+'), NUMBER);
            submit_code(&server, &sid, "secret", &code(message))
                .await
                .ok();
        }
        assert_eq!(state(&server, &sid), "validated");
    }
}

#[tokio::test]
async fn _3pid_06_an_address_that_nobody_has_is_sent_nothing_and_never_validates() {
    for wish in MEDIA {
        let server = test_server(&[]).await;
        let sid = session_for(&server, RESET, &wish("secret")).await;
        server.deliver().await;
        assert!(server.messages().is_empty());
        assert_eq!(statuses(&server), stand(&[("moot", 1)]));
        never_validates(&server, &sid).await;
        // Nor after the next attempt.
        let mut again = wish("secret");
        again["send_attempt"] = json!(2);
        assert_eq!(session_for(&server, RESET, &again).await, sid);
        server.deliver().await;
        assert!(server.messages().is_empty());
        never_validates(&server, &sid).await;
    }
}

/// Incident 13: nothing that is sent leads back into an account that is gone, or locked.
#[tokio::test]
async fn pwd_19_only_an_account_that_can_be_used_gets_the_way_to_a_new_password() {
    for wish in MEDIA {
        for (status, is_sent) in [
            ("active", true),
            ("suspended", true),
            ("locked", false),
            ("deactivated", false),
        ] {
            // Before the request, or between it and the message.
            for is_early in [true, false] {
                let server = with_owner(wish, &[]).await;
                if is_early {
                    set_status(&server, "alice", status);
                }
                let sid = session_for(&server, RESET, &wish("secret")).await;
                set_status(&server, "alice", status);
                server.deliver().await;
                assert_eq!(server.messages().len(), usize::from(is_sent), "{status}");
                if !is_sent {
                    never_validates(&server, &sid).await;
                }
            }
        }
    }
}

/// L14: it was somebody's when the message was called for.
#[tokio::test]
async fn l14_an_address_that_was_given_up_before_its_message_went_out_is_sent_nothing() {
    for (wish, key) in [
        (
            by_mail as fn(&str) -> Value,
            format!("3PID#email#{ADDRESS}"),
        ),
        (by_text, format!("3PID#msisdn#{NUMBER}")),
    ] {
        let server = with_owner(wish, &[]).await;
        let sid = session_for(&server, RESET, &wish("secret")).await;
        let claim = row(&server, "Accounts", &key);
        let table = format!("{}-accounts", server.local.config().tables);
        let gone = json!({ "TableName": table, "Key": { "pk": claim["pk"], "sk": claim["sk"] } });
        server.past_the_functions("DeleteItem", &gone);
        server.deliver().await;
        assert!(server.messages().is_empty());
        never_validates(&server, &sid).await;
    }
}

/// Incident 14: a spelling that folds to somebody's address leads to the mailbox that is stored, and
/// never to the one that was typed.
#[tokio::test]
async fn _3pid_64_the_way_to_a_new_password_goes_to_the_address_that_is_stored() {
    for (stored, typed) in [
        ("kate@example.org", "\u{212a}ate@example.org"),
        ("kate@example.org", "KATE@EXAMPLE.ORG"),
        ("strauss@example.org", "Strau\u{df}@Example.org"),
        ("strauss@example.org", "STRAU\u{1e9e}@example.org"),
        ("sam@example.org", "\u{17f}am@example.org"),
        ("fin@example.org", "\u{fb01}n@example.org"),
    ] {
        let server = test_server(&[]).await;
        own(&server, "owner", &mail_to(stored, "the-owner", 1)).await;
        let plain = session_for(&server, RESET, &mail_to(stored, "secret", 1)).await;
        let look_alike = mail_to(typed, "secret", 1);
        assert_eq!(session_for(&server, RESET, &look_alike).await, plain);
        server.deliver().await;
        let [message] = &server.messages()[..] else {
            panic!("one message for {typed}");
        };
        assert_eq!(message.to, stored, "{typed}");
    }
}

/// Incident 14: what does not fold to it is another address, which has no account, or is none.
#[tokio::test]
async fn incident_14_no_other_mailbox_gets_the_way_to_somebodys_new_password() {
    let server = test_server(&[]).await;
    own(
        &server,
        "owner",
        &mail_to("kim@example.org", "the-owner", 1),
    )
    .await;
    for typed in [
        "k\u{131}m@example.org",
        "\u{ff4b}im@example.org",
        "kim@ex\u{430}mple.org",
        "kim@example\u{3002}org",
        "k\u{200d}im@example.org",
        "k\u{130}m@example.org",
        // These are mailboxes, and nobody's here.
        "kim+tag@example.org",
        "k.im@example.org",
        "kim@example.org.evil.example",
        "kim@sub.example.org",
    ] {
        let reply = ask_for(&server, RESET, &mail_to(typed, "secret", 1)).await;
        if reply.status != 200 {
            reply.error(400, "M_INVALID_PARAM");
        }
        server.deliver().await;
        assert!(server.messages().is_empty(), "{typed}");
    }
}

/// UIA-54: a proof is good for what it was asked for.
#[tokio::test]
async fn uia_54_a_proof_for_an_account_makes_no_account() {
    for wish in MEDIA {
        for purpose in [RESET, ADD] {
            let server = test_server(&[]).await;
            if purpose == RESET {
                own(&server, "alice", &wish("the-owner")).await;
            }
            let sid = session_for(&server, purpose, &wish("secret")).await;
            server.deliver().await;
            let message = server.messages().pop().unwrap();
            let stage = if message.subject.is_some() {
                assert_eq!(confirm(&server, &link(&message)).await.status, 200);
                MAIL_STAGE
            } else {
                submit_code(&server, &sid, "secret", &code(&message))
                    .await
                    .ok();
                SMS_STAGE
            };
            assert_eq!(state(&server, &sid), "validated");
            let before = people(&server);
            let body = with_proof("mallory", stage, &sid, "secret");
            server.register(&body).await.refused("M_UNAUTHORIZED");
            assert_eq!(people(&server), before, "3PID-50");
            assert_eq!(state(&server, &sid), "validated");
        }
    }
}

/// A program that opens every link in a mailbox would else set whoever asked for a new password free
/// to choose it, whatever the operator's links do elsewhere.
#[tokio::test]
async fn _3pid_52_opening_the_link_to_a_new_password_is_never_enough() {
    for setting in ["confirm", "direct"] {
        let server = with_owner(by_mail, &[("GATEHOUSE_EMAIL_LINK", setting)]).await;
        let sid = session_for(&server, RESET, &by_mail("secret")).await;
        server.deliver().await;
        let message = server.messages().pop().unwrap();
        assert!(message.text.contains("It was not me"), "{}", message.text);
        let path = format!("{LINK}?{}", link(&message));
        for _ in 0..3 {
            let page = server.get(&path).await;
            assert_eq!(page.status, 200);
            assert!(page.text().contains("<form"), "{}", page.text());
            server
                .send(Request::head(&path).body(Vec::new()).unwrap())
                .await;
            assert_eq!(state(&server, &sid), "pending", "{setting}");
        }
        assert_eq!(submit(&server, CONFIRM, &link(&message)).await.status, 200);
        assert_eq!(state(&server, &sid), "validated", "{setting}");
    }
}

/// The button of whoever did not ask for it ends it, and the link is dead.
#[tokio::test]
async fn _3pid_52_who_did_not_ask_for_a_new_password_ends_it() {
    let server = with_owner(by_mail, &[]).await;
    let sid = session_for(&server, RESET, &by_mail("secret")).await;
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    let refusal = format!("{}&action=refuse", link(&message));
    assert_eq!(confirm(&server, &refusal).await.status, 200);
    assert_eq!(state(&server, &sid), "burned");
    assert_eq!(confirm(&server, &link(&message)).await.status, 400);
}
