//! Concurrent requests. The embedded DynamoDB serialises calls, so these tests find errors in the order
//! of reads and writes; `random_faults` adds conflicts and faults.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod account_pages;
mod account_threepids;
mod concurrent_duplicates;
mod device_grant;
mod limits;
mod logins;
mod oauth_pages;
mod oauth_tokens;
mod refreshes;
mod registration;
mod validation;

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::Value;
use test_support::{Reply, TestServer};
use tokio::task::JoinHandle;

/// Delays the next call of this operation by this function, so that another request can overtake it.
pub(crate) fn delayed(function: &str, operation: &str) -> Fault {
    let delay = FaultKind::Delay(Duration::from_millis(800));
    Fault::new(delay).by(function).on(operation)
}

/// Starts `work` and returns as soon as `fault` delays its call.
pub(crate) async fn start_delayed<T: Send + 'static>(
    server: &TestServer,
    fault: Fault,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let proxy = server.local.proxy();
    proxy.inject(fault);
    let work = tokio::spawn(work);
    while proxy.pending_faults() > 0 {
        assert!(!work.is_finished(), "no call matches the fault");
        tokio::task::yield_now().await;
    }
    work
}

/// Returns the result of a delayed request. Asserts that it has not ended yet, so that the other request
/// has overtaken it.
pub(crate) async fn finish_overtaken<T>(work: JoinHandle<T>) -> T {
    assert!(!work.is_finished(), "the delayed request was not overtaken");
    work.await.unwrap()
}

/// Sends the same final registration request twice. The second request is sent and gets its response while
/// the first is delayed in its `nth` call of `operation`. Returns the response to the delayed request, then
/// the other response.
pub(crate) async fn send_overtaken(
    server: &Arc<TestServer>,
    (operation, nth): (&str, u64),
    last: &Value,
) -> (Reply, Reply) {
    let fault = delayed("Register", operation).nth(nth);
    let (own, body) = (Arc::clone(server), last.clone());
    let slow = start_delayed(server, fault, async move { own.register(&body).await }).await;
    let quick = server.register(last).await;
    (finish_overtaken(slow).await, quick)
}

/// Repeats a request, as a client does, until its status is neither 429 nor 5xx.
pub(crate) async fn send_until_answered(send: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..30 {
        let reply = send().await;
        if reply.status != 429 && !reply.status.is_server_error() {
            return reply;
        }
    }
    panic!("no final response after thirty attempts");
}
