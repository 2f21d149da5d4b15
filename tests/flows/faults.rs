//! Tests with one fault at a time, at each DynamoDB call of an operation. The client repeats a request
//! that failed. In the end the operation has taken effect once and completely.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod account_pages;
mod account_threepids;
mod accounts;
mod device_grant;
mod oauth_clients;
mod oauth_pages;
mod oauth_tokens;
mod registration;
mod validation;

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Call, Fault, FaultKind};

const FAULT_KINDS: [FaultKind; 9] = [
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::ThrottledItem,
    FaultKind::Unprocessed,
    FaultKind::HalfUnprocessed,
    FaultKind::Delay(Duration::from_millis(30)),
    FaultKind::ConnectionReset,
    FaultKind::LostAnswer,
    FaultKind::InternalError,
];

/// The kinds that make a request fail if they last longer than all retries.
const PERSISTENT: [FaultKind; 4] = [
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::ConnectionReset,
    FaultKind::LostAnswer,
];

/// One run of an operation.
struct Run {
    /// The calls into which later runs inject faults: their operations, and whether they are on the table
    /// of rate limits.
    calls: Vec<(String, bool)>,
    /// Whether the fault of this run has occurred.
    injected: bool,
}

/// The result of all runs of an operation.
struct Summary {
    /// The calls of the run without a fault.
    calls: Vec<(String, bool)>,
    /// The number of runs, and of faults that have occurred.
    runs: usize,
    injected: usize,
}

/// The calls of one function, with whether they are on the table of rate limits.
fn calls_by(function: &str, calls: Vec<Call>) -> Vec<(String, bool)> {
    let own = calls.into_iter().filter(|call| call.caller == function);
    own.map(|call| (call.operation, call.tables == ["Limits"]))
        .collect()
}

/// Like [`calls_by`], without the calls on the table of rate limits.
fn calls_outside_limits(function: &str, calls: Vec<Call>) -> Vec<(String, bool)> {
    let mut calls = calls_by(function, calls);
    calls.retain(|(_, of_limits)| !of_limits);
    calls
}

/// Runs an operation once without a fault and then once for each kind of fault at each of its calls.
/// `run` gets the number of the run, from 1 on, and the fault that it has to inject. Each fault occurs
/// `times` times in a row. Calls of rate limits fail only with the [`PERSISTENT`] kinds.
async fn fault_at_every_call(
    function: &str,
    kinds: &[FaultKind],
    times: u64,
    mut run: impl AsyncFnMut(usize, Option<Fault>) -> Run,
) -> Summary {
    let calls = run(1, None).await.calls;
    let (mut runs, mut injected) = (1, 0);
    for (index, (operation, of_limits)) in calls.iter().enumerate() {
        let same = calls[..=index].iter().filter(|call| call.0 == *operation);
        let nth = u64::try_from(same.count()).unwrap();
        for kind in if *of_limits { &PERSISTENT } else { kinds } {
            runs += 1;
            let fault = Fault::new(*kind).by(function).on(operation);
            let run = run(runs, Some(fault.nth(nth).times(times))).await;
            injected += usize::from(run.injected);
        }
    }
    Summary {
        calls,
        runs,
        injected,
    }
}

/// Asserts that this kind of fault may lead to this status. The faults that remain after the SDK's own
/// four attempts are either contention, which is a 429, or a failure of the service, which is a 500.
#[track_caller]
fn assert_expected_failure(fault: Option<&Fault>, status: u16) {
    let is_server_error = fault.is_some_and(|fault| {
        matches!(
            fault.kind,
            FaultKind::ConnectionReset | FaultKind::LostAnswer | FaultKind::InternalError
        )
    });
    let is_expected = status == 429 || (status == 500 && is_server_error);
    assert!(is_expected, "{status} after {fault:?}");
}
