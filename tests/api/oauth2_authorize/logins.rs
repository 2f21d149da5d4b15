//! The login page and browser sessions (OA-43, OA-48, OA-57, OA-58, OA-67, OA-69).

use std::time::Duration;

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use super::start;
use crate::{
    api::support::{add_appservice, register_as, register_guest, set_status},
    flows::support::{
        account_helpers::{ADDRESSES, LOGIN, OTHER_PASSWORD, login_of, sign_up_with},
        oauth_pages::{Authorization, Browser, OAUTH, Page, oauth_rows},
        threepid_helpers::{EMAIL, MSISDN},
    },
};

/// The message of a page.
#[track_caller]
fn message(page: &Page) -> String {
    let (_, text) = page
        .text
        .split_once("role=\"alert\">")
        .unwrap_or_else(|| panic!("{}", page.text));
    text.split("</p>").next().unwrap().to_owned()
}

/// Asserts that the page does not let this browser give consent.
#[track_caller]
fn assert_login_page(page: &Page) {
    page.form("/login");
    assert!(page.find_form("/consent").is_none(), "{}", page.text);
}

#[tokio::test]
async fn oa_43_prompt_login_asks_for_the_password_again() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let first = browser.log_in(&valid, "alice", PASSWORD).await;
    for prompt in [
        "",
        "consent",
        "select_account",
        "unknown",
        "consent select_account",
    ] {
        let page = browser
            .open(&valid.clone().with("prompt", prompt))
            .await
            .expect(200);
        // The user may change the account and create another.
        page.form("/consent");
        page.form("/logout");
    }
    for prompt in ["login", "consent login", "login select_account"] {
        let request = valid.clone().with("prompt", prompt);
        let page = browser.open(&request).await.expect(200);
        assert_login_page(&page);
        // The context of this page does not give a code with the form of another page.
        let context = page.form("/login").value("context").to_owned();
        let form = first.form("/consent");
        let values = [("context", context.as_str()), ("action", "allow")];
        let page = browser.clone().submit(&form, &values).await.expect(200);
        assert_login_page(&page);
        assert!(!oauth_rows(&server).contains(&"CODE".to_owned()));
        let mut browser = browser.clone();
        let consent = browser.log_in(&request, "alice", PASSWORD).await;
        browser.decide(&consent, "cancel").await.expect(200);
    }
}

/// OA-43: `EXI` sends `consent` for a sign-up too, so the login page always links to the sign-up.
#[tokio::test]
async fn oa_43_the_login_page_links_to_the_sign_up_while_it_is_open() {
    let server = start().await;
    let valid = Authorization::native(&server);
    for prompt in ["", "consent", "login"] {
        let page = Browser::new(&server)
            .open(&valid.clone().with("prompt", prompt))
            .await;
        let link = page.link("Create an account").unwrap();
        assert!(link.starts_with("/oauth2/sign-up?context="), "{link}");
    }
    let closed = TestServer::with(&[OAUTH, ("GATEHOUSE_REGISTRATION", "closed")]).await;
    let valid = Authorization::native(&closed);
    let page = Browser::new(&closed).open(&valid).await.expect(200);
    assert_eq!(page.link("Create an account"), None);
    let page = Browser::new(&closed)
        .open(&valid.with("prompt", "create"))
        .await
        .expect(200);
    assert!(
        page.text.contains("does not accept new accounts"),
        "{}",
        page.text
    );
    page.form("/login");
}

/// OA-42: with a session there is a choice, and the new account comes first.
#[tokio::test]
async fn oa_42_prompt_create_leads_to_the_sign_up() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let create = valid.clone().with("prompt", "create");
    let mut browser = Browser::new(&server);
    let page = browser.get_once(&create.path()).await.expect(303);
    let location = page.location().unwrap();
    assert!(
        location.starts_with("/oauth2/sign-up?context="),
        "{location}"
    );
    assert!(browser.cookie().is_some());
    browser.log_in(&valid, "alice", PASSWORD).await;
    let page = browser.open(&create).await.expect(200);
    let link = page.link("Create a new account").unwrap();
    assert!(link.starts_with("/oauth2/sign-up?context="), "{link}");
    let position = |text: &str| page.text.find(text).unwrap();
    assert!(position("/oauth2/sign-up") < position("/oauth2/authorize/consent"));
    let page = browser.decide(&page, "allow").await.expect(200);
    assert!(page.response().contains_key("code"));
    // Without this prompt, and after a login, there is no choice.
    let page = browser.open(&valid).await.expect(200);
    assert_eq!(page.link("Create a new account"), None);
}

/// OA-48: login CSRF. An attacker who sends the victim the own form logs nobody in.
#[tokio::test]
async fn oa_48_a_context_belongs_to_one_browser() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let (mut a, mut b) = (Browser::new(&server), Browser::new(&server));
    let of_a = a.open(&valid).await.form("/login");
    let of_b = b.open(&valid).await.form("/login");
    let mut mixed = of_b.clone();
    mixed = mixed.with(&[("context", of_a.value("context"))]);
    for form in [&of_a, &mixed] {
        let values = [("user", "alice"), ("password", PASSWORD)];
        let page = b.clone().submit(form, &values).await.expect(400);
        assert!(
            page.text.contains("Start again in your app"),
            "{}",
            page.text
        );
    }
    assert_eq!(oauth_rows(&server), ["CLIENT"]);
    let consent = a.log_in(&valid, "alice", PASSWORD).await.form("/consent");
    let mine = b.log_in(&valid, "alice", PASSWORD).await.form("/consent");
    let values = [("context", consent.value("context")), ("action", "allow")];
    b.submit(&mine, &values).await.expect(400);
    assert!(!oauth_rows(&server).contains(&"CODE".to_owned()));
}

/// OA-57: the ends of a session.
#[tokio::test]
async fn oa_57_a_session_ends() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    browser
        .log_in(&valid, "alice", PASSWORD)
        .await
        .form("/consent");
    // Thirty minutes without use. A request with GET is no use.
    server.advance(Duration::from_mins(29));
    browser.open(&valid).await.form("/consent");
    server.advance(Duration::from_mins(1));
    assert_login_page(&browser.open(&valid).await);
    // A use extends it up to twelve hours.
    let mut page = browser.log_in(&valid, "alice", PASSWORD).await;
    for _ in 0..24 {
        page = browser.open(&valid).await;
        let page = browser.decide(&page, "allow").await.expect(200);
        assert!(page.response().contains_key("code"));
        server.advance(Duration::from_mins(29));
    }
    page.form("/consent");
    server.advance(Duration::from_secs(24 * 60 - 1));
    browser.open(&valid).await;
    server.advance(Duration::from_secs(1));
    assert_login_page(&browser.open(&valid).await);
    // Another browser has no session.
    browser
        .log_in(&valid, "alice", PASSWORD)
        .await
        .form("/consent");
    assert_login_page(&Browser::new(&server).open(&valid).await);
    for status in ["locked", "deactivated"] {
        let page = browser.open(&valid).await;
        page.form("/consent");
        set_status(&server, "alice", status);
        assert_login_page(&browser.open(&valid).await);
        let page = browser.decide(&page, "allow").await;
        assert_login_page(&page);
        set_status(&server, "alice", "active");
    }
    set_status(&server, "alice", "suspended");
    browser.open(&valid).await.form("/consent");
    set_status(&server, "alice", "active");
    // A new epoch.
    let page = browser.open(&valid).await;
    let login = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let token = login["access_token"].as_str().unwrap();
    let path = format!("{}/logout/all", test_support::PREFIXES[1]);
    server
        .post_as_from([127, 0, 0, 1].into(), token, &path, &json!({}))
        .await
        .ok();
    assert_login_page(&browser.decide(&page, "allow").await);
    assert_login_page(&browser.open(&valid).await);
}

#[tokio::test]
async fn oa_58_a_login_takes_name_and_address_and_has_one_failure() {
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let server = TestServer::with(&settings).await;
    sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    sign_up_with(&server, "bob", MSISDN, "07400123456").await;
    let valid = Authorization::native(&server);
    for user in ["+447400123456", "+44 7400 123456", "+44 (0)7400-123456"] {
        let page = Browser::new(&server).log_in(&valid, user, PASSWORD).await;
        assert!(
            page.text.contains("@bob:localhost"),
            "{user}: {}",
            page.text
        );
    }
    for user in [
        "alice",
        "@alice:localhost",
        "alice@example.org",
        " ALICE@example.org",
    ] {
        let page = Browser::new(&server)
            .log_in(&valid, user, PASSWORD)
            .await
            .expect(200);
        let consent = page.form("/consent");
        assert!(
            page.text.contains("@alice:localhost"),
            "{user}: {}",
            page.text
        );
        assert!(!consent.value("context").is_empty());
    }
    let mut failures = Vec::new();
    for user in [
        "alice",
        "nobody",
        "alice@example.org",
        "nobody@example.org",
        "@alice:other.example",
        "+4915112345678",
    ] {
        let mut browser = Browser::new(&server);
        let page = browser
            .log_in(&valid, user, OTHER_PASSWORD)
            .await
            .expect(403);
        assert_eq!(page.form("/login").value("user"), user);
        assert_eq!(page.form("/login").value("password"), "");
        failures.push(message(&page));
    }
    assert!(
        failures.iter().all(|failure| *failure == failures[0]),
        "{failures:?}"
    );
    for (user, password) in [("", PASSWORD), ("alice", "")] {
        let page = Browser::new(&server).log_in(&valid, user, password).await;
        page.expect(400).form("/login");
    }
}

/// OA-58, OA-155: the page shares the limits of `POST /login`.
#[tokio::test]
async fn oa_58_attempts_by_page_and_by_endpoint_are_counted_together() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let mut limited = false;
    for number in 0..40 {
        let status = if number % 2 == 0 {
            server
                .post(LOGIN, &login_of("alice", OTHER_PASSWORD))
                .await
                .status
        } else {
            browser
                .log_in(&valid, "alice", OTHER_PASSWORD)
                .await
                .reply
                .status
        };
        if status == 429 {
            limited = true;
            break;
        }
        assert_eq!(status, 403);
    }
    assert!(limited);
    let reply = server.post(LOGIN, &login_of("alice", OTHER_PASSWORD)).await;
    assert_eq!(reply.status, 429);
    let page = browser
        .log_in(&valid, "alice", OTHER_PASSWORD)
        .await
        .expect(429);
    assert!(page.reply.headers.contains_key("retry-after"));
    page.form("/login");
}

#[tokio::test]
async fn oa_69_only_active_users_with_a_password_log_in() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_GUESTS", "true")]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let log_in = async |user: &str, password: &str| {
        Browser::new(&server).log_in(&valid, user, password).await
    };
    let wrong = message(&log_in("nobody", PASSWORD).await.expect(403));
    set_status(&server, "alice", "locked");
    let page = log_in("alice", PASSWORD).await.expect(403);
    assert_login_page(&page);
    assert!(message(&page).contains("locked"), "{}", page.text);
    assert_eq!(
        message(&log_in("alice", OTHER_PASSWORD).await.expect(403)),
        wrong
    );
    set_status(&server, "alice", "deactivated");
    assert_eq!(message(&log_in("alice", PASSWORD).await.expect(403)), wrong);
    let guest = register_guest(&server).await;
    let guest = guest["user_id"].as_str().unwrap();
    for user in [guest, "irc_alice"] {
        for password in [PASSWORD, "x"] {
            assert_eq!(
                message(&log_in(user, password).await.expect(403)),
                wrong,
                "{user}"
            );
        }
    }
    set_status(&server, "alice", "suspended");
    log_in("alice", PASSWORD).await.expect(200).form("/consent");
    let sessions = oauth_rows(&server)
        .into_iter()
        .filter(|key| key == "BROWSER");
    assert_eq!(sessions.count(), 1);
}

/// OA-67: every form of an earlier page gives the same result or says what to do.
#[tokio::test]
async fn oa_67_forms_work_after_the_back_button_or_say_what_to_do() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let login = browser.open(&valid).await.form("/login");
    let values = [("user", "alice"), ("password", PASSWORD)];
    let wrong = [("user", "alice"), ("password", OTHER_PASSWORD)];
    browser.submit(&login, &wrong).await.expect(403);
    let consent = browser.submit(&login, &values).await.expect(200);
    let says_start_again = |page: Page| {
        let page = page.expect(400);
        assert!(
            page.text.contains("Start again in your app"),
            "{}",
            page.text
        );
    };
    says_start_again(browser.submit(&login, &values).await);
    let first = browser.decide(&consent, "allow").await.expect(200);
    let second = browser.decide(&consent, "allow").await.expect(200);
    assert_eq!(first.text, second.text);
    let denied = browser.decide(&consent, "cancel").await.expect(200);
    assert_eq!(denied.response()["error"], "access_denied");
    says_start_again(browser.decide(&consent, "unknown").await);
    browser
        .submit(&consent.form("/logout"), &[])
        .await
        .expect(200);
    says_start_again(browser.decide(&consent, "allow").await);
    says_start_again(browser.submit(&consent.form("/logout"), &[]).await);
    let consent = browser.log_in(&valid, "alice", PASSWORD).await;
    server.advance(Duration::from_hours(1));
    says_start_again(browser.decide(&consent, "allow").await);
}
