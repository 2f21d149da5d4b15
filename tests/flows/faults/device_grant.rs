//! Faults in the device authorization grant. The device and the user try again.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};

use crate::{
    api::support::rows_of,
    flows::{
        faults::{
            FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_by, fault_at_every_call,
        },
        support::{
            device_grant::{DEVICE_PATH, GrantServer, LINK},
            oauth_pages::{Browser, Form, oauth_rows},
            oauth_tokens::{assert_error, send},
        },
    },
};

const REQUEST: &str = "Oauth2Device";
const PAGES: &str = "Oauth2Link";
const TOKEN: &str = "Oauth2Token";

fn inject(grant: &GrantServer, fault: Option<&Fault>) {
    let proxy = grant.server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = fault {
        proxy.inject(fault.clone());
    }
}

/// The calls of the operation, and whether the fault has occurred.
fn take(grant: &GrantServer, function: &str) -> Run {
    let proxy = grant.server.local.proxy();
    let calls = calls_by(function, proxy.take_calls());
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    Run { calls, injected }
}

async fn server() -> GrantServer {
    let grant = GrantServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    grant.server.expect_faults();
    grant
}

fn assert_all_injected(injected: usize, calls: usize) {
    assert!(injected >= calls, "{injected} faults in {calls} calls");
}

#[tokio::test]
async fn oa_113_a_request_for_codes_survives_any_fault() {
    for (kinds, times) in [(&FAULT_KINDS[..], 1), (&PERSISTENT, 8)] {
        let grant = server().await;
        let run = async |_, fault: Option<Fault>| {
            grant.server.advance(Duration::from_hours(1));
            inject(&grant, fault.as_ref());
            let mut tries = 0;
            let codes = loop {
                let reply = send(&grant.server, DEVICE_PATH, &grant.request()).await;
                if reply.status == 200 {
                    break reply.ok();
                }
                assert_expected_failure(fault.as_ref(), reply.status.as_u16());
                tries += 1;
                assert!(tries < 20, "{fault:?}");
            };
            let run = take(&grant, REQUEST);
            let device = crate::flows::support::device_grant::Device::new(&grant.client, &codes);
            assert_error(&grant.poll(&device).await, 400, "authorization_pending");
            let mut browser = Browser::new(&grant.server);
            device.consent(&mut browser, "alice").await.expect(200);
            run
        };
        let summary = fault_at_every_call(REQUEST, kinds, times, run).await;
        assert_all_injected(summary.injected, summary.calls.len());
    }
}

/// The form into which the fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Code,
    Allow,
    Cancel,
}

async fn run_pages(grant: &GrantServer, scenario: Scenario, fault: Option<Fault>) -> Run {
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await.expect(200);
    let form: Form = match scenario {
        Scenario::Code => browser.get(&device.path()).await.form(LINK),
        Scenario::Allow => consent.form("/consent").with(&[("action", "allow")]),
        Scenario::Cancel => consent.form("/consent").with(&[("action", "cancel")]),
    };
    grant.server.advance(Duration::from_mins(2));
    inject(grant, fault.as_ref());
    let mut tries = 0;
    loop {
        let page = browser.submit(&form, &[]).await;
        if page.reply.status == 200 {
            break;
        }
        assert_expected_failure(fault.as_ref(), page.reply.status.as_u16());
        tries += 1;
        assert!(tries < 20, "{scenario:?}: {fault:?}: {}", page.text);
        grant.server.advance(Duration::from_secs(20));
    }
    let run = take(grant, PAGES);
    let (state, expected) = match scenario {
        Scenario::Code => ("pending", "authorization_pending"),
        Scenario::Allow => ("approved", ""),
        Scenario::Cancel => ("denied", "access_denied"),
    };
    assert_eq!(grant.state(&device), state, "{fault:?}");
    let reply = grant.poll(&device).await;
    if scenario == Scenario::Allow {
        reply.ok();
    } else {
        assert_error(&reply, 400, expected);
    }
    run
}

async fn pages_survive(scenario: Scenario) {
    for (kinds, times) in [(&FAULT_KINDS[..], 1), (&PERSISTENT, 8)] {
        let grant = server().await;
        let run = async |_, fault| {
            grant.server.advance(Duration::from_hours(1));
            run_pages(&grant, scenario, fault).await
        };
        let summary = fault_at_every_call(PAGES, kinds, times, run).await;
        assert_all_injected(summary.injected, summary.calls.len());
    }
}

#[tokio::test]
async fn oa_120_a_look_up_survives_any_fault() {
    pages_survive(Scenario::Code).await;
}

#[tokio::test]
async fn oa_121_an_approval_survives_any_fault() {
    pages_survive(Scenario::Allow).await;
}

#[tokio::test]
async fn oa_121_a_refusal_survives_any_fault() {
    pages_survive(Scenario::Cancel).await;
}

/// OA-97: the only response to a fault is 503 without a body.
#[tokio::test]
async fn oa_97_a_poll_after_a_fault_is_503_and_has_an_effect_once() {
    for is_approved in [false, true] {
        for (kinds, times) in [(&FAULT_KINDS[..], 1), (&PERSISTENT, 8)] {
            let grant = server().await;
            let run = async |_, fault: Option<Fault>| {
                grant.server.advance(Duration::from_hours(1));
                let device = if is_approved {
                    grant.approved().await
                } else {
                    grant.device().await
                };
                inject(&grant, fault.as_ref());
                let mut reply = grant.poll(&device).await;
                let mut tries = 0;
                while reply.status == 503 {
                    assert!(reply.body.is_empty(), "{fault:?}");
                    assert!(reply.headers.contains_key("retry-after"));
                    tries += 1;
                    assert!(tries < 20, "{fault:?}");
                    reply = grant.poll(&device).await;
                }
                let run = take(&grant, TOKEN);
                check_poll(&grant, is_approved, &reply);
                run
            };
            let summary = fault_at_every_call(TOKEN, kinds, times, run).await;
            assert_all_injected(summary.injected, summary.calls.len());
        }
    }
}

/// A poll whose response was lost inside the function is not a second poll.
#[tokio::test]
async fn oa_115_a_lost_response_of_the_table_slows_nobody_down() {
    let grant = server().await;
    let device = grant.device().await;
    inject(
        &grant,
        Some(&Fault::new(FaultKind::LostAnswer).by(TOKEN).on("UpdateItem")),
    );
    assert_error(&grant.poll(&device).await, 400, "authorization_pending");
    assert!(take(&grant, TOKEN).injected);
    assert_eq!(grant.row(&device)["interval"]["N"], "5000");
}

fn check_poll(grant: &GrantServer, is_approved: bool, reply: &test_support::Reply) {
    if !is_approved {
        let body = reply.json();
        let known = ["authorization_pending", "slow_down"];
        assert!(known.contains(&body["error"].as_str().unwrap()), "{body}");
        return;
    }
    reply.ok();
    let rows = rows_of(&grant.server, "alice");
    let devices = rows.iter().filter(|(key, _)| key.starts_with("DEV#"));
    // The device of the sign-up, and one device for all runs, which have one device ID.
    assert_eq!(devices.count(), 2);
    assert!(oauth_rows(&grant.server).contains(&"DEVICECODE".to_owned()));
}
