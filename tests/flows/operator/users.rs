//! Commands that show, lock, suspend and deactivate an account.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use shared::secrets::KeyPurpose;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{WHOAMI, set_status},
    flows::{
        identity::unbinding::{OTHER_SERVER, bind, unbound},
        support::{
            account_helpers::{
                ADDRESSES, Device, OTHER_PASSWORD, PASSWORD_PATH, log_in, password_of, rows_of,
                sign_up, sign_up_with, try_login, with_auth,
            },
            admin_run,
            identity_server::IdServer,
            run_operator,
            threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, claims},
        },
    },
};

/// Runs `users` with these arguments, which must fail, and returns the error.
async fn error_of(server: &TestServer, arguments: &[&str]) -> String {
    let all = [&["users"], arguments].concat();
    let Err(refused) = server.admin_run(&all).await else {
        panic!("{arguments:?} must fail");
    };
    refused.to_string()
}

#[tokio::test]
async fn showing_an_account_discloses_no_secret() {
    let server = TestServer::with(&ADDRESSES).await;
    let first = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let change = json!({ "new_password": OTHER_PASSWORD });
    let change = with_auth(change, password_of("alice", PASSWORD, None));
    second.post(&server, PASSWORD_PATH, &change).await.ok();

    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["kind"], "user");
    assert_eq!(shown["created"], test_support::NOW);
    assert_eq!(shown["password"]["scheme"], "argon2id");
    assert_eq!(shown["addresses"][0]["address"], ALICE);
    let alive = |device: &Device| {
        let devices = shown["devices"].as_array().unwrap();
        let own = devices.iter().find(|own| own["device_id"] == *device.id);
        own.unwrap()["logged_in"].as_bool().unwrap()
    };
    assert!(!alive(&first) && alive(&second));

    let keys = &server.local.config().keys;
    let hash = keys.hash(KeyPurpose::LoggedUser, b"alice");
    assert_eq!(shown["log_hashes"], json!([hash]));

    let exported = admin_run(&server, &["users", "export", "alice"]).await;
    assert_eq!(exported["devices"], shown["devices"]);
    assert!(!exported["not_included"].as_array().unwrap().is_empty());
    for row in rows_of(&server, "alice") {
        for secret in ["phc", "access_hash", "refresh_hash"] {
            if let Some(secret) = row.1[secret]["S"].as_str() {
                assert!(!exported.to_string().contains(secret), "{secret}");
            }
        }
    }
    assert!(
        error_of(&server, &["show", "bob"])
            .await
            .contains("no account")
    );
    for name in ["Alice", "", "@alice", "alice:localhost"] {
        let refused = error_of(&server, &["show", name]).await;
        assert!(refused.contains("not a username"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_user_id_of_this_server_names_the_user() {
    let server = TestServer::with(&[("GATEHOUSE_SERVER_NAME", "example.org")]).await;
    sign_up(&server, "alice").await;
    for command in [
        "show",
        "export",
        "lock",
        "unlock",
        "suspend",
        "unsuspend",
        "reset-password",
    ] {
        admin_run(&server, &["users", command, "@alice:example.org"]).await;
    }
    let locked = admin_run(&server, &["users", "lock", "@alice:example.org"]).await;
    assert_eq!(locked["user"], "alice");
    let refused = error_of(&server, &["show", "@alice:example.com"]).await;
    assert!(refused.contains("`example.org`"), "{refused}");
    admin_run(
        &server,
        &["users", "deactivate", "@alice:example.org", "--yes"],
    )
    .await;
    // The name of the server is not a required setting of the command.
    let server = TestServer::new().await;
    let refused = error_of(&server, &["show", "@alice:localhost"]).await;
    assert!(refused.contains("GATEHOUSE_SERVER_NAME"), "{refused}");
    let hyphen = error_of(&server, &["show", "-alice"]).await;
    assert!(hyphen.contains("no account `-alice`"), "{hyphen}");
}

#[tokio::test]
async fn the_times_of_an_export_can_be_read() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    for command in ["show", "export"] {
        let shown = admin_run(&server, &["users", command, "alice"]).await;
        assert_eq!(shown["created"], test_support::NOW);
        let readable = "2027-01-15T08:00:00Z";
        assert_eq!(shown["created_rfc3339"], readable);
        assert_eq!(shown["password"]["set_rfc3339"], readable);
        assert_eq!(shown["devices"][0]["tokens_issued_rfc3339"], readable);
        assert_eq!(shown["addresses"][0]["validated_at_rfc3339"], readable);
        assert_eq!(shown["addresses"][0]["added_at_rfc3339"], readable);
    }
}

#[tokio::test]
async fn the_reports_of_status_changes_are_sentences() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    for (command, text) in [
        ("lock", "alice is locked"),
        ("lock", "alice is already locked"),
        ("unlock", "alice is unlocked"),
        ("unlock", "alice was not locked"),
        ("suspend", "alice is suspended"),
        ("suspend", "alice is already suspended"),
        ("unsuspend", "alice is no longer suspended"),
        ("unsuspend", "alice was not suspended"),
    ] {
        let report = run_operator(&server, &["users", command, "alice"]).await;
        assert_eq!(report.unwrap().text, text);
    }
}

/// A user may request the erasure after the deactivation.
#[tokio::test]
async fn an_erasure_may_follow_the_deactivation() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    let deactivate = ["users", "deactivate", "alice", "--yes"];
    admin_run(&server, &deactivate).await;
    server.deliver().await;
    let refused = error_of(&server, &deactivate[1..]).await;
    assert!(
        refused.contains("already deactivated") && refused.contains("--erase"),
        "{refused}"
    );
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(
        (&shown["erased"], &shown["deactivated"]),
        (&json!(false), &json!(test_support::NOW))
    );

    // A row that a restored backup has brought back.
    server.raw_dynamodb(
        "PutItem",
        &json!({
            "TableName": format!("{}-accounts", server.local.config().tables),
            "Item": { "pk": { "S": "USER#alice" }, "sk": { "S": "TERMS#privacy" }, "schema": { "N": "1" },
                "version": { "S": "1" }, "accepted": { "N": "1" } },
        }),
    );
    server.advance(Duration::from_hours(24 * 7));
    let erase = [&deactivate[..], &["--erase"]].concat();
    for _ in 0..2 {
        let done = admin_run(&server, &erase).await;
        assert_eq!(done["erased"], true);
    }
    server.deliver().await;
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(
        (&shown["erased"], &shown["deactivated"]),
        (&json!(true), &json!(test_support::NOW))
    );
    assert_eq!(rows_of(&server, "alice").len(), 1);
}

/// TOK-14, TOK-15: the responses of the endpoints follow the commands. A lock takes precedence over a
/// suspension, and repeating a command changes nothing.
#[tokio::test]
async fn tok_14_locks_and_suspensions_begin_and_end() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let users = async |arguments: &[&str]| {
        let done = admin_run(&server, &[&["users"], arguments].concat()).await;
        done["changed"].as_bool().unwrap()
    };
    let whoami = async || server.get_as(&alice.token, WHOAMI).await;

    assert!(users(&["suspend", "alice"]).await);
    assert!(!users(&["suspend", "alice"]).await);
    assert_eq!(whoami().await.status, 200);
    assert!(users(&["lock", "alice"]).await);
    assert!(!users(&["lock", "alice"]).await);
    whoami().await.error(401, "M_USER_LOCKED");
    for undone in ["suspend", "unsuspend"] {
        assert!(
            error_of(&server, &[undone, "alice"])
                .await
                .contains("locked")
        );
    }
    assert!(users(&["unlock", "alice"]).await);
    assert!(!users(&["unlock", "alice"]).await);
    assert_eq!(whoami().await.status, 200);
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["status"], "suspended");
    assert!(users(&["unsuspend", "alice"]).await);
    assert!(!users(&["unsuspend", "alice"]).await);
    // The suspension before the previous lock does not return after the next lock.
    assert!(users(&["lock", "alice"]).await && users(&["unlock", "alice"]).await);
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["status"], "active");
    assert!(
        error_of(&server, &["lock", "bob"])
            .await
            .contains("no account")
    );
}

#[tokio::test]
async fn the_operator_deactivates_an_account_as_its_user_would() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    let before = server.messages().len();
    assert!(
        error_of(&server, &["deactivate", "alice"])
            .await
            .contains("--yes")
    );
    assert!(alice.is_valid(&server).await);

    let end = ["users", "deactivate", "alice", "--yes", "--erase"];
    let ended = admin_run(&server, &end).await;
    assert_eq!(ended["addresses_released"], 1);
    assert!(!alice.is_valid(&server).await);
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let left = claims(&server);
    assert_eq!(left.len(), 1, "{left:?}");
    server.deliver().await;
    let reported = server.messages();
    assert_eq!(reported.len(), before + 1);
    assert_eq!(reported.last().unwrap().to, ALICE);
    let rows = rows_of(&server, "alice");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].1.get("erased").is_some());
    let taken =
        json!({ "username": "alice", "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    server.register(&taken).await.error(400, "M_USER_IN_USE");

    for arguments in [
        ["deactivate", "alice", "--yes"].as_slice(),
        &["lock", "alice"],
        &["unlock", "alice"],
        &["suspend", "alice"],
        &["unsuspend", "alice"],
    ] {
        let refused = error_of(&server, arguments).await;
        assert!(refused.contains("deactivated"), "{arguments:?}: {refused}");
    }
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(
        (&shown["status"], &shown["erased"]),
        (&json!("deactivated"), &json!(true))
    );
}

/// IDS-12: the command calls no identity server. The worker that removes the rows also removes the
/// bindings.
#[tokio::test]
async fn ids_12_the_operators_deactivation_removes_bindings_later() {
    let id_server = IdServer::start("id.example");
    let server = IdServer::test_server(&[&id_server], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &id_server, "email", OTHER_SERVER).await;
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["bindings"][0]["address"], OTHER_SERVER);
    admin_run(&server, &["users", "deactivate", "alice", "--yes"]).await;
    assert!(unbound(&id_server).is_empty());
    // The identity server is called by the scheduled run, not on the stream event.
    server.deliver().await;
    assert!(unbound(&id_server).is_empty());
    server.advance(Duration::from_mins(2));
    server.run_schedule().await;
    assert_eq!(unbound(&id_server), [OTHER_SERVER]);
    assert_eq!(rows_of(&server, "alice").len(), 1);
}

/// The account owner cannot deactivate a locked account, but the operator can.
#[tokio::test]
async fn only_the_operator_deactivates_a_locked_account() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    set_status(&server, "alice", "locked");
    admin_run(&server, &["users", "deactivate", "alice", "--yes"]).await;
    assert!(!alice.is_valid(&server).await);
}

/// If a lock and a deactivation are concurrent, the account is deactivated.
#[tokio::test(flavor = "multi_thread")]
async fn no_lock_reactivates_an_account() {
    let server = Arc::new(TestServer::new().await);
    for number in 0..20 {
        let name = format!("user{number}");
        sign_up(&server, &name).await;
        let run = |arguments: Vec<String>| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let all = ["users".to_owned()].into_iter().chain(arguments);
                let all: Vec<String> = all.collect();
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                server.admin_run(&all).await
            })
        };
        let end = run(vec![
            "deactivate".to_owned(),
            name.clone(),
            "--yes".to_owned(),
        ]);
        let lock = run(vec!["lock".to_owned(), name.clone()]);
        let unlock = run(vec!["unlock".to_owned(), name.clone()]);
        end.await.unwrap().unwrap();
        let _ = (lock.await.unwrap(), unlock.await.unwrap());
        let shown = admin_run(&server, &["users", "show", &name]).await;
        assert_eq!(shown["status"], "deactivated");
    }
}
