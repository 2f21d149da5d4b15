//! Concurrent changes on the account pages.

use std::{sync::Arc, time::Duration};

use test_support::{PASSWORD, TestServer};

use crate::flows::{
    races::{delayed, finish_overtaken, start_delayed},
    support::{
        account_helpers::{OTHER_PASSWORD, sign_up, try_login},
        at_once,
        oauth_pages::{Browser, OAUTH, action},
        serial,
    },
};

const MANY: usize = 20;

fn password_of(number: usize) -> String {
    format!("walnut 3 harbour comet {number}")
}

/// OA-129: of concurrent changes that were authenticated with the same password, one succeeds. The others get a page that
/// states so, or the login page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_129_one_of_many_new_passwords_is_set() {
    let _serial = serial().await;
    for devices in ["sign_out", "keep"] {
        let server = Arc::new(TestServer::with(&[OAUTH]).await);
        sign_up(&server, "alice").await;
        let mut browser = Browser::new(&server);
        let path = "/account?action=password";
        let page = browser.log_in_at(path, "alice", PASSWORD).await;
        let form = page.form("/account/password");
        server.advance(Duration::from_secs(1));
        let cookies = browser.cookies.clone();
        let pages = at_once(MANY, |number| {
            let (server, cookies, form) = (Arc::clone(&server), cookies.clone(), form.clone());
            async move {
                let password = password_of(number);
                let values = [
                    ("password", password.as_str()),
                    ("password_again", &password),
                    ("devices", devices),
                ];
                let mut browser = Browser::new(&server);
                browser.cookies = cookies;
                let page = browser.submit(&form, &values).await;
                (page.reply.status.as_u16(), page.text)
            }
        })
        .await;
        let mut set = Vec::new();
        for (number, (status, text)) in pages.iter().enumerate() {
            if text.contains("Your password is changed") {
                set.push(number);
                continue;
            }
            let is_refused = [403, 429].contains(status) || text.contains("/account/login");
            assert!(is_refused, "{status}: {text}");
        }
        assert_eq!(set.len(), 1, "{devices}");
        try_login(&server, "alice", &password_of(set[0])).await.ok();
    }
}

/// OA-129: a deactivation and its repetitions. No form is answered as if the account still existed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_129_concurrent_deactivations_end_the_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[OAUTH]).await);
    let alice = sign_up(&server, "alice").await;
    let mut browser = Browser::new(&server);
    let path = action("account_deactivate");
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    let form = page.form("/account/deactivate");
    let cookies = browser.cookies.clone();
    let texts = at_once(MANY, |_| {
        let (server, cookies, form) = (Arc::clone(&server), cookies.clone(), form.clone());
        async move {
            let mut browser = Browser::new(&server);
            browser.cookies = cookies;
            browser.submit(&form, &[]).await.text
        }
    })
    .await;
    let ended = texts
        .iter()
        .filter(|text| text.contains("Your account is deactivated"));
    assert_eq!(ended.count(), 1);
    assert!(!alice.is_valid(&server).await);
    browser.get(&path).await.form("/account/login");
}

/// OA-128: a login that read the old password does not count as an entry of the password that replaced it meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_128_a_login_before_a_change_is_not_recent() {
    const PAGE: &str = "/account?action=password";
    let settings = [OAUTH, ("GATEHOUSE_LIMITS", "on")];
    let server = Arc::new(TestServer::with(&settings).await);
    sign_up(&server, "alice").await;
    let mut owner = Browser::new(&server);
    let page = owner.log_in_at(PAGE, "alice", PASSWORD).await;
    let own = Arc::clone(&server);
    let thief = async move {
        let mut thief = Browser::new(&own);
        let login = thief.get("/account").await.form("/account/login");
        let values = [("user", "alice"), ("password", PASSWORD)];
        thief.submit(&login, &values).await;
        thief.get(PAGE).await
    };
    // The fourth update is the first call after the read of the password.
    let fault = delayed("Account", "UpdateItem").nth(4);
    let thief = start_delayed(&server, fault, thief).await;
    server.advance(Duration::from_secs(1));
    let values = [
        ("password", OTHER_PASSWORD),
        ("password_again", OTHER_PASSWORD),
        ("devices", "keep"),
    ];
    let form = page.form("/account/password");
    let done = owner.submit(&form, &values).await.expect(200);
    assert!(done.text.contains("All devices stay signed in"));
    finish_overtaken(thief).await.form("/account/login");
}
