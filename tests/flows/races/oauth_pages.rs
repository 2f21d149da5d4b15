//! Concurrent decisions on a consent page, and a decision that is concurrent with a logout.

use std::sync::Arc;

use test_support::{PASSWORD, TestServer};

use crate::flows::{
    races::{delayed, start_delayed},
    support::{
        at_once,
        oauth_pages::{Authorization, Browser, OAUTH, oauth_rows},
        serial,
    },
};

const MANY: usize = 40;

/// OA-66: a double click, and any number of clicks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_66_concurrent_decisions_give_one_code() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[OAUTH]).await);
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let consent = browser.log_in(&valid, "alice", PASSWORD).await;
    let cookies = browser.cookies.clone();
    let pages = at_once(MANY, |_| {
        let (server, cookies, consent) = (Arc::clone(&server), cookies.clone(), consent.clone());
        async move {
            let mut browser = Browser::new(&server);
            browser.cookies = cookies;
            browser.decide(&consent, "allow").await.expect(200).text
        }
    })
    .await;
    assert!(pages.iter().all(|page| *page == pages[0]));
    let rows = oauth_rows(&server);
    assert_eq!(rows, ["BROWSER", "CLIENT", "CODE"]);
}

/// OA-57: a use that is recorded after a concurrent logout does not restore the session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_57_a_logout_during_a_decision_ends_the_session() {
    let server = Arc::new(TestServer::with(&[OAUTH]).await);
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let consent = browser.log_in(&valid, "alice", PASSWORD).await;
    server.advance(std::time::Duration::from_mins(2));
    let cookies = browser.cookies.clone();
    let (own, page) = (Arc::clone(&server), consent.clone());
    let slow = async move {
        let mut browser = Browser::new(&own);
        browser.cookies = cookies;
        browser.decide(&page, "allow").await.text
    };
    let fault = delayed("Oauth2Authorize", "UpdateItem");
    let slow = start_delayed(&server, fault, slow).await;
    let log_out = consent.form("/logout");
    browser.submit(&log_out, &[]).await.expect(200);
    slow.await.unwrap();
    assert!(!oauth_rows(&server).contains(&"BROWSER".to_owned()));
}
