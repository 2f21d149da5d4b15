//! A homeserver that uses the server for all accounts: its users and devices, faults, and outages.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod changes;
mod device_grant;
mod faults;
mod oauth_tokens;
mod outages;
mod overlaps;
mod races;
mod sign_up;

use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use crate::api::support::homeserver::set_homeserver_state;

/// The pending updates in the tables.
pub(crate) fn pending(server: &TestServer) -> usize {
    server.dump().matches("homeserver#").count()
}

/// Writes the rows that remain after a process has ended during the creation of the user at the homeserver.
pub(crate) fn interrupt(server: &TestServer, name: &str) {
    set_homeserver_state(server, name, "provisioning");
    let row = json!({
        "pk": { "S": format!("homeserver#{name}") },
        "schema": { "N": "1" },
        "content": { "S": "homeserver" },
        "status": { "S": "queued" },
        "attempts": { "N": "1" },
        "created": { "N": "1" },
        "due": { "S": "homeserver" },
        "due_at": { "N": "1" },
    });
    let put = json!({ "TableName": "gatehouse-outbox", "Item": row });
    server.raw_dynamodb("PutItem", &put);
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
