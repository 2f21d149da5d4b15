//! Bindings that remain when an account is deactivated: the removal is retried in the background
//! for a day, and everything else of the account is removed immediately (DEACT-11).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{Log, PASSWORD, TestServer};

use crate::flows::{
    cost::CostTable,
    identity::unbinding::{OTHER_SERVER, bind, deactivate, servers, unbound},
    purge::{log_out_everywhere, write_row},
    races::start_delayed,
    support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, Device, log_in, password_of, sign_up, sign_up_with,
            with_auth,
        },
        identity_server::{IdServer, Misbehaviour},
        threepid_helpers::{ALICE, EMAIL},
        users,
    },
};

const RECORD: &str = "BIND#one.example#email#alice@example.org";
const FOREVER: u64 = 1_000_000;
const ADDED_LATENCY: Duration = Duration::from_millis(800);

fn busy() -> Misbehaviour {
    Misbehaviour::Responds("503 Service Unavailable", "{}".to_owned())
}

/// The remaining rows of alice's account.
fn remaining_rows(server: &TestServer) -> Vec<String> {
    let rows = users(server).remove("alice").unwrap();
    rows.into_iter().collect()
}

/// The statuses of the purges.
fn purges(server: &TestServer) -> Vec<String> {
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    let purges = rows.iter().filter(|row| row["content"]["S"] == "purge");
    let status = |row: &Value| row["status"]["S"].as_str().unwrap().to_owned();
    purges.map(status).collect()
}

async fn wait(server: &TestServer, time: Duration) {
    server.advance(time);
    server.run_schedule().await;
}

/// Deactivates alice's account while `id_server`, where her address is bound, is unavailable;
/// everything else of the account is removed.
async fn deactivate_while_unavailable(server: &TestServer, id_server: &IdServer) {
    let alice = sign_up(server, "alice").await;
    bind(server, &alice, id_server, "email", ALICE).await;
    go(server, &alice, id_server).await;
}

async fn go(server: &TestServer, alice: &Device, id_server: &IdServer) {
    id_server.set_misbehaviour(Some(busy()));
    assert_eq!(deactivate(server, alice, json!({})).await, "no-support");
    id_server.clear_requests();
    server.deliver().await;
    assert!(
        id_server.requests().is_empty(),
        "the stream event waits for no identity server"
    );
    assert_eq!(remaining_rows(server), ["A", RECORD]);
}

#[tokio::test]
async fn deact_11_unbinding_is_retried_until_it_succeeds() {
    let no = json!({ "errcode": "M_FORBIDDEN", "error": "No" }).to_string();
    for misbehaviour in [
        busy(),
        Misbehaviour::Responds("403 Forbidden", no),
        Misbehaviour::Responds("404 Not Found", "<html>".to_owned()),
        Misbehaviour::ClosesEarly,
    ] {
        let [first, second, _] = servers();
        let server = IdServer::test_server(&[&first, &second], &ADDRESSES).await;
        let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
        bind(&server, &alice, &first, "email", ALICE).await;
        bind(&server, &alice, &second, "email", OTHER_SERVER).await;
        go(&server, &alice, &first).await;
        first.set_misbehaviour(Some(misbehaviour));
        second.clear_requests();
        for _ in 0..2 {
            first.clear_requests();
            wait(&server, Duration::from_mins(2)).await;
            assert!(unbound(&first).iter().all(|address| address == ALICE));
            assert!(!first.requests().is_empty());
            assert_eq!(
                (remaining_rows(&server), first.bindings().len()),
                (vec!["A".into(), RECORD.into()], 1)
            );
        }
        first.set_misbehaviour(None);
        first.clear_requests();
        wait(&server, Duration::from_mins(5)).await;
        assert_eq!(unbound(&first), [ALICE]);
        assert_eq!(
            (remaining_rows(&server), first.bindings().len()),
            (vec!["A".into()], 0)
        );
        assert_eq!(purges(&server), ["moot"]);
        wait(&server, Duration::from_hours(25)).await;
        assert_eq!(first.requests().len(), 1);
        assert!(second.requests().is_empty(), "no binding remained there");
    }
}

/// The last attempt is made after the day has ended, so that there is at least one attempt even if no
/// worker ran for a day.
#[tokio::test]
async fn deact_11_after_a_day_unbinding_ends_and_the_record_goes() {
    let (log, _guard) = Log::capture();
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &[]).await;
    deactivate_while_unavailable(&server, &first).await;
    wait(&server, Duration::from_hours(23)).await;
    assert_eq!(
        (first.requests().len(), remaining_rows(&server).len()),
        (1, 2)
    );
    wait(&server, Duration::from_hours(1)).await;
    assert_eq!(first.requests().len(), 2);
    assert_eq!(
        (remaining_rows(&server), purges(&server)),
        (vec!["A".into()], vec!["failed".into()])
    );
    wait(&server, Duration::from_hours(1)).await;
    assert_eq!(first.requests().len(), 2);
    let log = log.text();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    let lines = warnings.iter().filter(|line| line.contains("stays bound"));
    assert_eq!(lines.count(), 1);
    assert!(!warnings.iter().any(|line| line.contains(ALICE)));
}

/// IDS-02, IDS-03: a server that is no longer trusted is not called. A record that cannot be read
/// does not prevent the removal of the account's rows.
#[tokio::test]
async fn deact_11_an_untrusted_server_is_not_called_later_either() {
    let text = |text: &str| json!({ "S": text });
    let record = json!({
        "id_server": text("three.example"), "medium": text("email"), "address": text(ALICE),
        "nonce": text("x"),
    });
    for record in [record, json!({})] {
        let [first, _, third] = servers();
        let server = IdServer::test_server(&[&first], &[]).await;
        let alice = sign_up(&server, "alice").await;
        let row = "BIND#three.example#email#alice@example.org";
        write_row(&server, "USER#alice", row, record);
        assert_eq!(deactivate(&server, &alice, json!({})).await, "no-support");
        server.deliver().await;
        wait(&server, Duration::from_mins(2)).await;
        assert_eq!(remaining_rows(&server), ["A", row]);
        wait(&server, Duration::from_hours(24)).await;
        assert_eq!(
            (remaining_rows(&server), purges(&server)),
            (vec!["A".into()], vec!["failed".into()])
        );
        assert!(first.requests().is_empty() && third.requests().is_empty());
    }
}

/// The process ends before one of its calls. Another delivery continues, and the result is the same.
#[tokio::test]
async fn an_interrupted_unbinding_is_continued() {
    // The calls are due rows, lease, account, rows, bindings, removal and status. There is no
    // eighth call.
    for (hours, calls, ends) in [
        (0, 1..=8, ["moot", "moot"]),
        (24, 6..=7, ["failed", "moot"]),
    ] {
        for last in calls {
            let [first, ..] = servers();
            let server = IdServer::test_server(&[&first], &[]).await;
            deactivate_while_unavailable(&server, &first).await;
            if hours == 0 {
                first.set_misbehaviour(None);
            }
            let cut = Fault::new(FaultKind::ConnectionReset)
                .by("Deliver")
                .nth(last);
            server.local.proxy().inject(cut.times(FOREVER));
            wait(&server, Duration::from_mins(60 * hours + 2)).await;
            server.local.proxy().clear_faults();
            for _ in 0..10 {
                wait(&server, Duration::from_mins(1)).await;
            }
            let is_done = (remaining_rows(&server), purges(&server).pop().unwrap());
            assert_eq!(is_done.0, ["A"], "hours {hours}, call {last}");
            assert!(ends.contains(&&*is_done.1), "hours {hours}, call {last}");
            assert_eq!(first.bindings().len(), usize::from(hours > 0));
        }
    }
}

#[tokio::test]
async fn two_deliveries_that_unbind_the_same_do_no_harm() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &[]).await;
    let before = sign_up(&server, "alice").await;
    log_out_everywhere(&server, &before).await;
    let alice = log_in(&server, "alice", PASSWORD).await;
    bind(&server, &alice, &first, "email", ALICE).await;
    go(&server, &alice, &first).await;
    assert_eq!(purges(&server), ["queued", "queued"]);
    first.set_misbehaviour(None);
    let delay = Fault::new(FaultKind::Delay(Duration::from_millis(300)));
    let proxy = server.local.proxy();
    proxy.inject(delay.by("Deliver").on("DeleteItem").times(2));
    wait(&server, Duration::from_mins(2)).await;
    assert_eq!(
        unbound(&first),
        [ALICE, ALICE],
        "both called the identity server"
    );
    assert_eq!(proxy.pending_faults(), 0, "both removed the record");
    assert_eq!(
        (remaining_rows(&server), first.bindings().len()),
        (vec!["A".into()], 0)
    );
    assert_eq!(purges(&server), ["moot", "moot"]);
}

/// Only half of the workers may wait for slow identity servers, so that the others can deliver
/// messages.
#[tokio::test]
async fn half_of_the_workers_may_wait_for_identity_servers() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &[]).await;
    let names = ["ann", "ben", "cat", "dan", "eve", "fay"];
    for name in names {
        let device = sign_up(&server, name).await;
        let address = format!("{name}@example.org");
        bind(&server, &device, &first, "email", &address).await;
        first.set_misbehaviour(Some(busy()));
        let body = with_auth(json!({}), password_of(name, PASSWORD, None));
        device.post(&server, DEACTIVATE_PATH, &body).await.ok();
        first.set_misbehaviour(None);
    }
    server.deliver().await;
    first.clear_requests();
    first.set_misbehaviour(Some(Misbehaviour::Delays(ADDED_LATENCY)));
    wait(&server, Duration::from_mins(2)).await;
    assert_eq!((first.requests().len(), first.bindings().len()), (4, 2));
    wait(&server, Duration::from_mins(2)).await;
    assert_eq!((first.requests().len(), first.bindings().len()), (6, 0));
    assert_eq!(purges(&server), ["moot"; 6]);
}

/// A worker whose time has run out calls no identity server, because the function would be stopped
/// while it holds the lease.
#[tokio::test]
async fn a_late_worker_leaves_the_unbinding_to_the_next() {
    let [first, ..] = servers();
    let server = Arc::new(IdServer::test_server(&[&first], &[]).await);
    deactivate_while_unavailable(&server, &first).await;
    first.set_misbehaviour(None);
    server.advance(Duration::from_mins(2));
    let own = Arc::clone(&server);
    let delay = Fault::new(FaultKind::Delay(ADDED_LATENCY))
        .by("Deliver")
        .on("BatchGetItem");
    let late = start_delayed(&server, delay, async move { own.run_schedule().await }).await;
    server.advance(Duration::from_secs(35));
    late.await.unwrap();
    assert!(first.requests().is_empty());
    assert_eq!(purges(&server), ["queued"]);
    wait(&server, Duration::from_mins(2)).await;
    assert_eq!(remaining_rows(&server), ["A"]);
}

/// IDS-12: the address is bound after the deactivation has read the bindings and before the
/// deactivation is written.
#[tokio::test]
async fn ids_12_a_binding_during_a_deactivation_is_removed() {
    let [first, ..] = servers();
    let server = Arc::new(IdServer::test_server(&[&first], &[]).await);
    let alice = sign_up(&server, "alice").await;
    let (own, who) = (Arc::clone(&server), alice.clone());
    let delay = Fault::new(FaultKind::Delay(ADDED_LATENCY)).by("AccountDeactivate");
    let deactivation = async move { deactivate(&own, &who, json!({})).await };
    let deactivation = start_delayed(&server, delay.on("TransactWriteItems"), deactivation).await;
    bind(&server, &alice, &first, "email", ALICE).await;
    assert!(
        !deactivation.is_finished(),
        "the delayed request was not overtaken"
    );
    assert_eq!(
        deactivation.await.unwrap(),
        "success",
        "no binding was recorded then"
    );
    server.deliver().await;
    assert_eq!(
        (remaining_rows(&server).len(), first.bindings().len()),
        (2, 1)
    );
    wait(&server, Duration::from_mins(2)).await;
    assert_eq!(
        (remaining_rows(&server), first.bindings().len()),
        (vec!["A".into()], 0)
    );
}

/// IDS-12: a logout of every device keeps the bindings of the account.
#[tokio::test]
async fn the_bindings_of_an_active_account_are_kept() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &[]).await;
    let alice = sign_up(&server, "alice").await;
    bind(&server, &alice, &first, "email", ALICE).await;
    log_out_everywhere(&server, &alice).await;
    server.deliver().await;
    wait(&server, Duration::from_hours(25)).await;
    assert_eq!(purges(&server), ["moot"]);
    assert!(first.requests().is_empty());
    assert!(remaining_rows(&server).contains(&RECORD.to_owned()));
}

#[tokio::test]
async fn a_retry_of_unbinding_has_its_known_cost() {
    let mut costs = CostTable::default();
    for (what, answers, hours) in [
        ("failed", false, 0),
        ("undone", true, 0),
        ("given up", false, 24),
    ] {
        let [first, ..] = servers();
        let server = IdServer::test_server(&[&first], &[]).await;
        deactivate_while_unavailable(&server, &first).await;
        if answers {
            first.set_misbehaviour(None);
        }
        server.advance(Duration::from_mins(60 * hours + 2));
        costs
            .measure(what, &server, Box::pin(server.run_schedule()))
            .await;
    }
    costs.assert(COSTS);
}

const COSTS: &str = "
    failed: Query Outbox > UpdateItem Outbox > BatchGetItem Accounts > Query Accounts > Query Accounts > UpdateItem Outbox = 3.5r 6w
    undone: Query Outbox > UpdateItem Outbox > BatchGetItem Accounts > Query Accounts > Query Accounts > DeleteItem Accounts > UpdateItem Outbox = 3.5r 6w
    given up: Query Outbox > UpdateItem Outbox > BatchGetItem Accounts > Query Accounts > Query Accounts > DeleteItem Accounts > UpdateItem Outbox = 3.5r 6w
";
