//! The scenario with the pages of the OAuth 2.0 API: every login, every decision and a logout.

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
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    start_every_function(&server).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
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
