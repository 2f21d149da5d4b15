//! `POST /logout`.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use http::Request;
use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

/// `POST` without a body, as clients log out.
pub(super) async fn log_out(server: &TestServer, path: &str, answer: &Value) -> Reply {
    let token = answer["access_token"].as_str().unwrap_or_default();
    let request = Request::post(path).header("authorization", format!("Bearer {token}"));
    server.send(request.body(Vec::new()).unwrap()).await
}

pub(super) async fn whoami(server: &TestServer, answer: &Value) -> Reply {
    let token = answer["access_token"].as_str().unwrap_or_default();
    server
        .get_as(token, "/_matrix/client/v3/account/whoami")
        .await
}

#[tokio::test]
async fn out_01_a_logout_ends_one_token_and_its_device() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let (alice, bob) = (server.sign_up("alice").await, server.sign_up("bob").await);
        let path = format!("{prefix}/logout");
        assert_eq!(log_out(&server, &path, &alice).await.ok(), json!({}));
        whoami(&server, &alice).await.error(401, "M_UNKNOWN_TOKEN");
        whoami(&server, &bob).await.ok();
        let device = alice["device_id"].as_str().unwrap();
        assert!(!server.dump().contains(&format!("DEV#{device}")));
        log_out(&server, &path, &alice)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        let anonymous = server.post_text(&path, "").await;
        anonymous.error(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn guest_06_a_guest_does_not_log_out() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all"] {
        log_out(&server, path, &guest)
            .await
            .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
}
