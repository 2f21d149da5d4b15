//! `GET` and `POST /oauth2/recovery`: a new password from the pages of the OAuth 2.0 API (OA-61).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{sync::Arc, time::Duration};

use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{ADDRESSES, OTHER_PASSWORD, log_in, sign_up, sign_up_with, try_login},
    at_once,
    oauth_pages::{Authorization, Browser, OAUTH, Page},
    serial,
    threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, code_to, confirm, link_to},
};

const PATH: &str = "/oauth2/recovery";
const LINK: &str = "Set a new password";

/// A server where alice has an e-mail address.
async fn start(settings: &[(&str, &str)]) -> TestServer {
    let server = TestServer::with(&[&ADDRESSES[..], &[OAUTH], settings].concat()).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    server.deliver().await;
    server.advance(Duration::from_hours(2));
    server
}

/// The fields of the form with the new password.
fn new_password(password: &str) -> [(&str, &str); 2] {
    [("password", password), ("password_again", password)]
}

/// Opens the recovery from the login page of a new authorization.
async fn open(server: &TestServer, browser: &mut Browser<'_>) -> Page {
    let login = browser.open(&Authorization::native(server)).await;
    let link = login.expect(200).link(LINK).unwrap();
    browser.get(&link).await.expect(200)
}

/// Asks for a message to an e-mail address. Returns the page that waits for the link.
async fn request_mail(server: &TestServer, browser: &mut Browser<'_>, address: &str) -> Page {
    let choice = open(server, browser).await;
    let link = choice.link("With an e-mail address").unwrap();
    let page = browser.get(&link).await.expect(200);
    let form = page.form(PATH);
    browser
        .submit(&form, &[("email", address)])
        .await
        .expect(200)
}

/// Opens the link of the message and continues to the form with the new password.
async fn confirm_mail(server: &TestServer, browser: &mut Browser<'_>, waiting: &Page) -> Page {
    server.deliver().await;
    assert_eq!(confirm(server, &link_to(server, ALICE)).await.status, 200);
    let form = waiting.form(PATH);
    browser
        .submit(&form, &[("action", "check")])
        .await
        .expect(200)
}

/// A user who has forgotten the password sets a new one with the e-mail address and logs in with it.
#[tokio::test]
async fn oa_61_a_validated_address_sets_a_new_password() {
    let server = start(&[]).await;
    let device = log_in(&server, "alice", PASSWORD).await;
    let mut browser = Browser::new(&server);
    let waiting = request_mail(&server, &mut browser, ALICE).await;
    assert!(waiting.text.contains("http-equiv=\"refresh\""));
    let page = confirm_mail(&server, &mut browser, &waiting).await;
    let form = page.form(PATH);
    let login = browser
        .submit(&form, &new_password(OTHER_PASSWORD))
        .await
        .expect(200);
    assert!(
        login.text.contains("Your new password has been set"),
        "{}",
        login.text
    );
    assert!(
        !device.is_valid(&server).await,
        "all devices are signed out"
    );
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let values = [("user", "alice"), ("password", OTHER_PASSWORD)];
    let consent = browser
        .submit(&login.form("/login"), &values)
        .await
        .expect(200);
    let last = browser.decide(&consent, "allow").await.expect(200);
    assert!(last.response().contains_key("code"));
    // The owner is notified, as after a reset by a client.
    server.deliver().await;
    let messages = server.messages();
    let last = messages.iter().rev().find(|mail| mail.to == ALICE).unwrap();
    assert!(last.text.contains("password"), "{}", last.text);
}

/// PWD-07: the user may keep the devices. The form is sent twice.
#[tokio::test]
async fn oa_61_devices_stay_if_the_user_wants_that() {
    let server = start(&[]).await;
    let device = log_in(&server, "alice", PASSWORD).await;
    let mut browser = Browser::new(&server);
    let waiting = request_mail(&server, &mut browser, ALICE).await;
    let form = confirm_mail(&server, &mut browser, &waiting)
        .await
        .form(PATH);
    let form = form
        .with(&new_password(OTHER_PASSWORD))
        .with(&[("devices", "keep")]);
    for _ in 0..2 {
        let page = browser.submit(&form, &[]).await.expect(200);
        assert!(
            page.text.contains("Your new password has been set"),
            "OA-67"
        );
    }
    assert!(device.is_valid(&server).await);
    log_in(&server, "alice", OTHER_PASSWORD).await;
    // Another password is another request, and the recovery is over.
    let other = form.with(&new_password("gravel 9 lantern sofa"));
    browser.submit(&other, &[]).await.expect(400);
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

#[tokio::test]
async fn oa_61_a_phone_number_sets_a_new_password() {
    let server = TestServer::with(&[&ADDRESSES[..], &[OAUTH]].concat()).await;
    sign_up_with(&server, "alice", MSISDN, NUMBER.1).await;
    server.deliver().await;
    server.advance(Duration::from_hours(2));
    let mut browser = Browser::new(&server);
    let choice = open(&server, &mut browser).await;
    let link = choice.link("With a phone number").unwrap();
    let page = browser.get(&link).await.expect(200);
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let page = browser.submit(&page.form(PATH), &number).await.expect(200);
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = [("action", "check"), ("code", "000000")];
    let page = browser.submit(&page.form(PATH), &wrong).await;
    assert_ne!(page.reply.status, 200);
    let right = [("action", "check"), ("code", code.as_str())];
    let page = browser.submit(&page.form(PATH), &right).await.expect(200);
    let form = page.form(PATH);
    browser
        .submit(&form, &new_password(OTHER_PASSWORD))
        .await
        .expect(200);
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// The pages for an address with and without an account are equal (PWD-06), and only the owner gets a link.
#[tokio::test]
async fn oa_61_an_unknown_address_is_not_disclosed() {
    let server = start(&[]).await;
    let mut pages = Vec::new();
    for address in [ALICE, "amber@example.org"] {
        let before = server.messages().len();
        let mut browser = Browser::new(&server);
        let waiting = request_mail(&server, &mut browser, address).await;
        server.deliver().await;
        let text = &waiting.text;
        let shown = text[text.find("<h1>").unwrap()..text.find("<form").unwrap()].to_owned();
        pages.push((waiting.reply.status, shown));
        let new = server.messages().len() - before;
        assert_eq!(new, usize::from(address == ALICE), "{address}");
    }
    assert_eq!(pages[0], pages[1]);
}

/// No order of the steps sets a password without the link, and the forms of one browser are worthless in another.
#[tokio::test]
async fn oa_61_a_password_needs_the_link_in_the_same_browser() {
    let server = start(&[]).await;
    let mut browser = Browser::new(&server);
    let waiting = request_mail(&server, &mut browser, ALICE).await;
    let check = waiting.form(PATH);
    let mut early = check.clone();
    early.fields.retain(|(name, _)| name != "stage");
    let early = early.with(&new_password(OTHER_PASSWORD));
    for form in [&early, &check.clone().with(&[("action", "check")]), &early] {
        let page = browser.submit(form, &[]).await;
        assert!(!page.text.contains("has been set"), "{}", page.text);
        log_in(&server, "alice", PASSWORD).await;
    }
    server.deliver().await;
    assert_eq!(confirm(&server, &link_to(&server, ALICE)).await.status, 200);
    let mut other = Browser::new(&server);
    open(&server, &mut other).await;
    for form in [&check.clone().with(&[("action", "check")]), &early] {
        other.submit(form, &[]).await.expect(400);
    }
    log_in(&server, "alice", PASSWORD).await;
    // The first browser can still continue.
    let values = [("action", "check")];
    let page = browser.submit(&check, &values).await.expect(200);
    let form = page.form(PATH);
    browser
        .submit(&form, &new_password(OTHER_PASSWORD))
        .await
        .expect(200);
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// PWD-14, and the mistakes of typing. The recovery continues afterwards.
#[tokio::test]
async fn oa_61_mistakes_are_shown_in_the_form() {
    let server = start(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    let mut browser = Browser::new(&server);
    let choice = open(&server, &mut browser).await;
    let link = choice.link("With an e-mail address").unwrap();
    let page = browser.get(&link).await.expect(200);
    let wrong = [("email", "not an address")];
    let page = browser.submit(&page.form(PATH), &wrong).await.expect(400);
    assert!(page.text.contains("role=\"alert\""), "{}", page.text);
    let form = page.form(PATH);
    let waiting = browser.submit(&form, &[("email", ALICE)]).await.expect(200);
    let mut page = confirm_mail(&server, &mut browser, &waiting).await;
    for (values, text) in [
        (
            [("password", ""), ("password_again", "")],
            "Enter the new password",
        ),
        (
            [("password", OTHER_PASSWORD), ("password_again", "x")],
            "different",
        ),
        (
            [("password", "alice"), ("password_again", "alice")],
            "password",
        ),
    ] {
        page = browser.submit(&page.form(PATH), &values).await.expect(400);
        let (_, error) = page.text.split_once("role=\"alert\">").unwrap();
        assert!(
            error.split('<').next().unwrap().contains(text),
            "{}",
            page.text
        );
        log_in(&server, "alice", PASSWORD).await;
    }
    let form = page.form(PATH);
    browser
        .submit(&form, &new_password(OTHER_PASSWORD))
        .await
        .expect(200);
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// PWD-15: without a way to reset a password there is no link, and the pages state the reason.
#[tokio::test]
async fn oa_61_a_server_without_resets_has_no_link() {
    for settings in [
        &[("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")][..],
        &[("GATEHOUSE_PASSWORD_CHANGES", "off")],
    ] {
        let server = TestServer::with(&[&[OAUTH], settings].concat()).await;
        let mut browser = Browser::new(&server);
        let login = browser
            .open(&Authorization::native(&server))
            .await
            .expect(200);
        assert!(login.link(LINK).is_none());
        let context = login.form("/login").value("context").to_owned();
        let page = browser.get(&format!("{PATH}?context={context}")).await;
        assert!(
            [403, 400].contains(&page.reply.status.as_u16()),
            "{}",
            page.text
        );
    }
}

/// OA-70, OA-47: the pages write nothing before a form is sent.
#[tokio::test]
async fn oa_70_opening_a_recovery_writes_nothing() {
    let server = start(&[]).await;
    let mut browser = Browser::new(&server);
    open(&server, &mut browser).await;
    let before = server.dump();
    open(&server, &mut browser).await;
    assert_eq!(before, server.dump());
    let mut other = Browser::new(&server);
    other.get(&format!("{PATH}?context=x")).await.expect(400);
    other.get(PATH).await.expect(400);
}

/// A locked account is named only to a person who has validated its address.
#[tokio::test]
async fn oa_61_a_locked_account_keeps_its_password() {
    let server = start(&[]).await;
    let mut browser = Browser::new(&server);
    let waiting = request_mail(&server, &mut browser, ALICE).await;
    let form = confirm_mail(&server, &mut browser, &waiting)
        .await
        .form(PATH);
    super::support::set_status(&server, "alice", "locked");
    let page = browser.submit(&form, &new_password(OTHER_PASSWORD)).await;
    page.expect(401);
    super::support::set_status(&server, "alice", "active");
    log_in(&server, "alice", PASSWORD).await;
}

/// Double clicks on the last form change the password once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_67_concurrent_forms_set_one_password() {
    let _guard = serial().await;
    let server = Arc::new(start(&[]).await);
    sign_up(&server, "bob").await;
    let mut browser = Browser::new(&server);
    let waiting = request_mail(&server, &mut browser, ALICE).await;
    let form = confirm_mail(&server, &mut browser, &waiting)
        .await
        .form(PATH);
    let before = server.messages().len();
    let cookies = browser.cookies.clone();
    let pages = at_once(20, |_| {
        let (server, form) = (Arc::clone(&server), form.clone());
        let cookies = cookies.clone();
        async move {
            let mut browser = Browser::new(&server);
            browser.cookies = cookies;
            browser.submit(&form, &new_password(OTHER_PASSWORD)).await
        }
    })
    .await;
    for page in pages {
        let page = page.expect(200);
        assert!(page.text.contains("has been set"), "{}", page.text);
    }
    log_in(&server, "alice", OTHER_PASSWORD).await;
    server.deliver().await;
    assert_eq!(server.messages().len(), before + 1, "one notification");
}
