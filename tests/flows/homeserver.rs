//! A homeserver that uses the server for all accounts: users and devices there, and what happens while it is down.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod changes;
mod faults;
mod outages;
mod races;
mod sign_up;

use serde_json::Value;
use test_support::{Reply, TestServer};

/// The pending updates in the tables.
fn pending(server: &TestServer) -> usize {
    server.dump().matches("homeserver#").count()
}

/// Asserts a 503 with the time after which the client may try again (HS-13).
#[track_caller]
fn assert_unavailable(reply: &Reply) -> Value {
    let body = reply.error(503, "M_UNKNOWN");
    let seconds = reply.headers.get("retry-after").unwrap();
    let seconds: u64 = seconds.to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds));
    body
}
