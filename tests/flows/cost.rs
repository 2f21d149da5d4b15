//! The cost of each operation: DynamoDB calls, sequential round trips and capacity units. A change that
//! makes an operation more expensive fails here and must be justified.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod account_pages;
mod account_threepids;
mod accounts;
mod device_grant;
mod devices;
mod homeserver;
mod homeserver_updates;
mod messages;
mod oauth_clients;
mod oauth_pages;
mod oauth_tokens;
mod refusals;
mod registration;
mod validation;

use std::{fmt::Write, time::Duration};

use gatehouse_local::dynamodb::proxy::{Call, FaultKind};
use serde_json::Value;
use test_support::{Reply, TestServer};

/// The delay of every call while costs are measured. It is longer than the time between the arrivals of
/// calls that are sent together.
const ADDED_LATENCY: Duration = Duration::from_millis(150);

/// Operations with their costs, in the order of measurement.
#[derive(Debug, Default)]
pub(crate) struct CostTable(Vec<(&'static str, String)>);

impl CostTable {
    /// Runs `work` and adds a row with its cost.
    pub(crate) async fn measure<T>(
        &mut self,
        operation: &'static str,
        server: &TestServer,
        work: impl Future<Output = T>,
    ) -> T {
        let (value, cost) = measure(server, work).await;
        self.0.push((operation, cost));
        value
    }

    /// Sends a registration, which must have this status, and adds a row with its cost.
    async fn register(
        &mut self,
        operation: &'static str,
        server: &TestServer,
        body: &Value,
        status: u16,
    ) {
        let work = server.register(body);
        self.expect(operation, server, work, status).await;
    }

    /// Sends a request, which must have this status, and adds a row with its cost.
    async fn expect(
        &mut self,
        operation: &'static str,
        server: &TestServer,
        work: impl Future<Output = Reply>,
        status: u16,
    ) {
        let reply = self.measure(operation, server, work).await;
        assert_eq!(reply.status, status, "{operation}: {}", reply.text());
    }

    fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Asserts that the table consists of these lines, each of the form `operation: cost`.
    #[track_caller]
    pub(crate) fn assert(&self, expected: &str) {
        let rows = self.0.iter();
        let rows: Vec<_> = rows.map(|(name, cost)| format!("{name}: {cost}")).collect();
        let expected: Vec<_> = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert!(
            rows == expected,
            "the costs are\n{}\nand should be\n{}",
            rows.join("\n"),
            expected.join("\n")
        );
    }
}

/// Runs `work` and returns its cost. Every call is delayed, so calls that overlap were sent together.
async fn measure<T>(server: &TestServer, work: impl Future<Output = T>) -> (T, String) {
    let proxy = server.local.proxy();
    proxy.random_faults(1, 1000, &[FaultKind::Delay(ADDED_LATENCY)]);
    let (value, calls) = server.calls_of(work).await;
    proxy.clear_faults();
    (value, summarize(&calls))
}

/// Returns the calls and the capacity units that the calls consumed. `+` joins the calls of one round
/// trip, and `>` separates round trips.
fn summarize(calls: &[Call]) -> String {
    if calls.is_empty() {
        return "nothing".to_owned();
    }
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.at);
    let mut round_trips: Vec<Vec<&Call>> = Vec::new();
    for call in &calls {
        let together = round_trips
            .last()
            .is_some_and(|trip| trip.iter().all(|other| call.at < other.at + other.duration));
        if !together {
            round_trips.push(Vec::new());
        }
        round_trips.last_mut().unwrap().push(call);
    }
    let mut summary = String::new();
    for (number, trip) in round_trips.iter().enumerate() {
        let mut names: Vec<String> = trip
            .iter()
            .map(|call| format!("{} {}", call.operation, call.tables.join("&")))
            .collect();
        names.sort();
        let separator = if number == 0 { "" } else { " > " };
        write!(summary, "{separator}{}", names.join(" + ")).unwrap();
    }
    let read: f64 = calls.iter().map(|call| call.read_units).sum();
    let write: f64 = calls.iter().map(|call| call.write_units).sum();
    // Adding zero turns -0 into 0.
    write!(summary, " = {}r {}w", read + 0.0, write + 0.0).unwrap();
    summary
}
