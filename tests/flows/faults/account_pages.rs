//! Faults during a login and the changes on the account pages. The user sends the same form again, and logs in again if the
//! first attempt has ended the session.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use test_support::{PASSWORD, TestServer};

use crate::flows::{
    faults::{
        FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_by, fault_at_every_call,
    },
    support::{
        account_helpers::{ADDRESSES, Device, OTHER_PASSWORD, sign_up, sign_up_with, try_login},
        oauth_pages::{Browser, Form, OAUTH, action, device_action},
        threepid_helpers::{EMAIL, claims, confirm, link_to},
    },
};

const FUNCTION: &str = "Account";

/// The form into which the fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    LogIn,
    LogOut,
    Rename,
    SignOut,
    Password,
    RemoveAddress,
    SendMail,
    AddAddress,
    Deactivate,
}

/// A browser of the user, the form and its values.
async fn prepare<'a>(
    server: &'a TestServer,
    scenario: Scenario,
    (user, device): (&str, &Device),
) -> (Browser<'a>, Form) {
    let mut browser = Browser::new(server);
    if scenario == Scenario::LogIn {
        let form = browser.get("/account").await.form("/login");
        let values = [("user", user), ("password", PASSWORD)];
        return (browser, form.with(&values));
    }
    let (path, form) = match scenario {
        Scenario::LogIn | Scenario::LogOut => ("/account".to_owned(), "/logout"),
        Scenario::Rename => (device_action("device_view", &device.id), "/rename"),
        Scenario::SignOut => (device_action("device_delete", &device.id), "/sign-out"),
        Scenario::Password => ("/account?action=password".to_owned(), "/password"),
        Scenario::RemoveAddress => (action("profile"), "/remove"),
        Scenario::SendMail | Scenario::AddAddress => (action("profile"), "/email"),
        Scenario::Deactivate => (action("account_deactivate"), "/deactivate"),
    };
    let page = browser.log_in_at(&path, user, PASSWORD).await.expect(200);
    let address = format!("new-{user}@example.org");
    let values = [
        ("email", address.as_str()),
        ("name", "renamed"),
        ("password", OTHER_PASSWORD),
        ("password_again", OTHER_PASSWORD),
    ];
    let mut form = page.form(form).with(&values);
    if scenario == Scenario::AddAddress {
        form = browser.submit(&form, &[]).await.form("/account/add");
        server.deliver().await;
        confirm(server, &link_to(server, &address)).await;
    }
    (browser, form)
}

/// Asserts that the change has taken effect completely.
async fn assert_done(server: &TestServer, scenario: Scenario, user: &str, device: &Device) {
    match scenario {
        Scenario::LogIn | Scenario::LogOut => {}
        Scenario::Rename => {
            let path = format!("/_matrix/client/v3/devices/{}", device.id);
            let found = server.get_as(&device.token, &path).await.ok();
            assert_eq!(found["display_name"], "renamed");
        }
        Scenario::SignOut => assert!(!device.is_valid(server).await),
        Scenario::Password => {
            assert!(!device.is_valid(server).await);
            try_login(server, user, OTHER_PASSWORD).await.ok();
        }
        Scenario::RemoveAddress => {
            assert!(!claims(server).values().any(|owner| owner.contains(user)));
        }
        Scenario::SendMail => {
            server.deliver().await;
            link_to(server, &format!("new-{user}@example.org"));
        }
        Scenario::AddAddress => {
            assert!(claims(server).values().any(|owner| owner.contains(user)));
        }
        Scenario::Deactivate => {
            assert!(!device.is_valid(server).await);
            let reply = try_login(server, user, PASSWORD).await;
            reply.error(403, "M_FORBIDDEN");
        }
    }
}

async fn run(server: &TestServer, scenario: Scenario, number: usize, fault: Option<Fault>) -> Run {
    let user = format!("user{number}x");
    let device = if scenario == Scenario::RemoveAddress {
        let address = format!("{user}@example.org");
        sign_up_with(server, &user, EMAIL, &address).await
    } else {
        sign_up(server, &user).await
    };
    let (mut browser, form) = prepare(server, scenario, (&user, &device)).await;
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut page = browser.post(&form.action, &form.fields, &[]).await;
    let calls = calls_by(FUNCTION, proxy.take_calls());
    let mut tries = 0;
    while ![200, 303].contains(&page.reply.status.as_u16()) {
        assert_expected_failure(fault.as_ref(), page.reply.status.as_u16());
        tries += 1;
        assert!(tries < 6, "{scenario:?}: {fault:?}: {}", page.text);
        page = browser.post(&form.action, &form.fields, &[]).await;
    }
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    assert_done(server, scenario, &user, &device).await;
    match scenario {
        Scenario::LogIn => {
            browser.get("/account").await.form("/logout");
        }
        Scenario::LogOut => {
            browser.get("/account").await.form("/login");
        }
        _ => {}
    }
    Run { calls, injected }
}

async fn run_with_faults(scenario: Scenario, kinds: &[FaultKind], times: u64) {
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    server.expect_faults();
    let run = async |number, fault| {
        server.advance(Duration::from_hours(1));
        run(&server, scenario, number, fault).await
    };
    let summary = fault_at_every_call(FUNCTION, kinds, times, run).await;
    let (calls, injected) = (&summary.calls, summary.injected);
    assert!(
        injected >= calls.len(),
        "{scenario:?}: {injected} in {calls:?}"
    );
}

#[tokio::test]
async fn oa_58_a_login_on_the_account_page_survives_faults() {
    run_with_faults(Scenario::LogIn, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::LogOut, &FAULT_KINDS, 1).await;
}

#[tokio::test]
async fn oa_129_changes_of_a_device_survive_any_fault() {
    for scenario in [Scenario::Rename, Scenario::SignOut] {
        run_with_faults(scenario, &FAULT_KINDS, 1).await;
        run_with_faults(scenario, &PERSISTENT, 8).await;
    }
}

#[tokio::test]
async fn oa_129_a_new_password_survives_any_fault() {
    run_with_faults(Scenario::Password, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Password, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_129_a_removal_of_an_address_survives_any_fault() {
    run_with_faults(Scenario::RemoveAddress, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::RemoveAddress, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_129_a_new_address_survives_any_fault() {
    for scenario in [Scenario::SendMail, Scenario::AddAddress] {
        run_with_faults(scenario, &FAULT_KINDS, 1).await;
    }
    run_with_faults(Scenario::AddAddress, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_129_a_deactivation_survives_any_fault() {
    run_with_faults(Scenario::Deactivate, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Deactivate, &PERSISTENT, 8).await;
}
