//! A UIA session of a user ends with the login that started it. From then on it does not exist for any request and
//! for any fallback page, which charge nothing and disclose nothing (UIA-14).

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use test_support::{Log, PASSWORD, PREFIXES, Reply, TestServer};

use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, OTHER_PASSWORD, PASSWORD_PATH,
            log_in, login_of, password_of, request_reset_token, rows_of, sign_up, sign_up_with,
            with_auth,
        },
        admin_run, count, page, submit,
        threepid_helpers::{ALICE, EMAIL},
    },
};

const STAGE: &str = "m.login.password";
const RIGHT: &str = "password=ostrich+lamp+8+quarrel";
const LOGOUT: &str = "/_matrix/client/v3/logout";
const LOGIN: &str = "/_matrix/client/v3/login";

/// The ways in which a login ends.
const ENDS: [&str; 9] = [
    "logout",
    "logout of all devices",
    "deletion by another device",
    "password change on another device",
    "password reset",
    "deactivation",
    "lock",
    "reset by the operator",
    "login with the same device ID",
];

async fn end(server: &TestServer, how: &str, device: &Device, other: &Device) {
    let with_password = |body: Value| with_auth(body, password_of("alice", PASSWORD, None));
    match how {
        "logout" => {
            device.post(server, LOGOUT, &json!({})).await.ok();
        }
        "logout of all devices" => {
            let path = format!("{LOGOUT}/all");
            device.post(server, &path, &json!({})).await.ok();
        }
        "deletion by another device" => {
            let body = with_password(json!({ "devices": [device.id] }));
            other.post(server, DELETE_DEVICES_PATH, &body).await.ok();
        }
        "password change on another device" => {
            let body = with_password(json!({ "new_password": OTHER_PASSWORD }));
            other.post(server, PASSWORD_PATH, &body).await.ok();
        }
        "password reset" => {
            let validation = request_reset_token(server, EMAIL, ALICE, "reset").await;
            validation.validate(server).await;
            let mut body = validation.attempt(None);
            body["new_password"] = OTHER_PASSWORD.into();
            server.post(PASSWORD_PATH, &body).await.ok();
        }
        "deactivation" => {
            let body = with_password(json!({}));
            other.post(server, DEACTIVATE_PATH, &body).await.ok();
        }
        "lock" => set_status(server, "alice", "locked"),
        "reset by the operator" => {
            admin_run(server, &["users", "reset-password", "alice"]).await;
        }
        _ => {
            server.advance(Duration::from_secs(1));
            let mut body = login_of("alice", PASSWORD);
            body["device_id"] = device.id.clone().into();
            server.post(LOGIN, &body).await.ok();
        }
    }
}

/// Every response of the fallback page of this session: when it is shown, and for forms with a wrong and with the right
/// password.
async fn page_responses(server: &TestServer, session: &str) -> Vec<(u16, String)> {
    let path = page(PREFIXES[1], STAGE, session);
    let mut replies = vec![server.get(&path).await];
    for form in ["password=wrong", RIGHT, ""] {
        replies.push(submit(server, &path, form).await);
    }
    let response = |reply: Reply| (reply.status.as_u16(), reply.text());
    replies.into_iter().map(response).collect()
}

/// The password hashes in all log lines.
fn hashes(log: &Log) -> usize {
    let lines = log.request_lines();
    let counted = lines
        .iter()
        .filter(|line| line.get("argon2.hashes").is_some());
    counted.count()
}

#[tokio::test]
async fn uia_14_a_page_ends_with_the_login_that_began_it() {
    for how in ENDS {
        let (log, _guard) = Log::capture();
        let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
        let server = TestServer::with(&settings).await;
        let other = sign_up_with(&server, "alice", EMAIL, ALICE).await;
        let device = log_in(&server, "alice", PASSWORD).await;
        let mut sessions = Vec::new();
        for (path, body) in [
            (PASSWORD_PATH, json!({ "new_password": OTHER_PASSWORD })),
            (DEACTIVATE_PATH, json!({})),
            (DELETE_DEVICES_PATH, json!({ "devices": [other.id] })),
        ] {
            sessions.push(device.begin(&server, path, &body).await.1);
        }
        // The last one is completed on its page before the login ends.
        let done = submit(&server, &page(PREFIXES[1], STAGE, &sessions[2]), RIGHT).await;
        assert_eq!(done.status, 200, "{how}");
        end(&server, how, &device, &other).await;
        let unknown = page_responses(&server, "unknown").await;
        assert!(unknown.iter().all(|(status, _)| *status == 404), "{how}");
        let (before, hashed) = (count(&server, "Limits"), hashes(&log));
        let rows = rows_of(&server, "alice");
        for session in &sessions {
            assert_eq!(page_responses(&server, session).await, unknown, "{how}");
        }
        assert_eq!(
            count(&server, "Limits"),
            before,
            "{how}: nothing is charged"
        );
        assert_eq!(hashes(&log), hashed, "{how}: nothing is hashed");
        assert_eq!(rows_of(&server, "alice"), rows, "{how}");
    }
}

/// Guesses on the page of an ended session do not use up the attempts of the account owner.
#[tokio::test]
async fn uia_14_an_ended_session_does_not_lock_the_owner_out() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let thief = sign_up(&server, "alice").await;
    let change = json!({ "new_password": OTHER_PASSWORD });
    let (_, session) = thief.begin(&server, PASSWORD_PATH, &change).await;
    thief
        .post(&server, &format!("{LOGOUT}/all"), &json!({}))
        .await
        .ok();
    let path = page(PREFIXES[1], STAGE, &session);
    for network in 1..=110_u8 {
        let request =
            Request::post(&path).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(b"password=wrong".to_vec()).unwrap();
        let reply = server
            .send_from([198, 51, 100, network].into(), request)
            .await;
        assert_eq!(reply.status, 404);
    }
    let owner = log_in(&server, "alice", PASSWORD).await;
    let body = with_auth(change, password_of("alice", PASSWORD, None));
    owner.post(&server, PASSWORD_PATH, &body).await.ok();
}

/// Everything that does not end the login keeps its sessions.
#[tokio::test]
async fn uia_14_a_session_outlives_what_keeps_its_login() {
    for how in [
        "nothing",
        "refresh",
        "other login",
        "other logout",
        "suspension",
        "lock and unlock",
    ] {
        let server = TestServer::new().await;
        let other = sign_up(&server, "alice").await;
        let mut device = log_in(&server, "alice", PASSWORD).await;
        let request = json!({ "devices": [] });
        let (_, session) = device.begin(&server, DELETE_DEVICES_PATH, &request).await;
        match how {
            "refresh" => {
                let body = json!({ "refresh_token": device.refresh });
                let answer = server.post("/_matrix/client/v3/refresh", &body).await.ok();
                device.token = answer["access_token"].as_str().unwrap().to_owned();
            }
            "other login" => {
                log_in(&server, "alice", PASSWORD).await;
            }
            "other logout" => {
                other.post(&server, LOGOUT, &json!({})).await.ok();
            }
            "suspension" => set_status(&server, "alice", "suspended"),
            "lock and unlock" => {
                set_status(&server, "alice", "locked");
                set_status(&server, "alice", "active");
            }
            _ => {}
        }
        let path = page(PREFIXES[1], STAGE, &session);
        assert_eq!(server.get(&path).await.status, 200, "{how}");
        assert_eq!(
            submit(&server, &path, "password=wrong").await.status,
            401,
            "{how}"
        );
        assert_eq!(submit(&server, &path, RIGHT).await.status, 200, "{how}");
        let last = json!({ "auth": { "session": session } });
        device.post(&server, DELETE_DEVICES_PATH, &last).await.ok();
    }
}

/// A session does not exist for another device, another user and an ended login, whatever the operation: the response
/// equals that for an unknown session, and its stored parameters are not used.
#[tokio::test]
async fn uia_14_a_session_is_bound_to_its_device() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let bob = sign_up(&server, "bob").await;
    let before = server.dump();
    for (path, parameters) in [
        (PASSWORD_PATH, json!({ "new_password": OTHER_PASSWORD })),
        (DEACTIVATE_PATH, json!({})),
        (DELETE_DEVICES_PATH, json!({ "devices": [second.id] })),
    ] {
        let (_, session) = alice.begin(&server, path, &parameters).await;
        // The stage is completed, so that only the device is missing.
        let done = submit(&server, &page(PREFIXES[1], STAGE, &session), RIGHT).await;
        assert_eq!(done.status, 200);
        for (name, device) in [("alice", &second), ("bob", &bob)] {
            for auth in [
                json!({ "session": session }),
                password_of(name, PASSWORD, Some(&session)),
            ] {
                let mut unknown = auth.clone();
                unknown["session"] = "unknown".into();
                for body in [parameters.clone(), json!({})] {
                    let reply = device
                        .post(&server, path, &with_auth(body.clone(), auth.clone()))
                        .await;
                    let expected = device
                        .post(&server, path, &with_auth(body, unknown.clone()))
                        .await;
                    let without_session = |reply: &Reply| {
                        let mut body = reply.json();
                        let session = body.as_object_mut().unwrap().remove("session");
                        (reply.status, body, session.is_some())
                    };
                    assert_eq!(without_session(&reply), without_session(&expected));
                    assert_ne!(reply.json()["session"], session);
                }
            }
        }
    }
    assert!(second.is_valid(&server).await && bob.is_valid(&server).await);
    log_in(&server, "alice", PASSWORD).await;
    assert_ne!(server.dump(), before, "new sessions have been started");
}

/// UIA-15: the response of a finished session is repeated as long as nothing but its own operation has ended the
/// login.
#[tokio::test]
async fn uia_15_no_response_is_repeated_after_the_login_ended() {
    let server = TestServer::new().await;
    let alice = sign_up(&server, "alice").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let mut finished = Vec::new();
    for (path, body, password) in [
        (
            DELETE_DEVICES_PATH,
            json!({ "devices": [second.id] }),
            PASSWORD,
        ),
        (
            PASSWORD_PATH,
            json!({ "new_password": OTHER_PASSWORD }),
            PASSWORD,
        ),
    ] {
        let (_, session) = alice.begin(&server, path, &body).await;
        let last = with_auth(body, password_of("alice", password, Some(&session)));
        alice.post(&server, path, &last).await.ok();
        finished.push((path, last));
    }
    for (path, last) in &finished {
        alice.post(&server, path, last).await.ok();
    }
    alice
        .post(&server, &format!("{LOGOUT}/all"), &json!({}))
        .await
        .ok();
    for (path, last) in &finished {
        alice
            .post(&server, path, last)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
    }
    // The deletion of the caller's own device and the deactivation end the login themselves.
    let own = log_in(&server, "alice", OTHER_PASSWORD).await;
    let third = log_in(&server, "alice", OTHER_PASSWORD).await;
    for (device, path, body) in [
        (&own, DELETE_DEVICES_PATH, json!({ "devices": [own.id] })),
        (&third, DEACTIVATE_PATH, json!({})),
    ] {
        let (_, session) = device.begin(&server, path, &body).await;
        let last = with_auth(body, password_of("alice", OTHER_PASSWORD, Some(&session)));
        let answer = device.post(&server, path, &last).await.ok();
        assert_eq!(device.post(&server, path, &last).await.ok(), answer);
    }
}
