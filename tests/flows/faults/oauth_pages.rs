//! Faults during a login and during consent by page. The user tries again with the same page.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use test_support::{PASSWORD, TestServer};

use crate::flows::{
    faults::{
        FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_by, fault_at_every_call,
    },
    support::oauth_pages::{Authorization, Browser, Form, OAUTH, oauth_rows},
};

const FUNCTION: &str = "Oauth2Authorize";

/// The form into which the fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    LogIn,
    Allow,
    LogOut,
}

/// A browser, the form and its values.
async fn prepare(server: &TestServer, scenario: Scenario) -> (Browser<'_>, Form) {
    let valid = Authorization::native(server);
    let mut browser = Browser::new(server);
    let form = match scenario {
        Scenario::LogIn => {
            let values = [("user", "alice"), ("password", PASSWORD)];
            browser.open(&valid).await.form("/login").with(&values)
        }
        Scenario::Allow => {
            let page = browser.log_in(&valid, "alice", PASSWORD).await;
            page.form("/consent").with(&[("action", "allow")])
        }
        Scenario::LogOut => {
            let page = browser.log_in(&valid, "alice", PASSWORD).await;
            page.form("/logout")
        }
    };
    (browser, form)
}

fn codes(server: &TestServer) -> usize {
    let rows = oauth_rows(server);
    rows.iter().filter(|key| *key == "CODE").count()
}

async fn run(server: &TestServer, scenario: Scenario, fault: Option<Fault>) -> Run {
    let (mut browser, form) = prepare(server, scenario).await;
    let before = codes(server);
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut page = browser.submit(&form, &[]).await;
    let calls = calls_by(FUNCTION, proxy.take_calls());
    let mut tries = 0;
    while page.reply.status != 200 {
        assert_expected_failure(fault.as_ref(), page.reply.status.as_u16());
        // OA-34: the user can take the error to the app, if the error is not the rate limit.
        if page.continue_url().is_some() {
            let error = page.response()["error"].clone();
            let known = ["server_error", "temporarily_unavailable"];
            assert!(known.contains(&error.as_str()), "{error}");
        }
        tries += 1;
        assert!(tries < 6, "{scenario:?}: {fault:?}: {}", page.text);
        page = browser.submit(&form, &[]).await;
    }
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    match scenario {
        Scenario::LogIn => {
            page.form("/consent");
            let page = browser.decide(&page, "allow").await.expect(200);
            assert!(page.response().contains_key("code"));
        }
        Scenario::Allow => {
            assert!(page.response().contains_key("code"));
            assert_eq!(codes(server), before + 1, "OA-66: {fault:?}");
        }
        Scenario::LogOut => {
            page.form("/login");
        }
    }
    Run { calls, injected }
}

async fn run_with_faults(scenario: Scenario, kinds: &[FaultKind], times: u64) {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    server.sign_up("alice").await;
    server.expect_faults();
    let run = async |_, fault| {
        server.advance(Duration::from_hours(1));
        run(&server, scenario, fault).await
    };
    let summary = fault_at_every_call(FUNCTION, kinds, times, run).await;
    let (calls, injected) = (&summary.calls, summary.injected);
    assert!(
        injected >= calls.len(),
        "{scenario:?}: {injected} in {calls:?}"
    );
}

#[tokio::test]
async fn oa_58_a_login_by_page_survives_any_fault() {
    run_with_faults(Scenario::LogIn, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::LogIn, &[FaultKind::LostAnswer], 8).await;
}

/// OA-66: the repeated form gives one code.
#[tokio::test]
async fn oa_66_consent_survives_any_fault() {
    run_with_faults(Scenario::Allow, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Allow, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_55_a_logout_by_page_survives_any_fault() {
    run_with_faults(Scenario::LogOut, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::LogOut, &[FaultKind::Conflict], 8).await;
}
