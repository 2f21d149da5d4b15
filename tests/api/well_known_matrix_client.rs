//! `GET /.well-known/matrix/client`.

use kit::House;
use serde_json::json;

const PATH: &str = "/.well-known/matrix/client";
const HOMESERVER: (&str, &str) = (
    "GATEHOUSE_WELL_KNOWN_HOMESERVER",
    "https://matrix.example.org/",
);

#[tokio::test]
async fn wk_01_without_a_setting_there_is_nothing_to_say() {
    let house = House::new().await;
    house.get(PATH).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn wk_01_clients_are_told_the_servers_of_the_settings() {
    let house = House::with(&[HOMESERVER]).await;
    let (reply, calls) = house.calls_of(house.get(PATH)).await;
    let homeserver = json!({ "base_url": "https://matrix.example.org" });
    assert_eq!(reply.ok(), json!({ "m.homeserver": homeserver }));
    assert!(calls.is_empty(), "{calls:?}");
    let identity = (
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        "https://is.example.org",
    );
    let house = House::with(&[HOMESERVER, identity]).await;
    let identity = json!({ "base_url": "https://is.example.org" });
    assert_eq!(
        house.get(PATH).await.ok(),
        json!({ "m.homeserver": homeserver, "m.identity_server": identity })
    );
}
