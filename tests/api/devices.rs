//! `GET /devices`.

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::{
    devices_device_id::put,
    support::{add_appservice, post_as, set_status, text},
};

const DEVICES: &str = "/_matrix/client/v3/devices";

/// A login with this device id and name.
pub(super) async fn log_in(server: &TestServer, name: &str, device: &str, called: &str) -> Value {
    let body = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": name },
        "device_id": device, "initial_device_display_name": called,
    });
    server.post("/_matrix/client/v3/login", &body).await.ok()
}

#[tokio::test]
async fn dev_01_a_users_living_devices_are_listed_and_nobody_elses() {
    let server = TestServer::new().await;
    let body = json!({
        "username": "alice", "password": PASSWORD, "auth": { "type": "m.login.dummy" },
        "device_id": "B", "initial_device_display_name": "Her phone",
    });
    let alice = server.register(&body).await.ok();
    log_in(&server, "alice", "A/ü", "Her laptop").await;
    let nameless = json!({
        "type": "m.login.password", "password": PASSWORD, "device_id": "C",
        "identifier": { "type": "m.id.user", "user": "alice" },
    });
    server
        .post("/_matrix/client/v3/login", &nameless)
        .await
        .ok();
    let bob = server.sign_up("bob").await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/devices");
        let token = text(&alice, "access_token");
        assert_eq!(
            server.get_as(token, &path).await.ok(),
            json!({ "devices": [
                { "device_id": "A/ü", "display_name": "Her laptop" },
                { "device_id": "B", "display_name": "Her phone" },
                { "device_id": "C" },
            ] })
        );
        let token = text(&bob, "access_token");
        let his = server.get_as(token, &path).await.ok();
        assert_eq!(
            his,
            json!({ "devices": [{ "device_id": bob["device_id"] }] })
        );
        server.get(&path).await.error(401, "M_MISSING_TOKEN");
    }
}

/// What has been logged out is gone at once, though its row may not be.
#[tokio::test]
async fn dev_01_dead_devices_are_not_listed() {
    let server = TestServer::new().await;
    let first = server.sign_up("alice").await;
    log_in(&server, "alice", "B", "b").await;
    let path = "/_matrix/client/v3/logout/all";
    post_as(&server, text(&first, "access_token"), path, &json!({}))
        .await
        .ok();
    assert!(server.dump().contains("DEV#B"), "its row is still there");
    let third = log_in(&server, "alice", "C", "c").await;
    let listed = server.get_as(text(&third, "access_token"), DEVICES).await;
    let only = json!([{ "device_id": "C", "display_name": "c" }]);
    assert_eq!(listed.ok()["devices"], only);
    server.deliver().await;
    assert!(!server.dump().contains("DEV#B"));
    let listed = server.get_as(text(&third, "access_token"), DEVICES).await;
    assert_eq!(listed.ok()["devices"], only);
}

/// A query gives a megabyte at a time, and an answer has to fit into what a function may say.
#[tokio::test]
async fn dev_01_many_devices_are_read_page_by_page_and_no_answer_is_endless() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    // Dead ones first, more than a page of them.
    write_devices(&server, "alice", 0, ("a", 1800));
    write_devices(&server, "alice", 1, ("b", 1100));
    let token = text(&alice, "access_token");
    let (listed, calls) = server.calls_of(server.get_as(token, DEVICES)).await;
    let listed = listed.ok();
    let queries = calls.iter().filter(|call| call.operation == "Query");
    assert!(queries.count() > 1, "{calls:?}");
    let devices = listed["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1000);
    let is_living = |device: &Value| text(device, "device_id").starts_with('b');
    // The device of the sign-up is named in capitals, and so comes first.
    assert_eq!(devices[0]["device_id"], alice["device_id"]);
    assert!(devices[1..].iter().all(is_living));
}

/// Rows of so many devices, of about 1 kB each.
pub(crate) fn write_devices(
    server: &TestServer,
    user: &str,
    epoch: i64,
    (kind, count): (&str, usize),
) {
    let name = "n".repeat(900);
    let table = format!("{}-accounts", server.local.config().tables);
    let item = |number: usize| {
        json!({ "PutRequest": { "Item": {
            "pk": { "S": format!("USER#{user}") }, "sk": { "S": format!("DEV#{kind}{number}") },
            "schema": { "N": "1" }, "epoch": { "N": epoch.to_string() },
            "access_hash": { "S": "none" }, "display_name": { "S": name },
            "issued_at": { "N": "1" }, "upstream": { "S": "none" },
        } } })
    };
    let items: Vec<Value> = (0..count).map(item).collect();
    for some in items.chunks(25) {
        let mut body = json!({ "RequestItems": {} });
        body["RequestItems"][&table] = some.into();
        server.raw_dynamodb("BatchWriteItem", &body);
    }
}

#[tokio::test]
async fn dev_01_an_application_service_sees_the_devices_of_its_users() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let body = json!({
        "type": "m.login.application_service", "username": "irc_alice", "device_id": "IRC",
    });
    let path = "/_matrix/client/v3/register";
    post_as(&server, &token, path, &body).await.ok();
    server.sign_up("bob").await;
    for (query, devices) in [
        (
            "?user_id=@irc_alice:localhost",
            json!([{ "device_id": "IRC" }]),
        ),
        ("", json!([])),
    ] {
        let path = format!("{DEVICES}{query}");
        let listed = server.get_as(&token, &path).await.ok();
        assert_eq!(listed["devices"], devices);
    }
    let path = format!("{DEVICES}?user_id=@bob:localhost");
    server.get_as(&token, &path).await.error(403, "M_FORBIDDEN");
    set_status(&server, "irc_alice", "locked");
    let path = format!("{DEVICES}?user_id=@irc_alice:localhost");
    server
        .get_as(&token, &path)
        .await
        .error(401, "M_USER_LOCKED");
}

#[tokio::test]
async fn guest_06_a_guest_sees_and_names_its_device() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(path, &json!({})).await.ok();
    let token = text(&guest, "access_token");
    let listed = server.get_as(token, DEVICES).await.ok();
    assert_eq!(listed["devices"][0]["device_id"], guest["device_id"]);
    let path = format!("{DEVICES}/{}", text(&guest, "device_id"));
    server.get_as(token, &path).await.ok();
    let name = json!({ "display_name": "g" });
    put(&server, token, &path, &name).await.ok();
    let one = server.get_as(token, &path).await.ok();
    assert_eq!(one["display_name"], "g");
}
