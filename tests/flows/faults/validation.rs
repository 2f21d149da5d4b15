//! Faults between the request for a message and the creation of the account with the validated address.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    time::Duration,
};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use http::Request;
use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::{
    faults::{
        FAULT_KINDS, PERSISTENT, Run, assert_expected_failure, calls_by, fault_at_every_call,
    },
    support::{
        assert_complete, count, flows, registration,
        threepid_helpers::{
            EMAIL, MAIL, MSISDN, SMS, ValidationSession, claims, code_to, form_of, link_to,
            mail_to, owned, path_of, request_token, sessions_in, text_to,
        },
        users, whoami, with,
    },
};

/// The request into which the fault is injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// The request for a message.
    Request(&'static str),
    /// The validation with the link or the code.
    Validate(&'static str),
    /// A poll before the validation.
    Poll,
    /// The final request: without a session, in a session, or with the session alone.
    Final(LastRequest),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastRequest {
    OneRequest,
    InSession,
    SessionOnly,
}

impl Scenario {
    fn function(self) -> &'static str {
        match self {
            Self::Request(EMAIL) => "RegisterEmailRequestToken",
            Self::Request(_) => "RegisterMsisdnRequestToken",
            Self::Validate(EMAIL) => "ValidateConfirm",
            Self::Validate(_) => "ValidateSubmitToken",
            Self::Poll | Self::Final(_) => "Register",
        }
    }

    fn stage(self) -> &'static str {
        match self {
            Self::Request(stage) | Self::Validate(stage) => stage,
            Self::Poll | Self::Final(_) => EMAIL,
        }
    }
}

/// One of many sign-ups on the same server, each with its own name, address and network.
struct Client<'a> {
    server: &'a TestServer,
    number: u32,
    scenario: Scenario,
    fault: Option<Fault>,
    failures: RefCell<Vec<u16>>,
    calls: RefCell<Vec<(String, bool)>>,
    injected: Cell<bool>,
}

impl<'a> Client<'a> {
    fn new(server: &'a TestServer, number: u32, scenario: Scenario, fault: Option<Fault>) -> Self {
        Self {
            server,
            number,
            scenario,
            fault,
            failures: RefCell::default(),
            calls: RefCell::default(),
            injected: Cell::default(),
        }
    }

    fn name(&self) -> String {
        format!("user{}", self.number)
    }

    /// Runs `work`, and injects the fault if `disturbed`.
    async fn with_fault<T>(&self, disturbed: bool, work: impl Future<Output = T>) -> T {
        if !disturbed {
            return work.await;
        }
        let proxy = self.server.local.proxy();
        proxy.take_calls();
        if let Some(fault) = &self.fault {
            proxy.inject(fault.clone());
        }
        let value = work.await;
        self.injected.set(proxy.pending_faults() == 0);
        proxy.clear_faults();
        *self.calls.borrow_mut() = calls_by(self.scenario.function(), proxy.take_calls());
        value
    }

    async fn send(&self, path: &str, kind: &str, body: &str) -> Reply {
        let peer = Ipv4Addr::from(0x0a00_0000 + self.number);
        let request = Request::post(path).header("content-type", kind);
        let request = request.body(body.as_bytes().to_vec()).unwrap();
        self.server.send_from(peer.into(), request).await
    }

    /// Repeats a request until its status is neither 429 nor 5xx.
    async fn send_until_answered(&self, path: &str, kind: &str, body: &str) -> Reply {
        for _ in 0..20 {
            let reply = self.send(path, kind, body).await;
            let status = reply.status.as_u16();
            if status != 429 && status < 500 {
                return reply;
            }
            self.failures.borrow_mut().push(status);
        }
        panic!("no final response in twenty tries: {path} {body}");
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        let kind = "application/json";
        self.send_until_answered(path, kind, &body.to_string())
            .await
    }

    async fn register(&self, body: &Value) -> Reply {
        self.post("/_matrix/client/v3/register", body).await
    }

    /// Signs up, with the fault at the request of the scenario.
    async fn sign_up(&self) {
        let scenario = self.scenario;
        let request = self.request(scenario.stage());
        let validation = self
            .with_fault(matches!(scenario, Scenario::Request(_)), request)
            .await;
        let (_, session) = self.server.begin(&registration(&self.name())).await;
        let attempt = validation.attempt(Some(&session));
        let waits = self
            .with_fault(scenario == Scenario::Poll, self.register(&attempt))
            .await;
        waits.refused("M_UNAUTHORIZED");
        self.server.deliver().await;
        let validate = self.validate(&validation);
        self.with_fault(matches!(scenario, Scenario::Validate(_)), validate)
            .await;
        assert_eq!(validation.state(self.server), "validated", "{scenario:?}");
        let last = match scenario {
            Scenario::Final(LastRequest::OneRequest) => {
                with(registration(&self.name()), &validation.attempt(None))
            }
            Scenario::Final(LastRequest::SessionOnly) => json!({ "auth": { "session": session } }),
            _ => attempt,
        };
        let register = self.register(&last);
        let reply = self
            .with_fault(matches!(scenario, Scenario::Final(_)), register)
            .await;
        self.check(&validation, &reply).await;
    }

    async fn request(&self, stage: &'static str) -> ValidationSession {
        let secret = format!("secret-{}", self.number);
        let (address, body) = if stage == EMAIL {
            let address = format!("user{}@example.org", self.number);
            (address.clone(), mail_to(&address, &secret, 1))
        } else {
            let number = format!("07400{:06}", 100_000 + 1000 * self.number);
            let body = text_to(&number, &secret, 1);
            (format!("44{}", &number[1..]), body)
        };
        let path = request_token(PREFIXES[1], stage);
        let answer = self.post(&path, &body).await.ok();
        ValidationSession {
            stage,
            sid: answer["sid"].as_str().unwrap().to_owned(),
            secret,
            address,
            answer,
        }
    }

    async fn validate(&self, validation: &ValidationSession) {
        if validation.stage == EMAIL {
            let link = link_to(self.server, &validation.address);
            // The page is served by another function, so its request gets no fault.
            let (path, form) = form_of(self.server, &link).await;
            let kind = "application/x-www-form-urlencoded";
            let form = format!("{form}&action=confirm");
            let reply = self.send_until_answered(&path, kind, &form).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            return;
        }
        let code = code_to(self.server, &validation.address);
        let body =
            json!({ "sid": validation.sid, "client_secret": validation.secret, "token": code });
        let url = validation.answer["submit_url"].as_str().unwrap();
        self.post(path_of(url), &body).await.ok();
    }

    /// Asserts that there is one message, one spent session and one account with the address.
    async fn check(&self, validation: &ValidationSession, reply: &Reply) {
        let (server, scenario) = (self.server, self.scenario);
        let messages = server.messages();
        let own = messages
            .iter()
            .filter(|message| message.to.trim_start_matches('+') == validation.address);
        assert_eq!(own.count(), 1, "{scenario:?}: messages");
        let row = validation.row(server);
        let one = json!("1");
        assert_eq!((&row["sends"]["N"], &row["attempt"]["N"]), (&one, &one));
        assert_eq!(row["state"]["S"], "spent", "{scenario:?}");
        // Without a session the repeated request cannot be recognised.
        if scenario == Scenario::Final(LastRequest::OneRequest) && reply.status != 200 {
            assert!(!self.failures.borrow().is_empty());
            reply.error(400, "M_USER_IN_USE");
            return;
        }
        let me = whoami(server, &reply.ok()).await;
        assert_eq!(me["user_id"], format!("@{}:localhost", self.name()));
    }
}

/// Runs one sign-up with this fault, or without a fault.
async fn run(server: &TestServer, number: usize, scenario: Scenario, fault: Option<Fault>) -> Run {
    server.advance(Duration::from_mins(1));
    let number = u32::try_from(number).unwrap();
    let client = Client::new(server, number, scenario, fault);
    client.sign_up().await;
    for status in client.failures.take() {
        assert_expected_failure(client.fault.as_ref(), status);
    }
    Run {
        calls: client.calls.take(),
        injected: client.injected.get(),
    }
}

async fn run_with_faults(scenario: Scenario, limits: &str, kinds: &[FaultKind], times: u64) {
    let offered = format!("{EMAIL} {MSISDN}");
    let settings = [flows(&offered), MAIL, SMS, ("GATEHOUSE_LIMITS", limits)];
    let server = TestServer::with(&settings).await;
    server.expect_faults();
    // The first request of a process reads more than the others.
    server.begin(&json!({})).await;
    let run = async |number, fault| run(&server, number, scenario, fault).await;
    let summary = fault_at_every_call(scenario.function(), kinds, times, run).await;
    let (calls, injected) = (summary.calls.len(), summary.injected);
    assert!(
        injected >= calls,
        "{scenario:?}: {injected} faults in {calls} calls"
    );
    let users = users(&server);
    assert_complete(&users);
    let made = summary.runs;
    assert_eq!(users.len(), made);
    assert_eq!((claims(&server).len(), owned(&server).len()), (made, made));
    assert_eq!(
        (sessions_in(&server, "spent"), count(&server, "Outbox")),
        (made, made)
    );
}

async fn run_all_with_faults(scenarios: &[Scenario]) {
    for scenario in scenarios {
        run_with_faults(*scenario, "on", &FAULT_KINDS, 1).await;
        run_with_faults(*scenario, "off", &PERSISTENT, 8).await;
    }
}

const TOKEN_REQUESTS: [Scenario; 3] = [
    Scenario::Request(EMAIL),
    Scenario::Request(MSISDN),
    Scenario::Poll,
];
const VALIDATIONS: [Scenario; 2] = [Scenario::Validate(EMAIL), Scenario::Validate(MSISDN)];
const SIGN_UPS: [Scenario; 3] = [
    Scenario::Final(LastRequest::OneRequest),
    Scenario::Final(LastRequest::InSession),
    Scenario::Final(LastRequest::SessionOnly),
];

/// 3PID-17, 3PID-24: with any fault, the client's repeated request leads to exactly one message.
#[tokio::test]
async fn threepid_17_a_message_request_survives_any_fault_at_any_call() {
    run_all_with_faults(&TOKEN_REQUESTS).await;
}

/// 3PID-41, 3PID-48: the repeated validation succeeds with the same link or code.
#[tokio::test]
async fn threepid_41_a_validation_survives_any_fault_at_any_call() {
    run_all_with_faults(&VALIDATIONS).await;
}

/// UIA-15, UIA-54, REG-27: the account, the address and the spent session are written together or not
/// at all.
#[tokio::test]
async fn uia_54_a_sign_up_with_an_address_survives_any_fault() {
    run_all_with_faults(&SIGN_UPS).await;
}
