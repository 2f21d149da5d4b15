//! The scenario with the device authorization grant: every page and every decision.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use test_support::{PASSWORD, TestServer};

use super::start_every_function;
use crate::flows::support::{
    account_helpers::{ADDRESSES, sign_up_with},
    device_grant::{GrantServer, LINK},
    oauth_pages::{Browser, OAUTH},
    oauth_tokens::assert_error,
    threepid_helpers::{ALICE, EMAIL},
};

pub(super) async fn scenario() -> BTreeSet<Use> {
    let directory = tempfile::tempdir().unwrap();
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::in_directory(&settings, directory.path()).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    drop(server);
    // The login renews a hash with another cost.
    let cost = ("GATEHOUSE_ARGON2", "m=16,t=1,p=1");
    let settings = [&settings[..], &[cost]].concat();
    let server = TestServer::in_directory(&settings, directory.path()).await;
    start_every_function(&server).await;
    let grant = GrantServer::of(server);
    let server = &grant.server;
    let mut browser = Browser::new(server);
    for password in ["wrong", PASSWORD] {
        let login = browser.get(LINK).await.form("/login");
        let values = [("user", ALICE), ("password", password)];
        browser.submit(&login, &values).await;
    }
    for action in ["cancel", "allow"] {
        let device = grant.device().await;
        assert_error(&grant.poll(&device).await, 400, "authorization_pending");
        let consent = device.consent(&mut browser, "alice").await.expect(200);
        server.advance(Duration::from_mins(2));
        for _ in 0..2 {
            browser.decide(&consent, action).await.expect(200);
        }
        grant.poll(&device).await;
    }
    let device = grant.device().await;
    let consent = device.consent(&mut browser, "alice").await.expect(200);
    let log_out = consent.form("/logout");
    browser.submit(&log_out, &[]).await.expect(200);
    server.local.proxy().used()
}
