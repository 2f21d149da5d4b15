//! Faults while an account is changed or deactivated. At every moment the account is in its state
//! before or after the operation.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::flows::{
    faults::{
        FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_outside_limits,
        fault_at_every_call,
    },
    support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, OTHER_PASSWORD, PASSWORD_PATH,
            log_in, password_of, request_reset_token, rows_of, sign_up_with, try_login, with_auth,
        },
        threepid_helpers::{EMAIL, claims},
    },
};

/// An operation; the fault is injected into its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Change,
    Reset,
    End,
    EndWithoutToken,
    DeleteDevices,
}

impl Scenario {
    fn function(self) -> &'static str {
        match self {
            Self::Change | Self::Reset => "AccountPassword",
            Self::End | Self::EndWithoutToken => "AccountDeactivate",
            Self::DeleteDevices => "DeleteDevices",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Change | Self::Reset => PASSWORD_PATH,
            Self::End | Self::EndWithoutToken => DEACTIVATE_PATH,
            Self::DeleteDevices => DELETE_DEVICES_PATH,
        }
    }
}

/// One of many accounts on the same server, with an address and two devices.
struct Account<'a> {
    server: &'a TestServer,
    name: String,
    first: Device,
    second: Device,
}

impl<'a> Account<'a> {
    async fn new(server: &'a TestServer, number: usize) -> Self {
        let name = format!("user{number}");
        let first = sign_up_with(server, &name, EMAIL, &format!("{name}@example.org")).await;
        let second = log_in(server, &name, PASSWORD).await;
        server.deliver().await;
        Self {
            server,
            name,
            first,
            second,
        }
    }

    /// Sends everything before the last request. Returns the last request and the device whose
    /// token it has.
    async fn prepare(&self, scenario: Scenario) -> (Value, Option<&Device>) {
        let body = match scenario {
            Scenario::Change | Scenario::Reset => json!({ "new_password": OTHER_PASSWORD }),
            Scenario::End | Scenario::EndWithoutToken => json!({}),
            Scenario::DeleteDevices => json!({ "devices": [self.second.id] }),
        };
        let token = match scenario {
            Scenario::Change | Scenario::End | Scenario::DeleteDevices => Some(&self.first),
            Scenario::Reset | Scenario::EndWithoutToken => None,
        };
        let challenge = self.send(scenario, token, &body).await.challenge();
        let session = challenge["session"].as_str();
        if scenario != Scenario::Reset {
            let auth = password_of(&self.name, PASSWORD, session);
            return (with_auth(body, auth), token);
        }
        let address = format!("{}@example.org", self.name);
        let validation = request_reset_token(self.server, EMAIL, &address, "reset").await;
        validation.validate(self.server).await;
        let mut body = validation.attempt(session);
        body["new_password"] = OTHER_PASSWORD.into();
        (body, None)
    }

    async fn send(&self, scenario: Scenario, token: Option<&Device>, body: &Value) -> Reply {
        match token {
            Some(device) => device.post(self.server, scenario.path(), body).await,
            None => self.server.post(scenario.path(), body).await,
        }
    }

    /// Asserts that the account is in its state before or after the operation. Returns whether it
    /// is the latter.
    async fn is_done(&self, scenario: Scenario) -> bool {
        let first = self.first.is_valid(self.server).await;
        let second = self.second.is_valid(self.server).await;
        let old = try_login(self.server, &self.name, PASSWORD).await.status == 200;
        let new = try_login(self.server, &self.name, OTHER_PASSWORD)
            .await
            .status
            == 200;
        let address = format!("email#{}@example.org", self.name);
        let claimed = claims(self.server).contains_key(&address);
        let found = (first, second, old, new, claimed);
        let before = (true, true, true, false, true);
        let after = match scenario {
            Scenario::Change => (true, false, false, true, true),
            Scenario::Reset => (false, false, false, true, true),
            Scenario::End | Scenario::EndWithoutToken => (false, false, false, false, false),
            Scenario::DeleteDevices => (true, false, true, false, true),
        };
        assert!(found == before || found == after, "{scenario:?}: {found:?}");
        found == after
    }
}

/// Runs one scenario on a new account, with a fault in its last request.
async fn run(server: &TestServer, number: usize, scenario: Scenario, fault: Option<Fault>) -> Run {
    let account = Account::new(server, number).await;
    let (body, token) = account.prepare(scenario).await;
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut reply = account.send(scenario, token, &body).await;
    let calls = calls_outside_limits(scenario.function(), proxy.take_calls());
    for _ in 0..20 {
        let status = reply.status.as_u16();
        if status != 429 && status < 500 {
            break;
        }
        assert_expected_failure(fault.as_ref(), status);
        account.is_done(scenario).await;
        reply = account.send(scenario, token, &body).await;
    }
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    let answer = reply.ok();
    match scenario {
        // Addresses whose bindings could not be read may still be bound (DEACT-08).
        Scenario::End | Scenario::EndWithoutToken => {
            assert!(answer["id_server_unbind_result"].is_string());
        }
        Scenario::Change | Scenario::Reset | Scenario::DeleteDevices => {
            assert_eq!(answer, json!({}));
        }
    }
    assert!(account.is_done(scenario).await, "{scenario:?}: {fault:?}");
    server.deliver().await;
    if matches!(scenario, Scenario::End | Scenario::EndWithoutToken) {
        let left = rows_of(server, &account.name);
        assert_eq!(left.len(), 1, "{left:?}");
    }
    // One notification is sent, independent of the number of requests.
    let to = format!("{}@example.org", account.name);
    let notices = server.messages();
    let own = notices.iter().filter(|message| message.to == to);
    let expected = match scenario {
        Scenario::Change | Scenario::End | Scenario::EndWithoutToken => 2,
        Scenario::Reset => 3,
        Scenario::DeleteDevices => 1,
    };
    assert_eq!(
        own.count(),
        expected,
        "{scenario:?}: {fault:?}: sign-up, link, notice"
    );
    Run { calls, injected }
}

async fn run_with_faults(scenario: Scenario, limits: &str, kinds: &[FaultKind], times: u64) {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", limits)]].concat();
    let server = TestServer::with(&settings).await;
    server.expect_faults();
    let run = async |number, fault| {
        server.advance(Duration::from_hours(1));
        run(&server, number, scenario, fault).await
    };
    let summary = fault_at_every_call(scenario.function(), kinds, times, run).await;
    // The longest faults outlast the retries of unbinding, so one fault may not occur completely.
    let (calls, injected) = (summary.calls, summary.injected);
    assert!(
        injected + 1 >= calls.len(),
        "{scenario:?}: {injected} faults in {calls:?}"
    );
}

/// The kinds of faults that outlast the retries. They are few because these runs are slow. Rate limits
/// are off because only the state of the account is tested.
const SLOW_KINDS: [FaultKind; 2] = [FaultKind::Conflict, FaultKind::LostAnswer];

/// PWD-07, PWD-08, UIA-15: the password is the old one or the new one.
#[tokio::test]
async fn pwd_08_a_change_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::Change, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Change, "off", &SLOW_KINDS, 8).await;
}

/// PWD-10, UIA-54
#[tokio::test]
async fn pwd_10_a_reset_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::Reset, "off", &PERSISTENT, 1).await;
}

/// DEACT-03, UIA-15: the repeated request gets the same response, although its token has become
/// invalid.
#[tokio::test]
async fn deact_03_a_deactivation_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::End, "on", &PERSISTENT, 1).await;
    run_with_faults(Scenario::End, "off", &SLOW_KINDS, 8).await;
}

#[tokio::test]
async fn deact_05_deactivation_without_a_token_survives_any_fault() {
    run_with_faults(Scenario::EndWithoutToken, "off", &PERSISTENT, 1).await;
}

#[tokio::test]
async fn dev_03_deleting_devices_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::DeleteDevices, "off", &PERSISTENT, 1).await;
}
