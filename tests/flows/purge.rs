//! Purges: the removal of the rows of logged-out devices and of deactivated accounts.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use deliver::Deliver;
use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use shared::{
    app::App,
    clock::{Clock, Timestamp},
    lambda::Worker,
    rng::SystemRng,
};
use test_support::{NOW, PASSWORD, TestServer};

use crate::{
    api::{devices::write_devices, support::set_status},
    flows::{
        races::{delayed, finish_overtaken, start_delayed},
        support::{
            account_helpers::{Device, LOGIN, log_in, login_of, sign_up},
            users,
        },
    },
};

const LOGOUT_ALL: &str = "/_matrix/client/v3/logout/all";

/// The IDs of the devices for which a user has rows.
fn devices(server: &TestServer, user: &str) -> BTreeSet<String> {
    let rows = users(server).remove(user).unwrap_or_default();
    let ids = rows.iter().filter_map(|sk| sk.strip_prefix("DEV#"));
    ids.map(str::to_owned).collect()
}

fn statuses(server: &TestServer) -> Vec<String> {
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    let status = |row: &Value| row["status"]["S"].as_str().unwrap().to_owned();
    rows.iter().map(status).collect()
}

pub(crate) async fn log_out_everywhere(server: &TestServer, device: &Device) {
    device.post(server, LOGOUT_ALL, &json!({})).await.ok();
}

#[tokio::test]
async fn out_02_rows_of_logged_out_devices_go_and_others_stay() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    log_in(&server, "alice", PASSWORD).await;
    log_out_everywhere(&server, &first).await;
    let third = log_in(&server, "alice", PASSWORD).await;
    assert_eq!(devices(&server, "alice").len(), 3);
    server.deliver().await;
    assert_eq!(devices(&server, "alice"), [third.id.clone()].into());
    assert_eq!(devices(&server, "bob"), [bob.id.clone()].into());
    assert!(third.is_valid(&server).await && bob.is_valid(&server).await);
    assert_eq!(statuses(&server), ["moot"]);
    assert!(server.messages().is_empty());
}

/// The device that was kept when the token epoch changed is valid.
#[tokio::test]
async fn pwd_10_a_kept_device_stays() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    log_in(&server, "alice", PASSWORD).await;
    let table = format!("{}-accounts", server.local.config().tables);
    server.raw_dynamodb(
        "UpdateItem",
        &json!({
            "TableName": table,
            "Key": { "pk": { "S": "USER#alice" }, "sk": { "S": "A" } },
            "UpdateExpression": "SET epoch = :two, spared_device = :device, spared_epoch = :one",
            "ExpressionAttributeValues": {
                ":one": { "N": "1" }, ":two": { "N": "2" }, ":device": { "S": first.id },
            },
        }),
    );
    let bob = sign_up(&server, "bob").await;
    log_out_everywhere(&server, &bob).await;
    // The user in Bob's row of the outbox is replaced by alice, so that her rows are purged.
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    server.raw_dynamodb(
        "UpdateItem",
        &json!({
            "TableName": format!("{}-outbox", server.local.config().tables),
            "Key": { "pk": rows[0]["pk"] },
            "UpdateExpression": "SET #user = :alice",
            "ExpressionAttributeNames": { "#user": "user" },
            "ExpressionAttributeValues": { ":alice": { "S": "alice" } },
        }),
    );
    server.deliver().await;
    assert_eq!(devices(&server, "alice"), [first.id.clone()].into());
    assert!(first.is_valid(&server).await);
    assert_eq!(devices(&server, "bob").len(), 1);
}

#[tokio::test]
async fn deact_14_a_deactivated_user_keeps_no_device() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    log_in(&server, "alice", PASSWORD).await;
    log_out_everywhere(&server, &first).await;
    log_in(&server, "alice", PASSWORD).await;
    set_status(&server, "alice", "deactivated");
    server.deliver().await;
    assert_eq!(devices(&server, "alice"), BTreeSet::new());
}

/// Writes a row of the accounts table as an interrupted operation might have left it.
pub(crate) fn write_row(server: &TestServer, pk: &str, sk: &str, more: Value) {
    let mut item = more;
    item["pk"] = json!({ "S": pk });
    item["sk"] = json!({ "S": sk });
    let table = format!("{}-accounts", server.local.config().tables);
    let body = json!({ "TableName": table, "Item": item });
    server.raw_dynamodb("PutItem", &body);
}

/// DEACT-14: rows that a race has left are removed too, with the claim of an address. A claim that has
/// another owner stays.
#[tokio::test]
async fn deact_12_of_a_deactivated_account_one_row_is_left() {
    const OWN: &str = "3PID#email#alice@example.org";
    const PASSED_ON: &str = "3PID#email#bob@example.org";
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    sign_up(&server, "bob").await;
    let bobs = users(&server).remove("bob").unwrap();
    for (claim, owner) in [(OWN, "alice"), (PASSED_ON, "bob")] {
        write_row(&server, "USER#alice", claim, json!({}));
        write_row(&server, claim, "A", json!({ "owner": { "S": owner } }));
    }
    write_row(&server, "USER#alice", "TERMS#privacy", json!({}));
    write_devices(&server, "alice", 1, ("x", 1500));
    log_out_everywhere(&server, &first).await;
    set_status(&server, "alice", "deactivated");
    // An interrupted purge continues.
    let proxy = server.local.proxy();
    let fault = Fault::new(FaultKind::Throttle)
        .by("Deliver")
        .on("DeleteItem");
    proxy.inject(fault.nth(4).times(200));
    server.deliver().await;
    proxy.clear_faults();
    assert_eq!(statuses(&server), ["queued"]);
    server.advance(Duration::from_mins(2));
    server.run_schedule().await;
    assert_eq!(statuses(&server), ["moot"]);
    assert_eq!(users(&server).remove("alice").unwrap(), ["A".into()].into());
    assert_eq!(users(&server).remove("bob").unwrap(), bobs);
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let claims: Vec<_> = rows
        .iter()
        .filter(|row| row.get("owner").is_some())
        .collect();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0]["pk"]["S"], PASSED_ON);
}

/// There are more rows than one query returns, and some calls fail. Each attempt continues where the
/// previous attempt ended. (A worker needs about twenty seconds for ten thousand rows here.)
#[tokio::test]
async fn a_purge_of_thousands_continues_until_it_is_done() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    write_devices(&server, "alice", 1, ("x", 2500));
    log_out_everywhere(&server, &first).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let proxy = server.local.proxy();
    proxy.inject(
        Fault::new(FaultKind::Throttle)
            .by("Deliver")
            .on("DeleteItem")
            .nth(1000)
            .times(200),
    );
    server.deliver().await;
    proxy.clear_faults();
    let left = devices(&server, "alice").len();
    assert!((1000..=1600).contains(&left), "{left}");
    assert_eq!(statuses(&server), ["queued"]);
    server.advance(Duration::from_mins(2));
    server.run_schedule().await;
    assert_eq!(devices(&server, "alice"), [second.id.clone()].into());
    assert_eq!(statuses(&server), ["moot"]);
    assert!(second.is_valid(&server).await);
}

/// A clock that advances by a tenth of a second at each reading.
#[derive(Debug)]
struct FastClock(AtomicI64);

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(100, Ordering::Relaxed))
    }
}

/// A worker whose time has run out leaves the remaining rows to the next run.
#[tokio::test]
async fn a_purge_that_takes_too_long_is_put_back() {
    let server = TestServer::new().await;
    let first = sign_up(&server, "alice").await;
    write_devices(&server, "alice", 1, ("x", 600));
    log_out_everywhere(&server, &first).await;
    assert_eq!(server.local.drop_stream_records().await.unwrap(), 1);
    let aws = server.local.aws("Deliver");
    let app = App::new(
        Arc::clone(server.local.config()),
        &aws,
        Arc::new(FastClock(AtomicI64::new(NOW))),
        Arc::new(SystemRng),
    );
    let worker = Deliver::new(app, &aws);
    worker.handle(json!({ "source": "aws.events" })).await;
    let left = devices(&server, "alice").len();
    assert!((200..400).contains(&left), "{left}");
    assert_eq!(statuses(&server), ["queued"]);
    server.advance(Duration::from_mins(5));
    server.run_schedule().await;
    assert_eq!(devices(&server, "alice"), BTreeSet::new());
    assert_eq!(statuses(&server), ["moot"]);
}

/// The login to the device happens after the worker has read the row and before it removes the row.
#[tokio::test]
async fn a_login_that_races_a_purge_keeps_its_device() {
    let server = Arc::new(TestServer::new().await);
    let first = sign_up(&server, "alice").await;
    log_out_everywhere(&server, &first).await;
    let fault = delayed("Deliver", "DeleteItem");
    let own = Arc::clone(&server);
    let purge = start_delayed(&server, fault, async move { own.deliver().await }).await;
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = first.id.clone().into();
    let device = Device::of(&server.post(LOGIN, &body).await.ok());
    finish_overtaken(purge).await;
    assert_eq!(devices(&server, "alice"), [first.id.clone()].into());
    assert!(device.is_valid(&server).await);
    assert!(!first.is_valid(&server).await);
    assert_eq!(statuses(&server), ["moot"]);
}
