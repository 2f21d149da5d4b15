//! `GET /capabilities`.

use kit::{House, PREFIXES};
use serde_json::json;

use super::support::{add_appservice, text};

#[tokio::test]
async fn cap_01_the_capabilities_are_what_is_switched_on() {
    for (passwords, addresses) in [("on", "on"), ("off", "on"), ("on", "off")] {
        let settings = [
            ("GATEHOUSE_PASSWORD_CHANGES", passwords),
            ("GATEHOUSE_3PID_CHANGES", addresses),
        ];
        let house = House::with(&settings).await;
        let alice = house.sign_up("alice").await;
        for prefix in PREFIXES {
            let path = format!("{prefix}/capabilities");
            let told = house.get_as(text(&alice, "access_token"), &path).await;
            assert_eq!(
                told.ok(),
                json!({ "capabilities": {
                    "m.change_password": { "enabled": passwords == "on" },
                    "m.3pid_changes": { "enabled": addresses == "on" },
                    "m.get_login_token": { "enabled": false },
                } })
            );
            house.get(&path).await.error(401, "M_MISSING_TOKEN");
        }
    }
}

#[tokio::test]
async fn cap_01_an_application_service_may_ask() {
    let house = House::new().await;
    let token = add_appservice(&house, "irc", &[("@irc_.*", true)]).await;
    let path = format!("{}/capabilities", PREFIXES[1]);
    house.get_as(&token, &path).await.ok();
    let path = format!("{path}?user_id=@alice:localhost");
    house.get_as(&token, &path).await.error(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guest_06_a_guest_is_told_no_capabilities() {
    let house = House::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = house.post(path, &json!({})).await.ok();
    let path = format!("{}/capabilities", PREFIXES[1]);
    let told = house.get_as(text(&guest, "access_token"), &path).await;
    told.error(403, "M_GUEST_ACCESS_FORBIDDEN");
}
