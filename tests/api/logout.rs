//! `POST /logout`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use http::Request;
use kit::{House, PREFIXES, Reply};
use serde_json::{Value, json};

/// `POST` without any body, as clients log out.
pub(super) async fn leave(house: &House, path: &str, answer: &Value) -> Reply {
    let token = answer["access_token"].as_str().unwrap_or_default();
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    house.send(request.body(Vec::new()).unwrap()).await
}

pub(super) async fn whoami(house: &House, answer: &Value) -> Reply {
    let token = answer["access_token"].as_str().unwrap_or_default();
    house
        .get_as(token, "/_matrix/client/v3/account/whoami")
        .await
}

#[tokio::test]
async fn out_01_a_logout_ends_the_token_and_its_device_and_no_other() {
    for prefix in PREFIXES {
        let house = House::new().await;
        let (alice, bob) = (house.sign_up("alice").await, house.sign_up("bob").await);
        let path = format!("{prefix}/logout");
        assert_eq!(leave(&house, &path, &alice).await.ok(), json!({}));
        whoami(&house, &alice).await.error(401, "M_UNKNOWN_TOKEN");
        whoami(&house, &bob).await.ok();
        let device = alice["device_id"].as_str().unwrap();
        assert!(!house.dump().contains(&format!("DEV#{device}")));
        leave(&house, &path, &alice)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        let nobody = house.post_text(&path, "").await;
        nobody.error(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn guest_06_a_guest_does_not_log_out() {
    let house = House::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = house
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all"] {
        leave(&house, path, &guest)
            .await
            .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
}
