//! Messages for a password reset, up to the validated session: their recipients, and the use of the
//! session. 3PID-06, 3PID-52, 3PID-64, PWD-19.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod deliveries;
mod origins;

use http::Request;
use serde_json::{Value, json};
use test_support::TestServer;

use crate::{
    api::support::set_status,
    flows::support::{
        mail_helpers::{
            ADD, ADDRESS, CODE, CONFIRM, LIMITED, LINK, MAIL_STAGE, MEDIA, NUMBER, RESET,
            SMS_STAGE, by_mail, by_text, code, confirm, create_owner, expected_statuses, link,
            mail_to, registration_with, request_token_for, row, session_for, state, statuses,
            submit_code, test_server, valid_secret, with_owner,
        },
        submit, users,
    },
};

/// Submits the right link token or code in every way, and asserts that no way succeeds.
async fn never_validates(server: &TestServer, sid: &str) {
    let row = row(server, "Proofs", sid);
    let medium = row["medium"]["S"].as_str().unwrap();
    let token = valid_secret(server, sid);
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
async fn threepid_06_the_owner_gets_the_reset_message_and_validates() {
    for request in MEDIA {
        let server = with_owner(request, &[LIMITED]).await;
        let sid = session_for(&server, RESET, &request("secret")).await;
        server.deliver().await;
        let [message] = &server.messages()[..] else {
            panic!("one message");
        };
        let message_text = format!("{message:?}");
        // The message contains no account name.
        for word in ["@alice", "alice:"] {
            assert!(!message_text.contains(word), "{word} in {message_text}");
        }
        assert!(message.text.contains("new password"), "{message_text}");
        if message.subject.is_some() {
            assert_eq!(message.to, ADDRESS);
            assert!(message.text.contains("signed out"), "{message_text}");
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
async fn threepid_06_a_free_address_gets_no_message_and_no_validation() {
    for request in MEDIA {
        let server = test_server(&[]).await;
        let sid = session_for(&server, RESET, &request("secret")).await;
        server.deliver().await;
        assert!(server.messages().is_empty());
        assert_eq!(statuses(&server), expected_statuses(&[("moot", 1)]));
        never_validates(&server, &sid).await;
        // Validation does not succeed after the next send attempt either.
        let mut again = request("secret");
        again["send_attempt"] = json!(2);
        assert_eq!(session_for(&server, RESET, &again).await, sid);
        server.deliver().await;
        assert!(server.messages().is_empty());
        never_validates(&server, &sid).await;
    }
}

/// Incident 13: no message is sent for an account that is deactivated or locked.
#[tokio::test]
async fn pwd_19_only_a_usable_account_gets_a_reset_message() {
    for request in MEDIA {
        for (status, is_sent) in [
            ("active", true),
            ("suspended", true),
            ("locked", false),
            ("deactivated", false),
        ] {
            // The status changes before the request, or between the request and the delivery.
            for is_early in [true, false] {
                let server = with_owner(request, &[]).await;
                if is_early {
                    set_status(&server, "alice", status);
                }
                let sid = session_for(&server, RESET, &request("secret")).await;
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

/// L14: the address had an account when the message was requested and has none at the delivery.
#[tokio::test]
async fn l14_an_address_that_was_removed_meanwhile_gets_no_message() {
    for (request, key) in [
        (
            by_mail as fn(&str) -> Value,
            format!("3PID#email#{ADDRESS}"),
        ),
        (by_text, format!("3PID#msisdn#{NUMBER}")),
    ] {
        let server = with_owner(request, &[]).await;
        let sid = session_for(&server, RESET, &request("secret")).await;
        let claim = row(&server, "Accounts", &key);
        let table = format!("{}-accounts", server.local.config().tables);
        let gone = json!({ "TableName": table, "Key": { "pk": claim["pk"], "sk": claim["sk"] } });
        server.raw_dynamodb("DeleteItem", &gone);
        server.deliver().await;
        assert!(server.messages().is_empty());
        never_validates(&server, &sid).await;
    }
}

/// Incident 14: if a spelling folds to the address of an account, the message is sent to the stored
/// address, never to the spelling in the request.
#[tokio::test]
async fn threepid_64_a_reset_message_goes_to_the_stored_address() {
    for (stored, typed) in [
        ("kate@example.org", "\u{212a}ate@example.org"),
        ("kate@example.org", "KATE@EXAMPLE.ORG"),
        ("strauss@example.org", "Strau\u{df}@Example.org"),
        ("strauss@example.org", "STRAU\u{1e9e}@example.org"),
        ("sam@example.org", "\u{17f}am@example.org"),
        ("fin@example.org", "\u{fb01}n@example.org"),
    ] {
        let server = test_server(&[]).await;
        create_owner(&server, "owner", &mail_to(stored, "the-owner", 1)).await;
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

/// Incident 14: a spelling that does not fold to the address of the account is another address without
/// an account, or no valid address.
#[tokio::test]
async fn incident_14_no_other_mailbox_gets_a_reset_message() {
    let server = test_server(&[]).await;
    create_owner(
        &server,
        "owner",
        &mail_to("kim@example.org", "the-owner", 1),
    )
    .await;
    for typed in [
        "k\u{131}m@example.org",
        "\u{ff4b}im@example.org",
        "kim@ex\u{430}mple.org",
        "k\u{200d}im@example.org",
        "k\u{130}m@example.org",
        // These are valid addresses without an account.
        "kim+tag@example.org",
        "k.im@example.org",
        "kim@example.org.evil.example",
        "kim@sub.example.org",
    ] {
        let reply = request_token_for(&server, RESET, &mail_to(typed, "secret", 1)).await;
        if reply.status != 200 {
            reply.error(400, "M_INVALID_PARAM");
        }
        server.deliver().await;
        assert!(server.messages().is_empty(), "{typed}");
    }
}

/// UIA-54: a validated session can be used only for the purpose for which it was requested.
#[tokio::test]
async fn uia_54_a_session_for_an_account_makes_no_account() {
    for request in MEDIA {
        for purpose in [RESET, ADD] {
            let server = test_server(&[]).await;
            if purpose == RESET {
                create_owner(&server, "alice", &request("the-owner")).await;
            }
            let sid = session_for(&server, purpose, &request("secret")).await;
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
            let before = users(&server);
            let body = registration_with("mallory", stage, &sid, "secret");
            server.register(&body).await.refused("M_UNAUTHORIZED");
            assert_eq!(users(&server), before, "3PID-50");
            assert_eq!(state(&server, &sid), "validated");
        }
    }
}

/// Opening the link of a reset never validates the session, independent of the setting for other links.
/// A program that opens every link in a mailbox would otherwise validate the request of an attacker.
#[tokio::test]
async fn threepid_52_opening_a_reset_link_is_never_enough() {
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

/// If the account owner has not requested the reset and presses the other button, the link becomes
/// invalid.
#[tokio::test]
async fn threepid_52_the_owner_can_reject_a_reset() {
    let server = with_owner(by_mail, &[]).await;
    let sid = session_for(&server, RESET, &by_mail("secret")).await;
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    let refusal = format!("{}&action=refuse", link(&message));
    assert_eq!(confirm(&server, &refusal).await.status, 200);
    assert_eq!(state(&server, &sid), "burned");
    assert_eq!(confirm(&server, &link(&message)).await.status, 400);
}
