//! New 3PIDs on the account pages (OA-129).

use std::time::Duration;

use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{ADDRESSES, sign_up, sign_up_with, try_login},
    oauth_pages::{Browser, Form, OAUTH, Page, action},
    threepid_helpers::{
        ALICE, EMAIL, MAIL, NUMBER, assert_addresses, claims, code_to, confirm, link_to, message_to,
    },
};

const ADD: &str = "/account/add";

async fn start() -> TestServer {
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let server = TestServer::with(&settings).await;
    sign_up(&server, "alice").await;
    server
}

/// A browser of alice at the page with her addresses.
async fn at_profile(server: &TestServer) -> (Browser<'_>, Page) {
    let mut browser = Browser::new(server);
    let path = action("profile");
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    (browser, page.expect(200))
}

fn by_mail(page: &Page) -> Form {
    page.form("/account/email").with(&[("email", ALICE)])
}

fn by_text(page: &Page) -> Form {
    let values = [("country", "GB"), ("phone_number", NUMBER.0)];
    page.form("/account/phone").with(&values)
}

#[tokio::test]
async fn oa_129_an_email_address_is_added_by_page() {
    let server = start().await;
    let (mut browser, page) = at_profile(&server).await;
    page.assert_protected();
    let page = browser.submit(&by_mail(&page), &[]).await.expect(200);
    page.assert_protected();
    assert!(page.text.contains(ALICE));
    let form = page.form(ADD);
    // The link has not been opened.
    server.deliver().await;
    let early = browser.submit(&form, &[]).await.expect(400);
    assert!(early.text.contains("Open the link in the e-mail first"));
    early.assert_protected();
    confirm(&server, &link_to(&server, ALICE)).await;
    assert!(claims(&server).is_empty());
    for _ in 0..2 {
        let done = browser.submit(&form, &[]).await.expect(200);
        done.assert_protected();
        assert!(done.text.contains("The address is added"), "{}", done.text);
    }
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
    try_login(&server, "alice", PASSWORD).await.ok();
    let page = browser.get(&action("profile")).await;
    assert!(page.text.contains(ALICE));
    server.deliver().await;
    // ACC3-04: the owner is notified.
    assert!(message_to(&server, ALICE).contains("added"));
}

#[tokio::test]
async fn oa_129_a_phone_number_is_added_by_page() {
    let server = start().await;
    let (mut browser, page) = at_profile(&server).await;
    let page = browser.submit(&by_text(&page), &[]).await.expect(200);
    let form = page.form(ADD);
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for wrong in [wrong, "", "x"] {
        let page = browser.submit(&form, &[("code", wrong)]).await.expect(400);
        page.assert_protected();
        page.form(ADD);
    }
    assert!(claims(&server).is_empty());
    for _ in 0..2 {
        let values = [("code", code.as_str())];
        browser.submit(&form, &values).await.expect(200);
    }
    assert_eq!(claims(&server).len(), 1);
}

/// OA-128: the page of the message stays usable after the password was entered again.
#[tokio::test]
async fn oa_128_an_address_can_be_confirmed_later() {
    let server = start().await;
    let (mut browser, page) = at_profile(&server).await;
    let send = by_mail(&page);
    let form = browser.submit(&send, &[]).await.expect(200).form(ADD);
    server.deliver().await;
    confirm(&server, &link_to(&server, ALICE)).await;
    server.advance(Duration::from_mins(6));
    let login = browser.submit(&form, &[]).await.expect(200);
    assert!(claims(&server).is_empty());
    let values = [("password", PASSWORD)];
    let login = login.form("/account/login");
    let page = browser.submit(&login, &values).await.expect(200);
    assert!(page.text.contains("The address is confirmed"));
    browser.submit(&page.form(ADD), &[]).await.expect(200);
    assert_eq!(claims(&server).len(), 1);
}

/// A double click sends one message, and the same form a minute later another.
#[tokio::test]
async fn oa_129_a_message_can_be_sent_again() {
    let server = start().await;
    let (mut browser, page) = at_profile(&server).await;
    let form = by_mail(&page);
    let count = || server.messages().len();
    for (wait, expected) in [(0, 1), (0, 1), (61, 2)] {
        server.advance(Duration::from_secs(wait));
        browser.submit(&form, &[]).await.expect(200).form(ADD);
        server.deliver().await;
        assert_eq!(count(), expected);
    }
}

/// OA-127: the validation session of another user does not exist, and neither does one of a client.
#[tokio::test]
async fn oa_127_a_foreign_validation_session_adds_nothing() {
    let server = start().await;
    sign_up(&server, "mallory").await;
    let (mut browser, page) = at_profile(&server).await;
    let form = browser.submit(&by_mail(&page), &[]).await.form(ADD);
    server.deliver().await;
    confirm(&server, &link_to(&server, ALICE)).await;
    let mut other = Browser::new(&server);
    let start = other.log_in_at("/account", "mallory", PASSWORD).await;
    let profile = other.get(&action("profile")).await;
    let own = [("email", "mallory@example.org")];
    let own = other.submit(&profile.form("/account/email"), &own).await;
    let of_client =
        crate::flows::support::threepid_helpers::request_mail(&server, "x@example.org", "secret");
    let of_client = of_client.await.sid;
    for sid in [form.value("sid"), of_client.as_str(), "unknown", ""] {
        let page = other
            .get(&format!("/account?action=confirm&sid={sid}"))
            .await;
        assert_eq!(page.text, start.text, "{sid}");
        let page = other.submit(&own.form(ADD), &[("sid", sid)]).await;
        page.expect(404).assert_protected();
    }
    assert!(claims(&server).is_empty());
}

/// An address of another account, an invalid address, and a medium that the server does not use.
#[tokio::test]
async fn oa_129_a_new_address_has_the_rules_of_the_api() {
    let server = start().await;
    sign_up_with(&server, "bob", EMAIL, ALICE).await;
    server.deliver().await;
    let (mut browser, page) = at_profile(&server).await;
    for email in ["", "x", "a@b@c"] {
        let form = page.form("/account/email").with(&[("email", email)]);
        let page = browser.submit(&form, &[]).await.expect(400);
        assert!(page.text.contains("not an e-mail address"), "{}", page.text);
    }
    for (country, number) in [("", NUMBER.0), ("US", "2125550100"), ("GB", "1")] {
        let values = [("country", country), ("phone_number", number)];
        let page = browser.submit(&page.form("/account/phone"), &values).await;
        assert!((400..404).contains(&page.reply.status.as_u16()));
        page.assert_protected();
    }
    // 3PID-15: the page is that of a free address.
    let form = browser
        .submit(&by_mail(&page), &[])
        .await
        .expect(200)
        .form(ADD);
    server.deliver().await;
    browser.submit(&form, &[]).await.expect(400);
    assert_eq!(claims(&server).len(), 1);
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_3PID_CHANGES", "off"), MAIL]).await;
    sign_up(&server, "alice").await;
    let (_, page) = at_profile(&server).await;
    for form in ["/account/email", "/account/phone"] {
        assert!(page.find_form(form).is_none());
    }
}
