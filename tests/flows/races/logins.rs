//! Concurrent logins, and logins that are concurrent with a password change, a logout or a deactivation.

use std::sync::Arc;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{rows_of, set_status},
    flows::{
        races::{delayed, finish_overtaken, start_delayed},
        support::{
            account_helpers::{
                Device, LOGIN, OTHER_PASSWORD, PASSWORD_PATH, log_in, login_of, password_of,
                sign_up, try_login, with_auth,
            },
            at_once, serial,
        },
    },
};

const MANY: usize = 60;

fn devices(server: &TestServer) -> usize {
    let rows = rows_of(server, "alice");
    rows.iter().filter(|(sk, _)| sk.starts_with("DEV#")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tok_09_of_concurrent_logins_to_a_device_one_token_is_valid() {
    let _serial = serial().await;
    for device in [Some("PHONE"), None] {
        let server = Arc::new(TestServer::new().await);
        sign_up(&server, "alice").await;
        let mut body = login_of("alice", PASSWORD);
        if let Some(device) = device {
            body["device_id"] = device.into();
        }
        let replies = at_once(MANY, |_| {
            let (server, body) = (Arc::clone(&server), body.clone());
            async move { server.post(LOGIN, &body).await }
        })
        .await;
        let mut valid = 0;
        for reply in &replies {
            let own = Device::of(&reply.ok());
            valid += usize::from(own.is_valid(&server).await);
        }
        let expected = if device.is_some() { 1 } else { MANY };
        assert_eq!((valid, devices(&server)), (expected, expected + 1));
    }
}

/// Runs `meanwhile` during a login with this device ID, after its password check and before its
/// write. Returns the status and the body of the login.
async fn run_during_delay(
    server: &Arc<TestServer>,
    device: &str,
    meanwhile: impl Future<Output = ()>,
) -> (u16, Value) {
    let fault = delayed("Login", "TransactWriteItems");
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = device.into();
    let own = Arc::clone(server);
    let login = start_delayed(server, fault, async move { own.post(LOGIN, &body).await }).await;
    meanwhile.await;
    let reply = finish_overtaken(login).await;
    (reply.status.as_u16(), reply.json())
}

/// PWD-08: a login with the ID of the device that the change keeps fails too.
#[tokio::test]
async fn pwd_08_a_login_that_races_a_password_change_fails() {
    for same in [true, false] {
        let server = Arc::new(TestServer::new().await);
        let alice = sign_up(&server, "alice").await;
        let device = if same { alice.id.as_str() } else { "OTHER" };
        let before = devices(&server);
        let (status, body) = run_during_delay(&server, device, async {
            let body = json!({ "new_password": OTHER_PASSWORD });
            let body = with_auth(body, password_of("alice", PASSWORD, None));
            alice.post(&server, PASSWORD_PATH, &body).await.ok();
        })
        .await;
        assert_eq!(
            (status, &body["errcode"]),
            (429, &json!("M_LIMIT_EXCEEDED"))
        );
        assert_eq!(devices(&server), before);
        assert!(alice.is_valid(&server).await, "the device was kept");
        try_login(&server, "alice", PASSWORD)
            .await
            .error(403, "M_FORBIDDEN");
        log_in(&server, "alice", OTHER_PASSWORD).await;
    }
}

#[tokio::test]
async fn out_02_a_login_that_races_a_logout_everywhere_fails() {
    let server = Arc::new(TestServer::new().await);
    let alice = sign_up(&server, "alice").await;
    let (status, _) = run_during_delay(&server, "OTHER", async {
        let path = "/_matrix/client/v3/logout/all";
        alice.post(&server, path, &json!({})).await.ok();
    })
    .await;
    assert_eq!(status, 429);
    assert!(!alice.is_valid(&server).await);
    // A new attempt succeeds, because the password is right.
    log_in(&server, "alice", PASSWORD).await;
}

/// Incident 13.
#[tokio::test]
async fn deact_02_a_login_that_races_a_deactivation_fails() {
    let server = Arc::new(TestServer::new().await);
    sign_up(&server, "alice").await;
    let before = devices(&server);
    let (status, _) = run_during_delay(&server, "OTHER", async {
        set_status(&server, "alice", "deactivated");
    })
    .await;
    assert_eq!((status, devices(&server)), (429, before));
}

/// OUT-02: a password change keeps the device of the caller while the caller logs out everywhere. The
/// logout ends the device.
#[tokio::test]
async fn out_02_a_kept_device_does_not_survive_its_own_logout() {
    let server = Arc::new(TestServer::new().await);
    let alice = sign_up(&server, "alice").await;
    let fault = delayed("LogoutAll", "TransactWriteItems");
    let (own, device) = (Arc::clone(&server), alice.clone());
    let logout = start_delayed(&server, fault, async move {
        let path = "/_matrix/client/v3/logout/all";
        device.post(&own, path, &json!({})).await
    })
    .await;
    let body = json!({ "new_password": OTHER_PASSWORD });
    let body = with_auth(body, password_of("alice", PASSWORD, None));
    alice.post(&server, PASSWORD_PATH, &body).await.ok();
    finish_overtaken(logout).await.ok();
    assert!(!alice.is_valid(&server).await);
}

/// A lost response of DynamoDB or some conflicts with other writes do not make a login fail. Conflicts
/// that outlast all retries lead to a 429.
#[tokio::test]
async fn a_login_survives_faults_of_dynamodb() {
    let server = TestServer::new().await;
    sign_up(&server, "alice").await;
    server.expect_faults();
    for (kind, times) in [
        (FaultKind::LostAnswer, 1),
        (FaultKind::Conflict, 4),
        (FaultKind::ThrottledItem, 2),
    ] {
        let fault = Fault::new(kind).by("Login").on("TransactWriteItems");
        server.local.proxy().inject(fault.times(times));
        let before = devices(&server);
        let alice = log_in(&server, "alice", PASSWORD).await;
        assert!(alice.is_valid(&server).await);
        assert_eq!(devices(&server), before + 1, "{kind:?}");
    }
    let fault = Fault::new(FaultKind::Conflict).by("Login");
    server.local.proxy().inject(fault.times(u64::MAX));
    let before = devices(&server);
    try_login(&server, "alice", PASSWORD)
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(devices(&server), before);
}
