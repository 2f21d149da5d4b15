//! Forms that do not belong to the browser, its session or the page (OA-54, OA-128), and their limits (OA-155).

use std::time::Duration;

use shared::limits::Limit;
use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{log_in, sign_up, sign_up_with},
    homeserver::Homeserver,
    oauth_pages::{Browser, Form, OAUTH, action, device_action},
    threepid_helpers::{ALICE, EMAIL},
};

/// The forms of all changes, filled in.
async fn forms(browser: &mut Browser<'_>, device: &str) -> Vec<Form> {
    let mut found = Vec::new();
    for (path, form) in [
        (device_action("device_view", device), "/account/rename"),
        (device_action("device_delete", device), "/account/sign-out"),
        (action("profile"), "/account/remove"),
        (action("profile"), "/account/email"),
        (action("cross_signing_reset"), "/account/cross-signing"),
        ("/account?action=password".to_owned(), "/account/password"),
        (action("account_deactivate"), "/account/deactivate"),
        ("/account".to_owned(), "/account/logout"),
    ] {
        let form = browser.get(&path).await.expect(200).form(form);
        let values = [
            ("name", "renamed"),
            ("email", "new@example.org"),
            ("password", "walnut 3 harbour comet"),
            ("password_again", "walnut 3 harbour comet"),
        ];
        found.push(form.with(&values));
    }
    found
}

async fn start() -> (Homeserver, TestServer) {
    let settings = [
        OAUTH,
        crate::flows::support::account_helpers::ADDRESSES[0],
        crate::flows::support::threepid_helpers::MAIL,
    ];
    Homeserver::with_server(&settings).await
}

/// OA-54, OA-128: a form without a token, with the token of another form, from another page of the web or from another
/// browser makes no call.
#[tokio::test]
async fn oa_128_a_foreign_form_changes_nothing() {
    let (homeserver, server) = start().await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    sign_up(&server, "mallory").await;
    let mut browser = Browser::new(&server);
    browser.log_in_at("/account", "alice", PASSWORD).await;
    let mut other = Browser::new(&server);
    other.log_in_at("/account", "mallory", PASSWORD).await;
    let all = forms(&mut browser, &alice.id).await;
    homeserver.take_calls();
    let before = server.dump();
    for (number, form) in all.iter().enumerate() {
        let next = all[(number + 1) % all.len()].value("csrf");
        let cases = [
            (&browser, form.clone().with(&[("csrf", "")]), ""),
            (&browser, form.clone().with(&[("csrf", next)]), ""),
            (&browser, form.clone(), "https://evil.example"),
            (&other, form.clone(), ""),
            (&Browser::new(&server), form.clone(), ""),
        ];
        for (browser, form, origin) in cases {
            let mut browser = browser.clone();
            let headers = [("origin", origin)];
            let headers = if origin.is_empty() { &[][..] } else { &headers };
            let send = browser.post(&form.action, &form.fields, headers);
            let (page, calls) = server.calls_of(send).await;
            page.expect(400).assert_protected();
            assert!(calls.is_empty(), "{}: {calls:?}", form.action);
        }
    }
    assert_eq!(server.dump(), before);
    assert!(homeserver.take_calls().is_empty());
}

/// OA-128: the forms of an old session ask for the password, and those of a session that has ended for a login. After it,
/// the page of the form is shown.
#[tokio::test]
async fn oa_128_an_old_session_changes_nothing() {
    for minutes in [5, 30] {
        let (homeserver, server) = start().await;
        let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
        let mut browser = Browser::new(&server);
        browser.log_in_at("/account", "alice", PASSWORD).await;
        let mut all = forms(&mut browser, &alice.id).await;
        all.retain(|form| form.action != "/account/logout");
        if minutes == 5 {
            // A new name needs no recent password.
            all.retain(|form| form.action != "/account/rename");
        }
        server.advance(Duration::from_mins(minutes));
        homeserver.take_calls();
        for form in &all {
            let mut browser = browser.clone();
            let login = browser.submit(form, &[]).await.expect(200);
            let login = login.form("/account/login");
            // The form stays valid, because nothing was changed.
            let again = browser.submit(form, &[]).await.expect(200);
            assert_eq!(again.form("/account/login").fields, login.fields);
        }
        assert!(homeserver.take_calls().is_empty());
        assert!(alice.is_valid(&server).await);
        let password = all.iter().find(|form| form.action == "/account/password");
        let login = browser.submit(password.unwrap(), &[]).await;
        let values = [("user", "alice"), ("password", PASSWORD)];
        let login = login.form("/account/login");
        let page = browser.submit(&login, &values).await.expect(200);
        page.form("/account/password");
        // The forms of the earlier cookie are not accepted.
        browser.submit(&all[0], &[]).await.expect(400);
        log_in(&server, "alice", PASSWORD).await;
    }
}

/// OA-155: a change is charged as a change with an access token: to the network, and to the browser.
#[tokio::test]
async fn oa_155_changes_share_the_limits_of_the_api() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    let alice = sign_up(&server, "alice").await;
    let mut browser = Browser::new(&server);
    let path = device_action("device_view", &alice.id);
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    let form = page.form("/account/rename").with(&[("name", "x")]);
    let mut renamed = 0;
    loop {
        let page = browser.submit(&form, &[]).await;
        if page.reply.status != 200 {
            page.expect(429).assert_protected();
            break;
        }
        renamed += 1;
    }
    assert_eq!(renamed, Limit::Account.quota().burst);
    // The API shares the quota of the network.
    let path = format!("/_matrix/client/v3/devices/{}", alice.id);
    let headers = [("authorization", format!("Bearer {}", alice.token))];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let put = crate::api::support::request("PUT", &path, &headers, b"{\"display_name\":\"y\"}");
    server.send(put).await.error(429, "M_LIMIT_EXCEEDED");
    let mut network = 0_u8;
    while renamed < Limit::TokenWrite.quota().burst {
        network += 1;
        browser.peer = [198, 18, 0, network].into();
        browser.submit(&form, &[]).await.expect(200);
        renamed += 1;
    }
    browser.peer = [198, 18, 1, 1].into();
    // A refused request costs at most one read.
    let (page, calls) = server.calls_of(browser.submit(&form, &[])).await;
    page.expect(429);
    let reads = calls.iter().filter(|call| call.operation == "GetItem");
    assert!(reads.count() <= 1, "{calls:?}");
}
