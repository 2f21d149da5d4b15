//! `GET /devices`.

use kit::{House, PASSWORD, PREFIXES};
use serde_json::{Value, json};

use super::{
    devices_device_id::put,
    support::{add_appservice, post_as, set_status, text},
};

const DEVICES: &str = "/_matrix/client/v3/devices";

/// A login with this device id and name.
pub(super) async fn log_in(house: &House, name: &str, device: &str, called: &str) -> Value {
    let body = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": name },
        "device_id": device, "initial_device_display_name": called,
    });
    house.post("/_matrix/client/v3/login", &body).await.ok()
}

#[tokio::test]
async fn dev_01_a_users_living_devices_are_listed_and_nobody_elses() {
    let house = House::new().await;
    let body = json!({
        "username": "alice", "password": PASSWORD, "auth": { "type": "m.login.dummy" },
        "device_id": "B", "initial_device_display_name": "Her phone",
    });
    let alice = house.register(&body).await.ok();
    log_in(&house, "alice", "A/ü", "Her laptop").await;
    let nameless = json!({
        "type": "m.login.password", "password": PASSWORD, "device_id": "C",
        "identifier": { "type": "m.id.user", "user": "alice" },
    });
    house.post("/_matrix/client/v3/login", &nameless).await.ok();
    let bob = house.sign_up("bob").await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/devices");
        let token = text(&alice, "access_token");
        assert_eq!(
            house.get_as(token, &path).await.ok(),
            json!({ "devices": [
                { "device_id": "A/ü", "display_name": "Her laptop" },
                { "device_id": "B", "display_name": "Her phone" },
                { "device_id": "C" },
            ] })
        );
        let token = text(&bob, "access_token");
        let his = house.get_as(token, &path).await.ok();
        assert_eq!(
            his,
            json!({ "devices": [{ "device_id": bob["device_id"] }] })
        );
        house.get(&path).await.error(401, "M_MISSING_TOKEN");
    }
}

/// What has been logged out is gone at once, though its row may not be.
#[tokio::test]
async fn dev_01_dead_devices_are_not_listed() {
    let house = House::new().await;
    let first = house.sign_up("alice").await;
    log_in(&house, "alice", "B", "b").await;
    let path = "/_matrix/client/v3/logout/all";
    post_as(&house, text(&first, "access_token"), path, &json!({}))
        .await
        .ok();
    assert!(house.dump().contains("DEV#B"), "its row is still there");
    let third = log_in(&house, "alice", "C", "c").await;
    let listed = house.get_as(text(&third, "access_token"), DEVICES).await;
    let only = json!([{ "device_id": "C", "display_name": "c" }]);
    assert_eq!(listed.ok()["devices"], only);
    house.deliver().await;
    assert!(!house.dump().contains("DEV#B"));
    let listed = house.get_as(text(&third, "access_token"), DEVICES).await;
    assert_eq!(listed.ok()["devices"], only);
}

/// A query gives a megabyte at a time, and an answer has to fit into what a function may say.
#[tokio::test]
async fn dev_01_many_devices_are_read_page_by_page_and_no_answer_is_endless() {
    let house = House::new().await;
    let alice = house.sign_up("alice").await;
    // Dead ones first, more than a page of them.
    write_devices(&house, "alice", 0, ("a", 1800));
    write_devices(&house, "alice", 1, ("b", 1100));
    let token = text(&alice, "access_token");
    let (listed, calls) = house.calls_of(house.get_as(token, DEVICES)).await;
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
pub(crate) fn write_devices(house: &House, user: &str, epoch: i64, (kind, count): (&str, usize)) {
    let name = "n".repeat(900);
    let table = format!("{}-accounts", house.local.config().tables);
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
        house.past_the_functions("BatchWriteItem", &body);
    }
}

#[tokio::test]
async fn dev_01_an_application_service_sees_the_devices_of_its_users() {
    let house = House::new().await;
    let token = add_appservice(&house, "irc", &[("@irc_.*", true)]).await;
    let body = json!({
        "type": "m.login.application_service", "username": "irc_alice", "device_id": "IRC",
    });
    let path = "/_matrix/client/v3/register";
    post_as(&house, &token, path, &body).await.ok();
    house.sign_up("bob").await;
    for (query, devices) in [
        (
            "?user_id=@irc_alice:localhost",
            json!([{ "device_id": "IRC" }]),
        ),
        ("", json!([])),
    ] {
        let path = format!("{DEVICES}{query}");
        let listed = house.get_as(&token, &path).await.ok();
        assert_eq!(listed["devices"], devices);
    }
    let path = format!("{DEVICES}?user_id=@bob:localhost");
    house.get_as(&token, &path).await.error(403, "M_FORBIDDEN");
    set_status(&house, "irc_alice", "locked");
    let path = format!("{DEVICES}?user_id=@irc_alice:localhost");
    house
        .get_as(&token, &path)
        .await
        .error(401, "M_USER_LOCKED");
}

#[tokio::test]
async fn guest_06_a_guest_sees_and_names_its_device() {
    let house = House::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = house.post(path, &json!({})).await.ok();
    let token = text(&guest, "access_token");
    let listed = house.get_as(token, DEVICES).await.ok();
    assert_eq!(listed["devices"][0]["device_id"], guest["device_id"]);
    let path = format!("{DEVICES}/{}", text(&guest, "device_id"));
    house.get_as(token, &path).await.ok();
    let name = json!({ "display_name": "g" });
    put(&house, token, &path, &name).await.ok();
    let one = house.get_as(token, &path).await.ok();
    assert_eq!(one["display_name"], "g");
}
