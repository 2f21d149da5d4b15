//! Requests about one user that overlap in a certain order, and processes that do not know what another one has changed.

use std::time::Duration;

use serde_json::{json};
use shared::{ids::Localpart};
use test_support::{PASSWORD, TestServer};

use crate::{api::support::{post_as}, flows::{homeserver::{pending}, support::{DUMMY, account_helpers::{Device, LOGIN, login_of, sign_up}, homeserver::{Homeserver}}}};

fn alice() -> Localpart {
    Localpart::stored("alice").unwrap()
}

/// Begins an update of a user, as another process, or ends it.
fn hold(server: &TestServer, name: &str, is_held: bool) {
    let key = json!({ "S": format!("homeserver#{name}") });
    if !is_held {
        let delete = json!({ "TableName": "gatehouse-outbox", "Key": { "pk": key } });
        return server.raw_dynamodb("DeleteItem", &delete);
    }
    let row = json!({
        "pk": key,
        "schema": { "N": "1" },
        "content": { "S": "homeserver" },
        "status": { "S": "sending" },
        "lease": { "S": "another" },
        "attempts": { "N": "1" },
        "created": { "N": "1" },
        "due": { "S": "homeserver" },
        "due_at": { "N": "9999999999999" },
    });
    let put = json!({ "TableName": "gatehouse-outbox", "Item": row });
    server.raw_dynamodb("PutItem", &put);
}

/// A login with the same device ID replaces the tokens of the device while its logout waits for the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_18_a_logout_does_not_delete_a_device_that_logs_in_again() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    server.expect_faults();
    sign_up(&server, "alice").await;
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = "DESK".into();
    for round in 0..8 {
        let old = Device::of(&server.post(LOGIN, &body).await.ok());
        hold(&server, "alice", true);
        let logout = "/_matrix/client/v3/logout";
        let empty = json!({});
        let release = async {
            tokio::time::sleep(Duration::from_millis(200 + 7 * round)).await;
            hold(&server, "alice", false);
        };
        let (new, _, ()) = tokio::join!(
            server.post(LOGIN, &body),
            post_as(&server, &old.token, logout, &empty),
            release
        );
        let new = Device::of(&new.ok());
        let is_valid = new.is_valid(&server).await;
        let exists = homeserver.devices("alice").contains(&"DESK".to_owned());
        assert_eq!((is_valid, exists), (true, true), "{round}");
        server.run_schedule().await;
        assert_eq!(pending(&server), 0);
    }
}

/// The change of a request that could not get the lease may come after the next update.
#[tokio::test]
async fn hs_15_a_requested_update_is_not_lost_when_another_one_fails() {
    let (_homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    let admin = server.admin();
    let (store, now) = (&admin.store, admin.clock.now());
    let later = now.plus(Duration::from_secs(30));
    let first = store.lease_update(&alice(), now, later).await.unwrap();
    store.request_update(&alice(), now).await.unwrap();
    let first = first.unwrap();
    store.requeue_update(&first, now, None).await.unwrap();
    let second = store.lease_update(&alice(), now, later).await.unwrap();
    store.end_update(&second.unwrap(), later).await.unwrap();
    assert_eq!(pending(&server), 1);
    let third = store.lease_update(&alice(), now, later).await.unwrap();
    store.end_update(&third.unwrap(), later).await.unwrap();
    assert_eq!(pending(&server), 0);
}

/// The operator cannot give a user of the homeserver to an account that has ended, whose deactivation would follow.
#[tokio::test]
async fn hs_12_a_deactivated_account_adopts_nobody() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.create_foreign_after_question("alice");
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": { "type": DUMMY } });
    server.register(&body).await.error(400, "M_USER_IN_USE");
    let foreign = homeserver.user("alice");
    let adopt = ["homeserver", "adopt", "alice", "--yes"];
    assert!(server.admin_run(&adopt).await.is_err());
    let erase = ["users", "deactivate", "alice", "--erase", "--yes"];
    for _ in 0..2 {
        server.admin_run(&erase).await.unwrap();
        server.admin_run(&["homeserver", "sync"]).await.unwrap();
    }
    assert_eq!(homeserver.user("alice"), foreign);
}
