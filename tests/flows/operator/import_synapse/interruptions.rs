//! Imports that are interrupted, repeated and concurrent.

use std::sync::Arc;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::TestServer;

use super::attribute;
use crate::{
    api::{rows::threepid_owners, support::whoami},
    flows::{
        operator::import::{BCRYPT, OSTRICH},
        support::{account_helpers::try_login, run_operator, synapse::Synapse, users},
    },
};

/// HS-21, HS-22: an account with many devices needs several transactions. It is locked until the last of them.
#[tokio::test]
async fn hs_21_an_account_with_many_devices_is_imported_completely() {
    let server = TestServer::new().await;
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    synapse.set("alice", "suspended", &true);
    let mut tokens = Vec::new();
    for number in 0..70 {
        let device = format!("D{number:02}");
        synapse.device("alice", &device);
        let first = synapse.pair("alice", &device, None, None);
        let next = synapse.pair("alice", &device, None, Some(&first));
        synapse.set_unused(&next.access);
        tokens.push((device, first.access));
    }
    // Each run is interrupted after one more transaction.
    // The first transaction of a repeated run fails, because the username is taken.
    for (written, transaction) in [(12, 2), (31, 3)] {
        let fault = Fault::new(FaultKind::Throttle).on("TransactWriteItems");
        let fault = fault.nth(transaction).times(u64::MAX);
        server.local.proxy().inject(fault);
        let interrupted = synapse.import(&server, &[]).await.unwrap_err().to_string();
        assert!(interrupted.contains("interrupted"), "{interrupted}");
        server.local.proxy().clear_faults();
        assert_eq!(attribute(&server, "alice", "status"), "locked");
        assert_eq!(
            attribute(&server, "alice", "imported_devices"),
            written.to_string()
        );
        let reply = server.whoami(&tokens[0].1).await;
        reply.error(401, "M_USER_LOCKED");
        try_login(&server, "alice", OSTRICH)
            .await
            .error(401, "M_USER_LOCKED");
        let (report, _) = synapse.import(&server, &["--dry-run"]).await.unwrap();
        assert_eq!(report["imported_before"], 1);
    }
    let report = synapse.import_all(&server).await;
    assert_eq!(
        (&report["new"], &report["devices"]),
        (&json!(1), &json!(70))
    );
    assert_eq!(attribute(&server, "alice", "status"), "suspended");
    assert_eq!(attribute(&server, "alice", "imported_devices"), Value::Null);
    for (device, token) in &tokens {
        assert_eq!(whoami(&server, token).await["device_id"], device.as_str());
    }
    let rows = users(&server).remove("alice").unwrap();
    let count = |prefix: &str| rows.iter().filter(|sk| sk.starts_with(prefix)).count();
    assert_eq!((count("DEV#"), count("TOKEN#")), (70, 280));
}

/// After an interruption and after concurrent runs, each user exists once and completely.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_continues_without_a_repetition() {
    let server = Arc::new(TestServer::new().await);
    let synapse = Synapse::new();
    let mut tokens = Vec::new();
    for number in 0..40 {
        let name = format!("user{number}");
        synapse.user(&name, Some(BCRYPT));
        synapse.address(&name, "email", &format!("{name}@example.org"), 5000);
        for device in 0..20 {
            synapse.device(&name, &format!("D{device}"));
            tokens.push(synapse.access(&name, &format!("D{device}"), None));
        }
    }
    let fault = Fault::new(FaultKind::Throttle).on("TransactWriteItems");
    server.local.proxy().inject(fault.nth(30).times(u64::MAX));
    let interrupted = synapse.import(&server, &[]).await.unwrap_err().to_string();
    assert!(interrupted.contains("interrupted after"), "{interrupted}");
    server.local.proxy().clear_faults();
    let some = users(&server).len();
    assert!((1..40).contains(&some), "{some}");
    let arguments = Arc::new(synapse.arguments(&[]));
    let run = || {
        let (server, arguments) = (Arc::clone(&server), Arc::clone(&arguments));
        tokio::spawn(async move {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            run_operator(&server, &arguments).await.unwrap()
        })
    };
    let (one, two) = (run(), run());
    for report in [one.await.unwrap(), two.await.unwrap()] {
        assert!(!report.failed, "{}", report.text);
        let number = |name: &str| report.json[name].as_u64().unwrap();
        assert_eq!(
            number("new") + number("imported_before"),
            40,
            "{}",
            report.text
        );
    }
    let users = users(&server);
    assert_eq!(users.len(), 40);
    for (name, rows) in &users {
        let count = |prefix: &str| rows.iter().filter(|sk| sk.starts_with(prefix)).count();
        assert_eq!(
            (count("DEV#"), count("TOKEN#"), count("3PID#")),
            (20, 20, 1),
            "{name}"
        );
        assert_eq!(attribute(&server, name, "status"), "active", "{name}");
    }
    assert_eq!(threepid_owners(&server).len(), 40);
    for token in tokens.iter().step_by(37) {
        whoami(&server, token).await;
    }
}
