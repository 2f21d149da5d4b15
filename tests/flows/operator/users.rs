//! Looking at an account, locks, suspensions and the end of it.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use shared::secrets::KeyPurpose;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{WHOAMI, set_status},
    flows::{
        addresses::{ALICE, EMAIL, MSISDN, NUMBER, claims},
        identity_server::IdServer,
        identity_unbinding::{ELSEWHERE, bind, forgotten},
        people::{
            ADDRESSES, CHANGE, Device, OTHER, log_in, password_of, rows_of, sign_up, sign_up_with,
            try_login, with_auth,
        },
        support::admin_run,
    },
};

/// Runs `users` with these arguments, which must fail, and says with what words.
async fn refusal(server: &TestServer, arguments: &[&str]) -> String {
    let all = [&["users"], arguments].concat();
    let Err(refused) = server.admin_run(&all).await else {
        panic!("{arguments:?} must be refused");
    };
    refused.to_string()
}

#[tokio::test]
async fn an_account_is_shown_without_anything_that_anybody_could_use() {
    let server = TestServer::with(&ADDRESSES).await;
    let first = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let change = json!({ "new_password": OTHER });
    let change = with_auth(change, password_of("alice", PASSWORD, None));
    second.post(&server, CHANGE, &change).await.ok();

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
        refusal(&server, &["show", "bob"])
            .await
            .contains("no account")
    );
    for name in ["@alice:localhost", "Alice", ""] {
        let refused = refusal(&server, &["show", name]).await;
        assert!(refused.contains("not a username"), "{name}: {refused}");
    }
}

/// TOK-14, TOK-15: whatever the endpoints say of an account that is locked or suspended, the command
/// brings it about; a lock lies over a suspension, and a repeat changes nothing.
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
            refusal(&server, &[undone, "alice"])
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
    // The next lock remembers nothing of the one before.
    assert!(users(&["lock", "alice"]).await && users(&["unlock", "alice"]).await);
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["status"], "active");
    assert!(
        refusal(&server, &["lock", "bob"])
            .await
            .contains("no account")
    );
}

#[tokio::test]
async fn an_account_is_ended_as_its_user_would_end_it() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    let before = server.messages().len();
    assert!(
        refusal(&server, &["deactivate", "alice"])
            .await
            .contains("--yes")
    );
    assert!(alice.is_alive(&server).await);

    let end = ["users", "deactivate", "alice", "--yes", "--erase"];
    let ended = admin_run(&server, &end).await;
    assert_eq!(ended["addresses_released"], 1);
    assert!(!alice.is_alive(&server).await);
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    let left = claims(&server);
    assert_eq!(left.len(), 1, "{left:?}");
    server.deliver().await;
    let told = server.messages();
    assert_eq!(told.len(), before + 1);
    assert_eq!(told.last().unwrap().to, ALICE);
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
        let refused = refusal(&server, arguments).await;
        assert!(refused.contains("deactivated"), "{arguments:?}: {refused}");
    }
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(
        (&shown["status"], &shown["erased"]),
        (&json!("deactivated"), &json!(true))
    );
}

/// IDS-12: the command calls no identity server; whoever removes the rows undoes what is bound.
#[tokio::test]
async fn ids_12_what_is_bound_is_undone_after_the_operators_end_of_an_account() {
    let id_server = IdServer::start("id.example");
    let server = IdServer::test_server(&[&id_server], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &id_server, "email", ELSEWHERE).await;
    let shown = admin_run(&server, &["users", "show", "alice"]).await;
    assert_eq!(shown["bindings"][0]["address"], ELSEWHERE);
    admin_run(&server, &["users", "deactivate", "alice", "--yes"]).await;
    assert!(forgotten(&id_server).is_empty());
    // The stream waits for no identity server; the schedule's turn asks it.
    server.deliver().await;
    assert!(forgotten(&id_server).is_empty());
    server.advance(Duration::from_mins(2));
    server.tick().await;
    assert_eq!(forgotten(&id_server), [ELSEWHERE]);
    assert_eq!(rows_of(&server, "alice").len(), 1);
}

/// What its user cannot do: a locked account ends too.
#[tokio::test]
async fn a_locked_account_is_ended_by_the_operator_alone() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    set_status(&server, "alice", "locked");
    admin_run(&server, &["users", "deactivate", "alice", "--yes"]).await;
    assert!(!alice.is_alive(&server).await);
}

/// Of a lock and an end that race, the end stays.
#[tokio::test(flavor = "multi_thread")]
async fn no_lock_brings_an_account_back() {
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
