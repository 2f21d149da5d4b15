//! `GET /.well-known/matrix/client`.

use serde_json::json;
use test_support::TestServer;

const PATH: &str = "/.well-known/matrix/client";
const HOMESERVER: (&str, &str) = (
    "GATEHOUSE_WELL_KNOWN_HOMESERVER",
    "https://matrix.example.org/",
);

#[tokio::test]
async fn wk_01_without_a_setting_it_is_not_found() {
    let server = TestServer::new().await;
    server.get(PATH).await.error(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn wk_01_the_configured_servers_are_returned() {
    let server = TestServer::with(&[HOMESERVER]).await;
    let (reply, calls) = server.calls_of(server.get(PATH)).await;
    let homeserver = json!({ "base_url": "https://matrix.example.org" });
    assert_eq!(reply.ok(), json!({ "m.homeserver": homeserver }));
    assert!(calls.is_empty(), "{calls:?}");
    let identity = (
        "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
        "https://is.example.org",
    );
    let server = TestServer::with(&[HOMESERVER, identity]).await;
    let identity = json!({ "base_url": "https://is.example.org" });
    assert_eq!(
        server.get(PATH).await.ok(),
        json!({ "m.homeserver": homeserver, "m.identity_server": identity })
    );
}
