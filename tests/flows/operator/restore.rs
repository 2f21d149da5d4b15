//! The restore of the accounts table, as docs/operations.md describes it: the data that is lost, and the repetition of
//! the deactivations that the backup lacks. `tests/infra/run restore` performs the steps at DynamoDB.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Clock;
use test_support::{Log, PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of, rows_of,
        sign_up, sign_up_with, try_login, with_auth,
    },
    admin_run, is_free,
    threepid_helpers::{ALICE, EMAIL, claims},
};

fn accounts(server: &TestServer) -> Vec<Value> {
    server.local.dynamodb().table("Accounts").unwrap()
}

/// Replaces all rows of the table by those of a backup, and empties the other tables.
fn restore(server: &TestServer, backup: &[Value]) {
    let prefix = &server.local.config().tables;
    for (table, suffix) in [
        ("Limits", "limits"),
        ("OAuth", "oauth"),
        ("Outbox", "outbox"),
        ("Proofs", "proofs"),
        ("UiaSessions", "uia-sessions"),
    ] {
        for row in server.local.dynamodb().table(table).unwrap() {
            let key = json!({ "pk": row["pk"] });
            let body = json!({ "TableName": format!("{prefix}-{suffix}"), "Key": key });
            server.raw_dynamodb("DeleteItem", &body);
        }
    }
    let name = format!("{prefix}-accounts");
    for row in accounts(server) {
        let key = json!({ "pk": row["pk"], "sk": row["sk"] });
        server.raw_dynamodb("DeleteItem", &json!({ "TableName": name, "Key": key }));
    }
    for row in backup {
        server.raw_dynamodb("PutItem", &json!({ "TableName": name, "Item": row }));
    }
}

/// The accounts that the documented scan lists: username, and whether the user requested erasure.
fn deactivated_since(server: &TestServer, since: i64) -> Vec<(String, bool)> {
    let rows = accounts(server).into_iter();
    let mut found: Vec<_> = rows
        .filter(|row| row["sk"]["S"] == "A")
        .filter(|row| {
            let at = row["deactivated"]["N"].as_str();
            at.is_some_and(|at| at.parse::<i64>().unwrap() >= since)
        })
        .map(|row| {
            let name = row["pk"]["S"].as_str().unwrap()["USER#".len()..].to_owned();
            (name, row.get("erased").is_some())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_restore_loses_changes_and_deactivations_are_repeated() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up_with(&server, "bob", EMAIL, ALICE).await;
    sign_up(&server, "carol").await;
    let backup = accounts(&server);
    server.advance(Duration::from_hours(1));
    let since = server.local.clock().now().0;

    let change = with_auth(
        json!({ "new_password": OTHER_PASSWORD }),
        password_of("alice", PASSWORD, None),
    );
    alice.post(&server, PASSWORD_PATH, &change).await.ok();
    let end = with_auth(json!({ "erase": true }), password_of("bob", PASSWORD, None));
    bob.post(&server, DEACTIVATE_PATH, &end).await.ok();
    admin_run(&server, &["users", "deactivate", "carol", "--yes"]).await;
    sign_up(&server, "dave").await;
    let again = deactivated_since(&server, since);
    assert_eq!(
        again,
        [("bob".to_owned(), true), ("carol".to_owned(), false)]
    );

    restore(&server, &backup);
    assert_eq!(accounts(&server).len(), backup.len());
    // Lost: the new account, the new password, and the deactivations.
    assert!(is_free(&server, "dave").await);
    log_in(&server, "alice", PASSWORD).await;
    log_in(&server, "bob", PASSWORD).await;
    assert_eq!(claims(&server).len(), 1);

    // The log contains the deactivations by clients, with a hash that the admin CLI shows.
    let lines = log.request_lines();
    let line = lines
        .iter()
        .find(|line| line["Operation"] == "account-deactivate" && line["http.status"] == 200);
    let shown = admin_run(&server, &["users", "show", "bob"]).await;
    let hashes = shown["log_hashes"].as_array().unwrap();
    assert!(hashes.contains(&line.unwrap()["user.hash"]));

    for (name, erased) in &again {
        let mut arguments = vec!["users", "deactivate", name, "--yes"];
        if *erased {
            arguments.push("--erase");
        }
        admin_run(&server, &arguments).await;
        let reply = try_login(&server, name, PASSWORD).await;
        reply.error(403, "M_FORBIDDEN");
    }
    server.deliver().await;
    assert!(claims(&server).is_empty());
    assert_eq!(rows_of(&server, "bob").len(), 1);
    assert!(rows_of(&server, "bob")[0].1.get("erased").is_some());
    assert!(rows_of(&server, "carol")[0].1.get("erased").is_none());
}
