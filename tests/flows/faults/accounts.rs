//! One fault at a time, at every call of what changes or ends an account. The client repeats what
//! failed; at every moment the account is as it was or as it is to be, and in the end it is done.

use std::time::Duration;

use gatehouse_local::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::flows::{
    faults::registration::{KINDS, LASTING, each_fault, is_breakage},
    support::{
        account_helpers::{
            ADDRESSES, CHANGE, DELETE_DEVICES, Device, END, OTHER, ask_reset, log_in, password_of,
            rows_of, sign_up_with, try_login, with_auth,
        },
        threepid_helpers::{EMAIL, claims},
    },
};

/// What is disturbed: the last request of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Change,
    Reset,
    End,
    EndWithoutToken,
    DeleteDevices,
}

impl Act {
    fn function(self) -> &'static str {
        match self {
            Self::Change | Self::Reset => "AccountPassword",
            Self::End | Self::EndWithoutToken => "AccountDeactivate",
            Self::DeleteDevices => "DeleteDevices",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Change | Self::Reset => CHANGE,
            Self::End | Self::EndWithoutToken => END,
            Self::DeleteDevices => DELETE_DEVICES,
        }
    }
}

/// Somebody of many in the same house, with an address and two devices.
struct Person<'a> {
    server: &'a TestServer,
    name: String,
    first: Device,
    second: Device,
}

impl<'a> Person<'a> {
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

    /// Everything up to the last request, which this gives, and whose token goes with it.
    async fn prepare(&self, act: Act) -> (Value, Option<&Device>) {
        let body = match act {
            Act::Change | Act::Reset => json!({ "new_password": OTHER }),
            Act::End | Act::EndWithoutToken => json!({}),
            Act::DeleteDevices => json!({ "devices": [self.second.id] }),
        };
        let token = match act {
            Act::Change | Act::End | Act::DeleteDevices => Some(&self.first),
            Act::Reset | Act::EndWithoutToken => None,
        };
        let challenge = self.send(act, token, &body).await.challenge();
        let session = challenge["session"].as_str();
        if act != Act::Reset {
            let auth = password_of(&self.name, PASSWORD, session);
            return (with_auth(body, auth), token);
        }
        let address = format!("{}@example.org", self.name);
        let asked = ask_reset(self.server, EMAIL, &address, "reset").await;
        asked.validate(self.server).await;
        let mut body = asked.attempt(session);
        body["new_password"] = OTHER.into();
        (body, None)
    }

    async fn send(&self, act: Act, token: Option<&Device>, body: &Value) -> Reply {
        match token {
            Some(device) => device.post(self.server, act.path(), body).await,
            None => self.server.post(act.path(), body).await,
        }
    }

    /// Asserts that the account is as it was, or as it is to be, and nothing in between. Says
    /// which.
    async fn is_done(&self, act: Act) -> bool {
        let first = self.first.is_alive(self.server).await;
        let second = self.second.is_alive(self.server).await;
        let old = try_login(self.server, &self.name, PASSWORD).await.status == 200;
        let new = try_login(self.server, &self.name, OTHER).await.status == 200;
        let address = format!("email#{}@example.org", self.name);
        let claimed = claims(self.server).contains_key(&address);
        let found = (first, second, old, new, claimed);
        let before = (true, true, true, false, true);
        let after = match act {
            Act::Change => (true, false, false, true, true),
            Act::Reset => (false, false, false, true, true),
            Act::End | Act::EndWithoutToken => (false, false, false, false, false),
            Act::DeleteDevices => (true, false, true, false, true),
        };
        assert!(found == before || found == after, "{act:?}: {found:?}");
        found == after
    }
}

/// One act on a new person, with a fault in its last request. Gives the calls of that, and what
/// failed on the way.
async fn run(
    server: &TestServer,
    number: usize,
    act: Act,
    fault: Option<Fault>,
) -> (Vec<String>, bool) {
    let person = Person::new(server, number).await;
    let (body, token) = person.prepare(act).await;
    let proxy = server.local.proxy();
    proxy.take_calls();
    let kind = fault.as_ref().map(|fault| fault.kind);
    if let Some(fault) = fault {
        proxy.inject(fault);
    }
    let mut reply = person.send(act, token, &body).await;
    let own = proxy.take_calls().into_iter();
    let calls = own.filter(|call| call.caller == act.function());
    let calls = calls
        .filter(|call| call.tables != ["Limits"])
        .map(|call| call.operation)
        .collect();
    for _ in 0..20 {
        let status = reply.status.as_u16();
        if status != 429 && status < 500 {
            break;
        }
        let excused = status == 429 || (status == 500 && kind.is_some_and(is_breakage));
        assert!(excused, "{act:?}: {kind:?}: {status}");
        person.is_done(act).await;
        reply = person.send(act, token, &body).await;
    }
    let met = proxy.pending_faults() == 0;
    proxy.clear_faults();
    let answer = reply.ok();
    match act {
        // What could not be read may be bound somewhere (DEACT-08).
        Act::End | Act::EndWithoutToken => assert!(answer["id_server_unbind_result"].is_string()),
        Act::Change | Act::Reset | Act::DeleteDevices => assert_eq!(answer, json!({})),
    }
    assert!(person.is_done(act).await, "{act:?}: {kind:?}");
    server.deliver().await;
    if matches!(act, Act::End | Act::EndWithoutToken) {
        let left = rows_of(server, &person.name);
        assert_eq!(left.len(), 1, "{left:?}");
    }
    // One notice of the act, however often the request was sent.
    let to = format!("{}@example.org", person.name);
    let notices = server.messages();
    let own = notices.iter().filter(|message| message.to == to);
    let expected = match act {
        Act::Change | Act::End | Act::EndWithoutToken => 2,
        Act::Reset => 3,
        Act::DeleteDevices => 1,
    };
    assert_eq!(
        own.count(),
        expected,
        "{act:?}: {kind:?}: sign-up, link, notice"
    );
    (calls, met)
}

/// Each call of the act suffers each of these, so many times.
async fn every_call_suffers(act: Act, limits: &str, kinds: &[FaultKind], times: u64) {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", limits)]].concat();
    let server = TestServer::with(&settings).await;
    server.expect_faults();
    let (calls, _) = run(&server, 1, act, None).await;
    let mut met = 0;
    let faults = each_fault(act.function(), &calls, kinds, times);
    for (number, fault) in (2..).zip(faults) {
        server.advance(Duration::from_hours(1));
        met += usize::from(run(&server, number, act, Some(fault)).await.1);
    }
    // One that is not insisted on, what is bound elsewhere, ends before the long ones do.
    assert!(met + 1 >= calls.len(), "{act:?}: met {met} of {calls:?}");
}

/// The longest of them, without limits: what matters is what happens to the account.
const LONG: [FaultKind; 2] = [FaultKind::Conflict, FaultKind::LostAnswer];

/// PWD-07, PWD-08, UIA-15: the password is the old one or the new one.
#[tokio::test]
async fn pwd_08_a_change_survives_any_fault_at_any_call() {
    every_call_suffers(Act::Change, "on", &KINDS, 1).await;
    every_call_suffers(Act::Change, "off", &LONG, 8).await;
}

/// PWD-10, UIA-54
#[tokio::test]
async fn pwd_10_a_reset_survives_any_fault_at_any_call() {
    every_call_suffers(Act::Reset, "off", &LASTING, 1).await;
}

/// DEACT-03, UIA-15: the retry is told what happened, although its token is dead.
#[tokio::test]
async fn deact_03_an_end_survives_any_fault_at_any_call() {
    every_call_suffers(Act::End, "on", &LASTING, 1).await;
    every_call_suffers(Act::End, "off", &LONG, 8).await;
}

#[tokio::test]
async fn deact_05_an_end_without_a_token_survives_any_fault_at_any_call() {
    every_call_suffers(Act::EndWithoutToken, "off", &LASTING, 1).await;
}

#[tokio::test]
async fn dev_03_deleting_devices_survives_any_fault_at_any_call() {
    every_call_suffers(Act::DeleteDevices, "off", &LASTING, 1).await;
}
