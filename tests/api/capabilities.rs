//! `GET /capabilities`.

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use super::support::{add_appservice, register_guest, text};

#[tokio::test]
async fn cap_01_the_capabilities_follow_the_settings() {
    for (passwords, addresses) in [("on", "on"), ("off", "on"), ("on", "off")] {
        let settings = [
            ("GATEHOUSE_PASSWORD_CHANGES", passwords),
            ("GATEHOUSE_3PID_CHANGES", addresses),
        ];
        let server = TestServer::with(&settings).await;
        let alice = server.sign_up("alice").await;
        for prefix in PREFIXES {
            let path = format!("{prefix}/capabilities");
            let reply = server.get_as(text(&alice, "access_token"), &path).await;
            assert_eq!(
                reply.ok(),
                json!({ "capabilities": {
                    "m.change_password": { "enabled": passwords == "on" },
                    "m.3pid_changes": { "enabled": addresses == "on" },
                    "m.get_login_token": { "enabled": false },
                } })
            );
            server.get(&path).await.error(401, "M_MISSING_TOKEN");
        }
    }
}

#[tokio::test]
async fn cap_01_an_application_service_may_read_them() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let path = format!("{}/capabilities", PREFIXES[1]);
    server.get_as(&token, &path).await.ok();
    let path = format!("{path}?user_id=@alice:localhost");
    server.get_as(&token, &path).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guest_06_a_guest_may_not_read_capabilities() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = register_guest(&server).await;
    let path = format!("{}/capabilities", PREFIXES[1]);
    let reply = server.get_as(text(&guest, "access_token"), &path).await;
    reply.error(403, "M_GUEST_ACCESS_FORBIDDEN");
}
