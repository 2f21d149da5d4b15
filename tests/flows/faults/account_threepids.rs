//! Faults while an account's addresses are listed, added and removed. At every moment all rows
//! agree about the owner of the address, and the owner is notified once.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use crate::{
    api::{
        account_threepids::{
            ADD, DELETE, LIST, add_threepid, list, user_token, validated_credentials, with_password,
        },
        rows::threepid_owners,
        support::{post_as, text},
        threepids::state,
    },
    flows::{
        account_threepids::test_server,
        faults::{
            FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_outside_limits,
            fault_at_every_call,
        },
        support::with,
    },
};

/// An operation; the fault is injected into its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    List,
    /// An addition with the deprecated request.
    Add,
    /// An addition with a password, in one request.
    AddAtOnce,
    /// An addition with a password, in a session that stores the other parameters.
    AddInSession,
    Remove,
}

impl Scenario {
    fn function(self) -> &'static str {
        match self {
            Self::List | Self::Add => "Account3pid",
            Self::AddAtOnce | Self::AddInSession => "Account3pidAdd",
            Self::Remove => "Account3pidDelete",
        }
    }
}

/// One of many accounts on the same server, with one address and another that is added or removed.
struct Account<'a> {
    server: &'a TestServer,
    name: String,
    token: String,
    first: String,
    second: String,
    creds: Option<Value>,
}

impl<'a> Account<'a> {
    async fn new(server: &'a TestServer, number: usize) -> Self {
        let name = format!("user{number}");
        let token = user_token(server, &name).await;
        let first = format!("{name}@example.org");
        add_threepid(server, &token, &first).await;
        Self {
            server,
            token,
            second: format!("{name}@example.com"),
            first,
            name,
            creds: None,
        }
    }

    /// Sends everything before the last request and returns the last request.
    async fn prepare(&mut self, scenario: Scenario) -> (&'static str, Value) {
        if scenario == Scenario::Remove {
            add_threepid(self.server, &self.token, &self.second).await;
            let body = json!({ "medium": "email", "address": self.second });
            return (DELETE, body);
        }
        if scenario == Scenario::List {
            return (LIST, Value::Null);
        }
        let creds = validated_credentials(self.server, &self.second, &self.name).await;
        self.creds = Some(creds.clone());
        let whole = with_password(&self.name, &creds);
        match scenario {
            Scenario::Add => (LIST, json!({ "three_pid_creds": creds })),
            Scenario::AddAtOnce => (ADD, whole),
            _ => {
                let challenge = post_as(self.server, &self.token, ADD, &creds).await;
                let session = json!({ "session": challenge.challenge()["session"] });
                (
                    ADD,
                    json!({ "auth": with(whole["auth"].clone(), &session) }),
                )
            }
        }
    }

    async fn send(&self, (path, body): &(&'static str, Value)) -> Reply {
        if body.is_null() {
            self.server.get_as(&self.token, path).await
        } else {
            post_as(self.server, &self.token, path, body).await
        }
    }

    /// Whether the second address belongs to the account. Panics if the rows disagree.
    fn is_whole(&self) -> bool {
        let owner = threepid_owners(self.server).get(&self.second).cloned();
        if let Some(creds) = &self.creds {
            let spent = state(self.server, text(creds, "sid")) == "spent";
            assert_eq!(spent, owner.is_some());
        }
        assert!(owner.as_ref().is_none_or(|owner| *owner == self.name));
        owner.is_some()
    }

    /// Like `is_whole`, and asserts that the list for the account owner agrees with the rows.
    async fn has_both(&self) -> bool {
        let listed = list(self.server, &self.token).await;
        assert!(listed.contains(&self.first));
        assert_eq!(self.is_whole(), listed.contains(&self.second));
        listed.contains(&self.second)
    }

    /// The number of e-mails to the first address whose subject contains `what`.
    fn mails_about(&self, what: &str) -> usize {
        let messages = self.server.messages();
        let own = messages.iter().filter(|message| message.to == self.first);
        own.filter(|message| {
            message
                .subject
                .as_deref()
                .unwrap_or_default()
                .contains(what)
        })
        .count()
    }
}

/// Runs one scenario on a new account, with a fault in its last request.
async fn run(server: &TestServer, number: usize, scenario: Scenario, fault: Option<Fault>) -> Run {
    let mut account = Account::new(server, number).await;
    let last = account.prepare(scenario).await;
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut reply = account.send(&last).await;
    let calls = calls_outside_limits(scenario.function(), proxy.take_calls());
    for _ in 0..20 {
        let status = reply.status.as_u16();
        if status != 429 && status < 500 {
            break;
        }
        assert_expected_failure(fault.as_ref(), status);
        account.is_whole();
        reply = account.send(&last).await;
    }
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    reply.ok();
    let expected = matches!(
        scenario,
        Scenario::Add | Scenario::AddAtOnce | Scenario::AddInSession
    );
    assert_eq!(
        account.has_both().await,
        expected,
        "{scenario:?}: {fault:?}"
    );
    server.deliver().await;
    let mails_about = (account.mails_about("added"), account.mails_about("removed"));
    let expected = match scenario {
        Scenario::List => (1, 0),
        Scenario::Add | Scenario::AddAtOnce | Scenario::AddInSession => (2, 0),
        Scenario::Remove => (2, 1),
    };
    assert_eq!(mails_about, expected, "{scenario:?}: {fault:?}");
    Run { calls, injected }
}

async fn run_with_faults(scenario: Scenario, limits: &str, kinds: &[FaultKind], times: u64) {
    let server = test_server(&[("GATEHOUSE_LIMITS", limits)]).await;
    server.expect_faults();
    let run = async |number, fault| {
        server.advance(Duration::from_hours(1));
        run(&server, number, scenario, fault).await
    };
    let summary = fault_at_every_call(scenario.function(), kinds, times, run).await;
    let (calls, injected) = (summary.calls, summary.injected);
    assert!(
        injected >= calls.len(),
        "{scenario:?}: {injected} faults in {calls:?}"
    );
}

#[tokio::test]
async fn acc3_01_a_list_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::List, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::List, "off", &PERSISTENT, 8).await;
}

/// 3PID-68, UIA-54: the address is added and the session is spent, or neither.
#[tokio::test]
async fn acc3_02_an_addition_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::Add, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Add, "off", &PERSISTENT, 8).await;
}

/// UIA-11
#[tokio::test]
async fn acc3_03_an_addition_with_uia_survives_any_fault() {
    run_with_faults(Scenario::AddAtOnce, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::AddAtOnce, "off", &PERSISTENT, 8).await;
}

#[tokio::test]
async fn uia_15_an_addition_in_a_session_survives_any_fault() {
    run_with_faults(Scenario::AddInSession, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::AddInSession, "off", &PERSISTENT, 8).await;
}

#[tokio::test]
async fn acc3_05_a_removal_survives_any_fault_at_any_call() {
    run_with_faults(Scenario::Remove, "on", &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Remove, "off", &PERSISTENT, 8).await;
}
