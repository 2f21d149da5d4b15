//! `POST /logout`.

use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

use super::support::{register_guest, send_as, text, whoami_as};

/// Logs out with a `POST` without a body, as clients do.
pub(super) async fn log_out(server: &TestServer, path: &str, answer: &Value) -> Reply {
    send_as(server, text(answer, "access_token"), ("POST", path), b"").await
}

#[tokio::test]
async fn out_01_a_logout_ends_one_token_and_its_device() {
    for prefix in PREFIXES {
        let server = TestServer::new().await;
        let (alice, bob) = (server.sign_up("alice").await, server.sign_up("bob").await);
        let path = format!("{prefix}/logout");
        assert_eq!(log_out(&server, &path, &alice).await.ok(), json!({}));
        whoami_as(&server, &alice)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        whoami_as(&server, &bob).await.ok();
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
    let guest = register_guest(&server).await;
    for path in ["/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all"] {
        log_out(&server, path, &guest)
            .await
            .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    }
}
