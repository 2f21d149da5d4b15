//! Changes of the whole account: password, 3PIDs, deactivation, reset of the cross-signing keys (OA-129, OA-130, OA-140).

use std::time::Duration;

use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{
            ADDRESSES, OTHER_PASSWORD, log_in, rows_of, sign_up, sign_up_with, try_login,
        },
        homeserver::{Homeserver, Misbehaviour},
        is_free,
        oauth_pages::{Browser, OAUTH, Page, action},
        oauth_tokens::OAuthServer,
        threepid_helpers::{ALICE, EMAIL, claims},
    },
};

const PASSWORD_PAGE: &str = "/account?action=password";

/// A browser of alice, at a page.
async fn at<'a>(server: &'a TestServer, path: &str) -> (Browser<'a>, Page) {
    let mut browser = Browser::new(server);
    let page = browser.log_in_at(path, "alice", PASSWORD).await;
    (browser, page.expect(200))
}

fn new_password(password: &str) -> [(&str, &str); 2] {
    [("password", password), ("password_again", password)]
}

/// The subjects of the messages since the last time.
async fn mails(server: &TestServer) -> Vec<String> {
    let before = server.messages().len();
    server.deliver().await;
    let messages = server.messages();
    messages[before..]
        .iter()
        .map(|message| format!("{message:?}"))
        .collect()
}

/// OA-130, PWD-07: all devices of both APIs and the sessions of other browsers end, unless the user keeps them.
#[tokio::test]
async fn oa_130_a_new_password_signs_out_all_devices() {
    let oauth = OAuthServer::with(&[]).await;
    let server = &oauth.server;
    let tokens = oauth.log_in().await;
    let device = log_in(server, "alice", PASSWORD).await;
    let (mut browser, page) = at(server, PASSWORD_PAGE).await;
    page.assert_protected();
    let (mut other, _) = at(server, PASSWORD_PAGE).await;
    let form = page.form("/account/password");
    let before = browser.cookie().unwrap().to_owned();
    let done = browser.submit(&form, &new_password(OTHER_PASSWORD)).await;
    done.assert_protected();
    assert!(
        done.text.contains("All devices are signed out"),
        "{}",
        done.text
    );
    assert!(!device.is_valid(server).await);
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    try_login(server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    log_in(server, "alice", OTHER_PASSWORD).await;
    // This browser has a new session, and the other one has none.
    assert_ne!(browser.cookie().unwrap(), before);
    let start = browser.get(&done.link("Your account").unwrap()).await;
    start.form("/account/logout");
    other.get("/account").await.form("/account/login");
    // The form belongs to the earlier cookie, so a repetition changes nothing.
    let again = browser.submit(&form, &new_password(PASSWORD)).await;
    again.expect(400);
}

/// PWD-09, OA-128: the devices stay, and so do the sessions of other browsers, but a password that was entered before the
/// change is no longer recent.
#[tokio::test]
async fn oa_128_a_replaced_password_is_not_recent() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, PASSWORD_PAGE).await;
    let (mut other, of_other) = at(&server, PASSWORD_PAGE).await;
    server.advance(Duration::from_secs(1));
    let mut values = new_password(OTHER_PASSWORD).to_vec();
    values.push(("devices", "keep"));
    let done = browser
        .submit(&page.form("/account/password"), &values)
        .await
        .expect(200);
    assert!(done.text.contains("All devices stay signed in"));
    assert!(alice.is_valid(&server).await);
    other.get("/account").await.form("/account/login");
    let form = of_other.form("/account/password");
    let page = other.submit(&form, &new_password(PASSWORD)).await;
    page.expect(200).form("/account/login");
    let page = other.get(&action("account_deactivate")).await;
    page.form("/account/login");
    log_in(&server, "alice", OTHER_PASSWORD).await;
    browser.get(PASSWORD_PAGE).await.form("/account/password");
}

#[tokio::test]
async fn oa_129_a_password_has_the_rules_of_the_api() {
    let score = ("GATEHOUSE_PASSWORD_MIN_SCORE", "3");
    let server = TestServer::with(&[OAUTH, score]).await;
    sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, PASSWORD_PAGE).await;
    let form = page.form("/account/password");
    let long = "x".repeat(513);
    for (password, again, text) in [
        (OTHER_PASSWORD, "x", "The two passwords are different"),
        ("", "", "The password is empty"),
        ("alice", "alice", "too easy to guess"),
        ("alice123", "alice123", "too easy to guess"),
        (&long, &long, "too long"),
    ] {
        let values = [("password", password), ("password_again", again)];
        let page = browser.submit(&form, &values).await.expect(400);
        assert!(page.text.contains(text), "{text}: {}", page.text);
        page.assert_protected();
        page.form("/account/password");
    }
    log_in(&server, "alice", PASSWORD).await;
    let off = [OAUTH, ("GATEHOUSE_PASSWORD_CHANGES", "off")];
    let server = TestServer::with(&off).await;
    sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, "/account").await;
    let log_out = page.form("/account/logout");
    let forged = log_out.with(&new_password(OTHER_PASSWORD));
    browser
        .post("/account/password", &forged.fields, &[])
        .await
        .expect(400);
    log_in(&server, "alice", PASSWORD).await;
}

/// OA-129: the owner gets the notification, and its quota is that of the API.
#[tokio::test]
async fn oa_129_a_new_password_is_notified() {
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    server.deliver().await;
    let (mut browser, mut page) = at(&server, PASSWORD_PAGE).await;
    let mut changed = 0;
    for number in 0..12 {
        let form = page.form("/account/password");
        let password = format!("{OTHER_PASSWORD} {number}");
        let done = browser.submit(&form, &new_password(&password)).await;
        if done.reply.status == 429 {
            assert!(done.reply.headers.contains_key("retry-after"));
            break;
        }
        changed += 1;
        page = browser.get(PASSWORD_PAGE).await.expect(200);
    }
    assert_eq!(changed, 10);
    let mails = mails(&server).await;
    assert_eq!(mails.len(), 10);
    assert!(mails[0].contains(ALICE), "{}", mails[0]);
}

/// OA-129, DEACT-01, DEACT-03: the account ends as by the API.
#[tokio::test]
async fn oa_129_an_account_is_deactivated_by_page() {
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let server = TestServer::with(&settings).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    server.deliver().await;
    let (mut browser, page) = at(&server, &action("account_deactivate")).await;
    page.assert_protected();
    let done = browser
        .submit(&page.form("/account/deactivate"), &[("erase", "yes")])
        .await
        .expect(200);
    done.assert_protected();
    assert!(done.text.contains("Your account is deactivated"));
    assert!(!alice.is_valid(&server).await);
    assert!(claims(&server).is_empty());
    assert!(!is_free(&server, "alice").await, "REG-16");
    browser.get("/account").await.form("/account/login");
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let mails = mails(&server).await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains(ALICE), "{}", mails[0]);
    let account = &rows_of(&server, "alice");
    assert!(format!("{account:?}").contains("erased"), "{account:?}");
}

/// OA-129: the setting holds for the form too.
#[tokio::test]
async fn oa_129_deactivation_respects_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::in_directory(&[OAUTH], directory.path()).await;
    sign_up(&server, "alice").await;
    let (browser, page) = at(&server, &action("account_deactivate")).await;
    let (form, cookies) = (page.form("/account/deactivate"), browser.cookies.clone());
    drop(server);
    let off = [OAUTH, ("GATEHOUSE_DEACTIVATION", "off")];
    let server = TestServer::in_directory(&off, directory.path()).await;
    let mut browser = Browser::new(&server);
    browser.cookies = cookies;
    let page = browser.submit(&form, &[]).await.expect(403);
    assert!(page.text.contains("Accounts cannot be deactivated"));
    log_in(&server, "alice", PASSWORD).await;
}

/// OA-129, HS-14: the homeserver gets each change, and is not needed for it.
#[tokio::test]
async fn oa_129_account_changes_reach_the_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, PASSWORD_PAGE).await;
    homeserver.take_calls();
    let form = page.form("/account/password");
    let page = browser.submit(&form, &new_password(OTHER_PASSWORD)).await;
    page.expect(200);
    assert_eq!(homeserver.take_calls(), ["sync_devices alice"]);
    assert_eq!(homeserver.devices("alice"), [""; 0]);
    let page = browser.get(&action("account_deactivate")).await;
    browser
        .submit(&page.form("/account/deactivate"), &[])
        .await
        .expect(200);
    assert_eq!(homeserver.take_calls(), ["delete_user alice"]);
    let user = homeserver.user("alice").unwrap();
    assert!(user.is_deactivated && !user.is_erased);
    homeserver.assert_no_violations();
}

/// OA-129: an address is removed with a notification, as by the API. An address of another account has no effect.
#[tokio::test]
async fn oa_129_an_address_is_removed_by_page() {
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let server = TestServer::with(&settings).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    sign_up_with(&server, "bob", EMAIL, "bob@example.org").await;
    server.deliver().await;
    let (mut browser, page) = at(&server, &action("profile")).await;
    page.assert_protected();
    assert!(page.text.contains(ALICE) && !page.text.contains("bob@"));
    let form = page.form("/account/remove");
    let foreign = [("address", "bob@example.org")];
    browser.submit(&form, &foreign).await.expect(200);
    for invalid in [("address", "x"), ("medium", "x")] {
        browser.submit(&form, &[invalid]).await.expect(400);
    }
    assert_eq!(claims(&server).len(), 2);
    // OA-128
    server.advance(Duration::from_mins(6));
    let login = browser.submit(&form, &[]).await.expect(200);
    assert_eq!(claims(&server).len(), 2);
    let values = [("password", PASSWORD)];
    let login = login.form("/account/login");
    let page = browser.submit(&login, &values).await.expect(200);
    let form = page.form("/account/remove");
    for _ in 0..2 {
        let done = browser.submit(&form, &[]).await.expect(200);
        done.assert_protected();
        assert!(done.text.contains("The address is removed"));
    }
    assert_eq!(claims(&server).len(), 1);
    let mails = mails(&server).await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains(ALICE), "{}", mails[0]);
    let page = browser.get(&action("profile")).await.expect(200);
    assert!(page.text.contains("Your account has none"));
}

/// TOK-15: a suspended user can log in and end the account, but not change its addresses.
#[tokio::test]
async fn oa_129_a_suspended_account_keeps_its_addresses() {
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let server = TestServer::with(&settings).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    set_status(&server, "alice", "suspended");
    let (mut browser, page) = at(&server, &action("profile")).await;
    let form = page.form("/account/remove");
    let page = browser.submit(&form, &[]).await.expect(403);
    assert!(page.text.contains("The account is suspended"));
    assert_eq!(claims(&server).len(), 1);
}

#[tokio::test]
async fn oa_140_the_reset_of_keys_is_permitted_by_page() {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let resets = || homeserver.user("alice").unwrap().resets;
    let (mut browser, page) = at(&server, &action("cross_signing_reset")).await;
    page.assert_protected();
    assert_eq!(resets(), 0);
    let form = page.form("/account/cross-signing");
    for number in 1..3 {
        let done = browser.submit(&form, &[]).await.expect(200);
        done.assert_protected();
        assert!(done.text.contains("Go back to your app"), "{}", done.text);
        assert_eq!(resets(), number);
    }
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    server.expect_faults();
    let page = browser.submit(&form, &[]).await.expect(503);
    page.assert_protected();
    assert!(page.text.contains("The homeserver is not available"));
    homeserver.set_misbehaviour(None);
    // OA-128
    server.advance(Duration::from_mins(5));
    let page = browser.submit(&form, &[]).await.expect(200);
    page.form("/account/login");
    assert_eq!(resets(), 2);
}

/// OA-140: the user of another person at the homeserver is not touched, and without a homeserver there are no keys.
#[tokio::test]
async fn oa_140_only_own_keys_can_be_reset() {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, &action("cross_signing_reset")).await;
    crate::api::support::homeserver::set_homeserver_state(&server, "alice", "foreign");
    homeserver.take_calls();
    let form = page.form("/account/cross-signing");
    browser.submit(&form, &[]).await.expect(403);
    assert!(homeserver.take_calls().is_empty());
}
