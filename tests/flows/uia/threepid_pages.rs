//! The fallback pages of the address stages over HTTP: they ask for an address, send a message, and
//! wait for its link or accept its code.

use std::time::Duration;

use serde_json::json;
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::{
    support::{
        DUMMY, assert_users, count, flows, page, registration, stage, submit,
        threepid_helpers::{
            ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, assert_addresses, code_to, confirm, link_to,
        },
    },
    uia::fallback::{between, completed, is_final, is_not_final},
};

const ASK_MAIL: &str = "email=Alice%40Example.Org";
const ASK_TEXT: &str = "country=GB&phone_number=07400+123456";
const CLAIM: &str = "email#alice@example.org";

async fn test_server(offered: &str) -> TestServer {
    TestServer::with(&[flows(offered), MAIL, SMS]).await
}

/// The names of the fields and buttons of a page's form, in order.
#[track_caller]
fn fields(text: &str) -> Vec<String> {
    let form = between(text, "<form method=\"post\">", "</form>");
    assert_eq!(form.len(), 1, "{text}");
    let names = between(form[0], "name=\"", "\"");
    names.into_iter().map(str::to_owned).collect()
}

/// Asserts that a page shows this form without an error.
#[track_caller]
fn assert_form(reply: &Reply, expected: &[&str]) -> String {
    let text = is_not_final(reply, 200);
    assert_eq!(fields(&text), expected, "{text}");
    assert!(!text.contains("role=\"alert\""), "{text}");
    text
}

/// Asserts that a page shows an error and this form.
#[track_caller]
fn assert_error_form(reply: &Reply, status: u16, expected: &[&str]) {
    let text = is_not_final(reply, status);
    assert!(text.contains("role=\"alert\""), "{text}");
    assert_eq!(fields(&text), expected, "{text}");
}

/// UIA-70 to UIA-73: the page asks for an address, sends an e-mail and waits. It continues without
/// another submission after the link was confirmed in another browser.
#[tokio::test]
async fn uia_72_the_page_for_mail_asks_sends_and_waits() {
    for prefix in PREFIXES {
        for by_button in [false, true] {
            let server = test_server(&format!("{EMAIL}+{DUMMY}")).await;
            let (_, session) = server.begin(&registration("alice")).await;
            let path = page(prefix, EMAIL, &session);
            for _ in 0..2 {
                let text = assert_form(&server.get(&path).await, &["email"]);
                assert!(text.contains("“alice” on localhost"), "{text}");
                assert!(!text.contains("http-equiv=\"refresh\""), "{text}");
            }
            assert_eq!(
                count(&server, "Outbox"),
                0,
                "showing the page sends nothing"
            );
            let waiting = ["action", "action"];
            let text = assert_form(&submit(&server, &path, ASK_MAIL).await, &waiting);
            assert!(text.contains("a\u{2026}@example.org"), "{text}");
            assert!(!text.contains("alice@example.org"), "{text}");
            assert!(text.contains("http-equiv=\"refresh\""), "{text}");
            assert_eq!(server.deliver().await, 1);
            // Reloading the page sends nothing and completes nothing, and the page has no script.
            assert_form(&server.get(&path).await, &waiting);
            assert_error_form(&submit(&server, &path, "action=check").await, 401, &waiting);
            assert_eq!(completed(&server, &session).await, json!([]));
            assert_eq!(server.deliver().await, 0);
            confirm(&server, &link_to(&server, ALICE)).await;
            if by_button {
                is_final(&submit(&server, &path, "action=check").await);
            }
            is_final(&server.get(&path).await);
            assert_eq!(completed(&server, &session).await, json!([EMAIL]));
            let answer = server.register(&stage(DUMMY, &session)).await.ok();
            assert_eq!(answer["user_id"], "@alice:localhost");
            is_final(&server.get(&path).await);
            assert_addresses(&server, &[(CLAIM, "alice")]);
        }
    }
}

/// UIA-70 to UIA-73: the page asks for a number, sends a code, rejects a wrong code and accepts the
/// right one.
#[tokio::test]
async fn uia_72_the_page_for_phones_asks_sends_and_takes_the_code() {
    for prefix in PREFIXES {
        let server = test_server(MSISDN).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let path = page(prefix, MSISDN, &session);
        let text = assert_form(&server.get(&path).await, &["country", "phone_number"]);
        assert_eq!(between(&text, "<option>", "</option>"), ["GB"]);
        let asks = ["code", "action", "action"];
        let text = assert_form(&submit(&server, &path, ASK_TEXT).await, &asks);
        assert!(text.contains("the number that ends in 456"), "{text}");
        assert!(!text.contains("7400"), "{text}");
        assert!(
            !text.contains("http-equiv=\"refresh\""),
            "a refresh would clear the field"
        );
        assert_eq!(server.deliver().await, 1);
        assert_form(&server.get(&path).await, &asks);
        let code = code_to(&server, NUMBER.1);
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for form in [
            format!("action=check&code={wrong}"),
            "action=check".to_owned(),
        ] {
            assert_error_form(&submit(&server, &path, &form).await, 400, &asks);
        }
        assert_eq!(completed(&server, &session).await, json!([]));
        let form = format!("action=check&code=+{}+{}", &code[..3], &code[3..]);
        let reply = submit(&server, &path, &form).await;
        is_final(&reply);
        let last = json!({ "auth": { "session": session } });
        server.register(&last).await.ok();
        assert_users(&server, &["alice"]);
        assert_addresses(&server, &[("msisdn#447400123456", "alice")]);
    }
}

/// L18: five wrong codes on the page invalidate the code. The next message has another code.
#[tokio::test]
async fn l18_the_page_takes_five_wrong_codes_then_a_new_message() {
    let server = test_server(MSISDN).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], MSISDN, &session);
    submit(&server, &path, ASK_TEXT).await;
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let asks = ["code", "action", "action"];
    for _ in 0..6 {
        let reply = submit(&server, &path, &format!("action=check&code={wrong}")).await;
        assert_error_form(&reply, 400, &asks);
    }
    let right = submit(&server, &path, &format!("action=check&code={code}")).await;
    assert_error_form(&right, 400, &asks);
    assert_form(
        &submit(&server, &path, "action=restart").await,
        &["country", "phone_number"],
    );
    assert_form(&submit(&server, &path, ASK_TEXT).await, &asks);
    assert_eq!(server.deliver().await, 1);
    assert_eq!(count(&server, "Proofs"), 1, "the same validation session");
    let code = code_to(&server, NUMBER.1);
    is_final(&submit(&server, &path, &format!("action=check&code={code}")).await);
}

/// UIA-72: the page can send a message again and to another address. The first address is not attached
/// to the account.
#[tokio::test]
async fn uia_72_the_page_sends_again_or_to_another_address() {
    let server = test_server(EMAIL).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], EMAIL, &session);
    for typed in [
        "typo%40example.org",
        "alice%40example.org",
        "alice%40example.org",
    ] {
        assert_form(&server.get(&path).await, &["email"]);
        let waiting = ["action", "action"];
        assert_form(
            &submit(&server, &path, &format!("email={typed}")).await,
            &waiting,
        );
        assert_eq!(server.deliver().await, 1, "{typed}");
        if server.messages().len() < 3 {
            assert_form(&submit(&server, &path, "action=restart").await, &["email"]);
        }
    }
    let to: Vec<_> = server
        .messages()
        .into_iter()
        .map(|message| message.to)
        .collect();
    assert_eq!(to, ["typo@example.org", ALICE, ALICE]);
    assert_eq!(count(&server, "Proofs"), 2);
    confirm(&server, &link_to(&server, "typo@example.org")).await;
    assert_form(&server.get(&path).await, &["action", "action"]);
    let poll = json!({ "auth": { "session": session } });
    server.register(&poll).await.challenge();
    confirm(&server, &link_to(&server, ALICE)).await;
    server.register(&poll).await.ok();
    assert_addresses(&server, &[(CLAIM, "alice")]);
}

/// UIA-73, UIA-16: the page of a stage that is not the next stage sends nothing and completes
/// nothing.
#[tokio::test]
async fn uia_16_a_page_sends_nothing_while_another_stage_is_next() {
    for (kind, form) in [(EMAIL, ASK_MAIL), (MSISDN, ASK_TEXT)] {
        let server = test_server(&format!("{DUMMY}+{kind}")).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let path = page(PREFIXES[1], kind, &session);
        is_not_final(&server.get(&path).await, 400);
        for form in [form, "action=check", "action=restart"] {
            is_not_final(&submit(&server, &path, form).await, 400);
        }
        assert_eq!((count(&server, "Outbox"), count(&server, "Proofs")), (0, 0));
        server.register(&stage(DUMMY, &session)).await.challenge();
        is_not_final(&submit(&server, &path, form).await, 200);
        assert_eq!(server.deliver().await, 1);
    }
}

/// UIA-73: a page sends nothing without a session, with an expired session, or for a medium that is
/// not offered.
#[tokio::test]
async fn uia_73_a_page_without_a_valid_session_sends_nothing() {
    for (kind, form) in [(EMAIL, ASK_MAIL), (MSISDN, ASK_TEXT)] {
        let server = test_server(kind).await;
        let (_, session) = server.begin(&registration("alice")).await;
        server.advance(Duration::from_hours(49));
        let other = if kind == EMAIL { MSISDN } else { EMAIL };
        for (kind, session) in [(kind, &*session), (kind, "unknown"), (other, &session)] {
            let path = page(PREFIXES[1], kind, session);
            is_not_final(&server.get(&path).await, 404);
            is_not_final(&submit(&server, &path, form).await, 404);
        }
        let path = format!("{}/auth/{kind}/fallback/web", PREFIXES[1]);
        is_not_final(&submit(&server, &path, form).await, 400);
        assert_eq!((count(&server, "Outbox"), count(&server, "Proofs")), (0, 0));
    }
}

/// UIA-74: the input is validated, and pages show it only in its canonical form.
#[tokio::test]
async fn uia_74_hostile_addresses_are_rejected_and_inert() {
    let server = test_server(&format!("{EMAIL} {MSISDN}")).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let hostile = "%22%3E%3Csvg%20onload=alert(1)%3E%40example.org";
    for (kind, form, names) in [
        (EMAIL, format!("email={hostile}"), &["email"][..]),
        (EMAIL, "email=a%40b%40example.org".to_owned(), &["email"]),
        (EMAIL, "email=".to_owned(), &["email"]),
        (EMAIL, String::new(), &["email"]),
        (
            MSISDN,
            format!("country=GB&phone_number={hostile}"),
            &["country", "phone_number"],
        ),
        (
            MSISDN,
            format!("country={hostile}&phone_number=07400+123456"),
            &["country", "phone_number"],
        ),
        (
            MSISDN,
            "country=US&phone_number=201+555+0123".to_owned(),
            &["country", "phone_number"],
        ),
        (
            MSISDN,
            "action=check&code=123456".to_owned(),
            &["country", "phone_number"],
        ),
    ] {
        let path = page(PREFIXES[1], kind, &session);
        let reply = submit(&server, &path, &form).await;
        let status = reply.status.as_u16();
        assert!([400, 403].contains(&status), "{form}: {}", reply.text());
        assert_error_form(&reply, status, names);
        assert!(!reply.text().contains("<svg"), "{form}");
    }
    assert_eq!((count(&server, "Outbox"), count(&server, "Proofs")), (0, 0));
    let allowed = "email=%26%27%7Bamp%7D%40example.org";
    let path = page(PREFIXES[1], EMAIL, &session);
    let text = is_not_final(&submit(&server, &path, allowed).await, 200);
    assert!(!text.contains("&'{amp}@"), "escaped: {text}");
    assert_eq!(server.deliver().await, 1);
}

/// REG-28, 3PID-08: the operator's rules apply to the page too.
#[tokio::test]
async fn threepid_08_the_page_sends_nothing_to_a_denied_address() {
    let denied = ("GATEHOUSE_EMAIL_DENIED", r".*@example\.org");
    let server = TestServer::with(&[flows(EMAIL), MAIL, denied]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], EMAIL, &session);
    assert_error_form(&submit(&server, &path, ASK_MAIL).await, 403, &["email"]);
    assert_eq!((count(&server, "Outbox"), count(&server, "Proofs")), (0, 0));
}

/// HTTP-19: the messages of pages consume the same quotas, and further submissions get a 429.
#[tokio::test]
async fn threepid_16_the_pages_messages_are_counted_like_any_others() {
    let settings = [flows(MSISDN), SMS, ("GATEHOUSE_LIMITS", "on")];
    let server = TestServer::with(&settings).await;
    let mut sent = 0;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let (_, session) = server.begin(&registration(name)).await;
        let path = page(PREFIXES[1], MSISDN, &session);
        let reply = submit(&server, &path, ASK_TEXT).await;
        match reply.status.as_u16() {
            200 => sent += 1,
            status => assert_eq!(status, 429, "{}", reply.text()),
        }
    }
    server.deliver().await;
    assert_eq!(
        (sent, server.messages().len()),
        (4, 4),
        "four at once, to one number from one network"
    );
}
