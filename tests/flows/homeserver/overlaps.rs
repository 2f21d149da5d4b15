//! Requests about one user that overlap in a certain order, and processes that do not know what another one has changed.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::{
    config::HomeserverConfig,
    homeserver::{Change, Homeserver as Updates},
    homeserver_client::Client,
    ids::Localpart,
    secrets::Secret,
    store::StoreError,
};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{WHOAMI, add_appservice, dummy_registration, post_as},
    flows::{
        homeserver::{pending, set_homeserver_state},
        races::{delayed, finish_overtaken, start_delayed},
        support::{
            account_helpers::{
                ADDRESSES, DELETE_DEVICES_PATH, Device, LOGIN, OTHER_PASSWORD, PASSWORD_PATH,
                log_in, login_of, password_of, sign_up, sign_up_with, try_login, with_auth,
            },
            homeserver::{Homeserver, Misbehaviour},
            threepid_helpers::EMAIL,
        },
    },
};

fn alice() -> Localpart {
    Localpart::stored("alice").unwrap()
}

/// Changes the kind of an account.
fn set_kind(server: &TestServer, name: &str, kind: &str) {
    let update = json!({
        "TableName": "gatehouse-accounts",
        "Key": { "pk": { "S": format!("USER#{name}") }, "sk": { "S": "A" } },
        "UpdateExpression": "SET kind = :kind",
        "ExpressionAttributeValues": { ":kind": { "S": kind } },
    });
    server.raw_dynamodb("UpdateItem", &update);
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

/// Two logins read an older account before one of them creates its user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_12_concurrent_first_logins_of_an_older_account_succeed() {
    let (homeserver, server) = Homeserver::with_server(&ADDRESSES).await;
    let first = sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    set_homeserver_state(&server, "alice", "none");
    homeserver.remove("alice");
    homeserver.set_delay(Duration::from_millis(20));
    let logins = (0..3).map(|_| try_login(&server, "alice", PASSWORD));
    let mut expected = vec![first.id];
    for reply in join_all(logins).await {
        expected.push(Device::of(&reply.ok()).id);
    }
    expected.sort();
    assert_eq!(homeserver.devices("alice"), expected);
    // The homeserver gets everything about a new user.
    let user = homeserver.user("alice").unwrap();
    assert_eq!(user.emails, ["alice@example.org"]);
    homeserver.assert_no_violations();
}

/// A change reads an account that the homeserver does not have, and a login creates the user before the change.
#[tokio::test]
async fn hs_15_a_change_while_the_user_is_created_is_carried_over() {
    let (_homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    set_homeserver_state(&server, "alice", "none");
    let admin = server.admin();
    let account = admin.store.find_account(&alice()).await.unwrap().unwrap();
    let client = Client::new(&HomeserverConfig {
        url: "http://127.0.0.1:9".to_owned(),
        secret: Secret::new("unused".to_owned()),
    });
    let user = alice();
    let updates = Updates::new(&admin.store, &*admin.clock, &client);
    let change = Change::Deactivated { erase: false };
    let unrelated = async { Ok::<_, StoreError>(()) };
    let carried_over = updates.carry_over(&user, &account, change, unrelated);
    carried_over.await.unwrap();
    assert_eq!(pending(&server), 0);
    let overlapping = async {
        set_homeserver_state(&server, "alice", "provisioned");
        Ok::<_, StoreError>(())
    };
    let carried_over = updates.carry_over(&user, &account, change, overlapping);
    carried_over.await.unwrap();
    assert_eq!(pending(&server), 1);
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

/// The homeserver rejects an earlier change of the user.
#[tokio::test]
async fn hs_13_a_login_does_not_need_earlier_changes() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    for misbehaviour in [Misbehaviour::Fails(400), Misbehaviour::Fails(500)] {
        let name = format!("{misbehaviour:?}")
            .to_lowercase()
            .replace(['(', ')'], "");
        let first = sign_up(&server, &name).await;
        homeserver.set_misbehaviour(Some(Misbehaviour::Down));
        let logout = "/_matrix/client/v3/logout";
        post_as(&server, &first.token, logout, &json!({}))
            .await
            .ok();
        homeserver.set_misbehaviour(None);
        homeserver.misbehave_at(2, misbehaviour);
        let second = log_in(&server, &name, PASSWORD).await;
        assert!(homeserver.devices(&name).contains(&second.id));
        assert_eq!(pending(&server), 1);
        homeserver.set_misbehaviour(None);
        server.advance(Duration::from_mins(15));
        server.run_schedule().await;
        assert_eq!(homeserver.devices(&name), [second.id]);
        assert_eq!(pending(&server), 0);
    }
}

/// The failure of one update does not cancel those that have begun.
#[tokio::test]
async fn hs_15_a_failed_update_does_not_cancel_others() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let mut devices = Vec::new();
    for number in 0..4 {
        devices.push(sign_up(&server, &format!("user{number}")).await);
    }
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    let logout = "/_matrix/client/v3/logout";
    for device in &devices {
        post_as(&server, &device.token, logout, &json!({}))
            .await
            .ok();
    }
    homeserver.set_delay(Duration::from_millis(50));
    homeserver.misbehave_at(1, Misbehaviour::Fails(500));
    server.advance(Duration::from_mins(1));
    server.run_schedule().await;
    assert_eq!(pending(&server), 1);
}

/// PostgreSQL cannot store the character NUL, so that Synapse fails.
#[tokio::test]
async fn hs_17_a_display_name_has_no_nul_there() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    sign_up(&server, "alice").await;
    let mut body = login_of("alice", PASSWORD);
    body["initial_device_display_name"] = "Pho\0ne".into();
    let device = Device::of(&server.post(LOGIN, &body).await.ok());
    let name = || homeserver.user("alice").unwrap().devices[&device.id].clone();
    assert_eq!(name(), "Phone");
    device.rename(&server, "De\0sk").await;
    assert_eq!(name(), "Desk");
}

/// A guest of an earlier configuration whose name the homeserver has stays a guest.
#[tokio::test]
async fn hs_10_the_name_of_an_upgraded_guest_is_checked() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let guest = sign_up(&server, "alice").await;
    set_homeserver_state(&server, "alice", "none");
    set_kind(&server, "alice", "guest");
    let before = homeserver.user("alice");
    let mut body: Value = dummy_registration("alice");
    body["guest_access_token"] = guest.token.clone().into();
    server.register(&body).await.error(400, "M_USER_IN_USE");
    server.get_as(&guest.token, WHOAMI).await.ok();
    assert_eq!(homeserver.user("alice"), before);
    assert_eq!(pending(&server), 0);
    homeserver.remove("alice");
    let user = Device::of(&server.register(&body).await.ok());
    assert_eq!(homeserver.devices("alice"), [user.id]);
    let second = log_in(&server, "alice", PASSWORD).await;
    assert!(homeserver.devices("alice").contains(&second.id));
}

/// The operator cannot give a user of the homeserver to an account that has ended, whose deactivation would follow.
#[tokio::test]
async fn hs_12_a_deactivated_account_adopts_nobody() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    homeserver.create_foreign_after_check("alice");
    let body = dummy_registration("alice");
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

/// An application service that is still registered here may delete devices of the users in its namespace.
#[tokio::test]
async fn hs_14_devices_deleted_by_an_application_service_are_deleted() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let device = sign_up(&server, "alice").await;
    let kept = log_in(&server, "alice", PASSWORD).await;
    let token = add_appservice(&server, "bridge", &[("@alice:.*", false)]).await;
    let path = format!("{DELETE_DEVICES_PATH}?user_id=@alice:localhost");
    let body = json!({ "devices": [device.id] });
    post_as(&server, &token, &path, &body).await.ok();
    assert_eq!(homeserver.devices("alice"), [kept.id]);
}

/// Two equal requests with a UIA session: the other request completes the session, and the user logs in again, while
/// this request waits for its lease. This request repeats the response of the other one, but not its change.
async fn overtaken(function: &str, path: &'static str, body: Value, password: &str) {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    let server = Arc::new(server);
    let own = sign_up(&server, "alice").await;
    let mut login = login_of("alice", PASSWORD);
    login["device_id"] = "DESK".into();
    server.post(LOGIN, &login).await.ok();
    let (_, session) = own.begin(&server, path, &body).await;
    let last = with_auth(body, password_of("alice", PASSWORD, Some(&session)));
    let fault = delayed(function, "UpdateItem").at("Outbox");
    let (other_server, other, request) = (Arc::clone(&server), own.clone(), last.clone());
    let slow = async move { other.post(&other_server, path, &request).await };
    let slow = start_delayed(&server, fault, slow).await;
    own.post(&server, path, &last).await.ok();
    assert_eq!(homeserver.devices("alice"), [own.id.as_str()]);
    login["password"] = password.into();
    let new = Device::of(&server.post(LOGIN, &login).await.ok());
    finish_overtaken(slow).await.ok();
    for _ in 0..2 {
        assert!(homeserver.devices("alice").contains(&new.id), "{path}");
        assert!(new.is_valid(&server).await);
        server.advance(Duration::from_mins(1));
        server.run_schedule().await;
    }
    assert_eq!(pending(&server), 0);
    homeserver.assert_no_violations();
}

#[tokio::test]
async fn hs_18_a_repeated_change_does_not_remove_a_newer_login() {
    let body = json!({ "new_password": OTHER_PASSWORD, "logout_devices": true });
    overtaken("AccountPassword", PASSWORD_PATH, body, OTHER_PASSWORD).await;
    let body = json!({ "devices": ["DESK"] });
    overtaken("DeleteDevices", DELETE_DEVICES_PATH, body, PASSWORD).await;
}
