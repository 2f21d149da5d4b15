//! The cost of a request that exceeds a rate limit, the cost of the schedule without a due message, and the size of
//! log lines. docs/costs.md uses these values.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::FaultKind;
use serde_json::json;
use test_support::{Log, TestServer};

use crate::{
    contract::files,
    flows::{
        cost::{ADDED_LATENCY, CostTable, summarize},
        support::{
            registration,
            threepid_helpers::{ALICE, MAIL, request_mail},
            with,
        },
    },
};

/// The cost of `work`. DynamoDB charges a write unit for a write whose condition fails, but does not report it.
async fn charged<T>(server: &TestServer, work: impl Future<Output = T>) -> (T, String) {
    let proxy = server.local.proxy();
    proxy.random_faults(1, 1000, &[FaultKind::Delay(ADDED_LATENCY)]);
    let (value, mut calls) = server.calls_of(work).await;
    proxy.clear_faults();
    for call in &mut calls {
        if call.operation == "UpdateItem" && call.write_units < 1.0 {
            call.write_units = 1.0;
        }
    }
    (value, summarize(&calls))
}

#[tokio::test]
async fn refusals_and_idle_runs_have_their_known_cost() {
    let limited = ("GATEHOUSE_LIMITS", "on");
    let dummy = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.dummy");
    let server = TestServer::with(&[limited, dummy, MAIL]).await;
    server.sign_up("alice").await;
    let mut costs = CostTable::default();
    // A body without a password, because the check of a password is slow.
    let mut accepted = 0;
    while server.register(&json!({})).await.status != 429 {
        accepted += 1;
        assert!(accepted <= 240, "no limit was reached");
    }
    let (reply, cost) = charged(&server, server.register(&registration("bob"))).await;
    assert_eq!(reply.status, 429);
    costs.0.push(("over the limit", cost));
    server.advance(Duration::from_hours(72));
    let ((), cost) = charged(&server, server.run_schedule()).await;
    costs.0.push(("schedule, nothing due", cost));
    costs.assert(REFUSALS);
}

const REFUSALS: &str = "
    over the limit: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 1r 3w
    schedule, nothing due: Query Outbox = 0.5r 0w
";

/// The estimate of docs/costs.yaml for a log line, and the number of lines of a sign-up by e-mail: one for each
/// request, and one for the delivery.
#[tokio::test]
async fn a_sign_up_writes_the_log_lines_that_its_cost_includes() {
    let (log, _guard) = Log::capture();
    let by_mail = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.email.identity");
    let server = TestServer::with(&[by_mail, MAIL]).await;
    let before = log.request_lines().len();
    let (_, session) = server.begin(&registration("alice")).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    server.deliver().await;
    let attempt = validation.attempt(Some(&session));
    for _ in 0..10 {
        assert_eq!(server.register(&attempt).await.status, 401);
    }
    // Opens the page and submits its form.
    validation.validate(&server).await;
    let last = with(registration("alice"), &attempt);
    assert_eq!(server.register(&last).await.status, 200);
    let lines = &log.request_lines()[before..];
    assert_eq!(lines.len(), 16);
    let bytes: usize = lines.iter().map(|line| line.to_string().len()).sum();
    let data: serde_json::Value = serde_yaml_ng::from_str(&files::read("docs/costs.yaml")).unwrap();
    let estimate = data["estimates"]["line_bytes"].as_f64().unwrap();
    let average = f64::from(u32::try_from(bytes).unwrap()) / 16.0;
    assert!(average < estimate, "{average} bytes a line");
    assert!(average > estimate / 2.0, "{average} bytes a line");
    assert_eq!(lines[0]["http.status"], json!(401));
}
