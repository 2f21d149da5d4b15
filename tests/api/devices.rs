//! `GET /devices`.

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::{
    devices_device_id::put,
    support::{
        add_appservice, dummy_registration, password_login, post_as, register_guest, set_status,
        text, with,
    },
};

const DEVICES: &str = "/_matrix/client/v3/devices";

/// Logs in with this device ID and display name.
pub(super) async fn log_in(
    server: &TestServer,
    name: &str,
    device: &str,
    display_name: &str,
) -> Value {
    let body = with(
        password_login(name, PASSWORD),
        &json!({ "device_id": device, "initial_device_display_name": display_name }),
    );
    server.post("/_matrix/client/v3/login", &body).await.ok()
}

#[tokio::test]
async fn dev_01_a_user_sees_their_own_logged_in_devices_only() {
    let server = TestServer::new().await;
    let body = with(
        dummy_registration("alice"),
        &json!({ "device_id": "B", "initial_device_display_name": "Her phone" }),
    );
    let alice = server.register(&body).await.ok();
    log_in(&server, "alice", "A/ü", "Her laptop").await;
    let nameless = with(
        password_login("alice", PASSWORD),
        &json!({ "device_id": "C" }),
    );
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
        let bobs = server.get_as(token, &path).await.ok();
        assert_eq!(
            bobs,
            json!({ "devices": [{ "device_id": bob["device_id"] }] })
        );
        server.get(&path).await.error(401, "M_MISSING_TOKEN");
    }
}

/// A device that was logged out is hidden at once, although its row may still exist.
#[tokio::test]
async fn dev_01_logged_out_devices_are_not_listed() {
    let server = TestServer::new().await;
    let first = server.sign_up("alice").await;
    log_in(&server, "alice", "B", "b").await;
    let path = "/_matrix/client/v3/logout/all";
    post_as(&server, text(&first, "access_token"), path, &json!({}))
        .await
        .ok();
    assert!(
        server.dump().contains("DEV#B"),
        "the row is deleted already"
    );
    let third = log_in(&server, "alice", "C", "c").await;
    let listed = server.get_as(text(&third, "access_token"), DEVICES).await;
    let only = json!([{ "device_id": "C", "display_name": "c" }]);
    assert_eq!(listed.ok()["devices"], only);
    server.deliver().await;
    assert!(!server.dump().contains("DEV#B"));
    let listed = server.get_as(text(&third, "access_token"), DEVICES).await;
    assert_eq!(listed.ok()["devices"], only);
}

/// A query reads one megabyte at a time, and Lambda limits the size of a response.
#[tokio::test]
async fn dev_01_many_devices_are_paged_and_the_answer_is_bounded() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    // The logged-out devices come first and fill more than one page.
    write_devices(&server, "alice", 0, ("a", 1800));
    write_devices(&server, "alice", 1, ("b", 1100));
    let token = text(&alice, "access_token");
    let (listed, calls) = server.calls_of(server.get_as(token, DEVICES)).await;
    let listed = listed.ok();
    let queries = calls.iter().filter(|call| call.operation == "Query");
    assert!(queries.count() > 1, "{calls:?}");
    let devices = listed["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 1000);
    let is_logged_in = |device: &Value| text(device, "device_id").starts_with('b');
    // The device ID of the sign-up is in capitals, so it sorts first.
    assert_eq!(devices[0]["device_id"], alice["device_id"]);
    assert!(devices[1..].iter().all(is_logged_in));
}

/// Writes this many device rows of about 1 kB each.
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
    for batch in items.chunks(25) {
        let mut body = json!({ "RequestItems": {} });
        body["RequestItems"][&table] = batch.into();
        server.raw_dynamodb("BatchWriteItem", &body);
    }
}

#[tokio::test]
async fn dev_01_an_appservice_sees_the_devices_of_its_users() {
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
async fn guest_06_a_guest_sees_and_renames_its_device() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = register_guest(&server).await;
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
