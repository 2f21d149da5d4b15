//! The cost of the operations that the homeserver takes part in, and their calls there.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES};

use crate::{
    api::support::{dummy_registration, post_as},
    flows::{
        cost::CostTable,
        support::{
            account_helpers::{DEACTIVATE_PATH, Device, LOGIN, login_of, password_of, with_auth},
            homeserver::Homeserver,
        },
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_with_a_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[]).await;
    server.sign_up("warm").await;
    homeserver.take_calls();
    let mut costs = CostTable::default();
    let mut calls = Vec::new();
    let mut called = |operation: &str| {
        let names = homeserver.take_calls();
        let names = names
            .iter()
            .map(|call| call.split(' ').next().unwrap().to_owned());
        calls.push(format!(
            "{operation}: {}",
            names.collect::<Vec<_>>().join(" > ")
        ));
    };

    let available = format!("{}/register/available?username=alice", PREFIXES[1]);
    costs
        .measure("available", &server, server.get(&available))
        .await
        .ok();
    called("available");
    let body = dummy_registration("alice");
    let alice = costs
        .measure("registration", &server, server.register(&body))
        .await;
    let alice = Device::of(&alice.ok());
    called("registration");
    let login = login_of("alice", PASSWORD);
    let second = costs
        .measure("login", &server, server.post(LOGIN, &login))
        .await;
    let second = Device::of(&second.ok());
    called("login");
    let empty = json!({});
    let logout = format!("{}/logout", PREFIXES[1]);
    let work = post_as(&server, &second.token, &logout, &empty);
    costs.measure("logout", &server, work).await.ok();
    called("logout");
    let end = with_auth(json!({}), password_of("alice", PASSWORD, None));
    let work = post_as(&server, &alice.token, DEACTIVATE_PATH, &end);
    costs.measure("deactivation", &server, work).await.ok();
    called("deactivation");

    assert_eq!(
        calls,
        [
            "available: is_localpart_available",
            "registration: is_localpart_available > provision_user > upsert_device",
            "login: upsert_device",
            "logout: delete_device",
            "deactivation: delete_user",
        ]
    );
    costs.assert(
        "available: BatchGetItem Accounts = 2r 0w
        registration: BatchGetItem Accounts > UpdateItem Outbox > TransactWriteItems Accounts > UpdateItem Accounts > DeleteItem Outbox = 1r 11w
        login: BatchGetItem Accounts > UpdateItem Outbox > TransactWriteItems Accounts > DeleteItem Outbox = 2r 8w
        logout: BatchGetItem Accounts > UpdateItem Outbox > DeleteItem Accounts > DeleteItem Outbox = 2r 5w
        deactivation: BatchGetItem Accounts > Query Accounts + Query Accounts > UpdateItem Outbox > TransactWriteItems Accounts&Outbox > DeleteItem Outbox = 5r 11w",
    );
}
