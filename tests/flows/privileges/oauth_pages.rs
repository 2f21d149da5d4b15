//! The scenario with the pages of the OAuth 2.0 API: every login, every decision and a logout.
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
    oauth_pages::{Authorization, Browser, OAUTH},
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
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    for (user, password) in [("nobody", "wrong"), (ALICE, PASSWORD)] {
        browser.log_in(&valid, user, password).await;
    }
    server.advance(Duration::from_mins(2));
    let consent = browser.open(&valid).await;
    for action in ["cancel", "allow"] {
        browser.decide(&consent, action).await.expect(200);
    }
    let log_out = consent.form("/logout");
    browser.submit(&log_out, &[]).await.expect(200);
    server.local.proxy().used()
}
