//! The end of imported tokens: every operation that ends a token of Gatehouse also ends an imported one.

use serde_json::json;
use test_support::TestServer;

use super::tokens::{alice, is_refused};
use crate::{
    api::support::{post_as, set_status},
    flows::{
        operator::import::OSTRICH,
        support::{
            account_helpers::{
                DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, LOGIN, OTHER_PASSWORD, PASSWORD_PATH,
                log_in, login_of, password_of, with_auth,
            },
            users,
        },
    },
};

const LOGOUT: &str = "/_matrix/client/v3/logout";
const LOGOUT_ALL: &str = "/_matrix/client/v3/logout/all";

/// Whether the device of a token has a row, and the number of rows of imported tokens.
fn rows(server: &TestServer, device: &str) -> (bool, usize) {
    let rows = users(server).remove("alice").unwrap_or_default();
    let tokens = rows.iter().filter(|sk| sk.starts_with("TOKEN#")).count();
    (rows.contains(&format!("DEV#{device}")), tokens)
}

#[tokio::test]
async fn hs_21_a_logout_ends_an_imported_token() {
    let (server, phone, laptop) = alice().await;
    phone.post(&server, LOGOUT, &json!({})).await.ok();
    is_refused(&server, &phone.token).await;
    assert!(laptop.is_valid(&server).await);
    // The row of the token has no effect, even if the device exists again.
    assert_eq!(rows(&server, "PHONE"), (false, 2));
    let mut login = login_of("alice", OSTRICH);
    login["device_id"] = "PHONE".into();
    let again = Device::of(&server.post(LOGIN, &login).await.ok());
    is_refused(&server, &phone.token).await;
    // A login with the same device ID replaces an imported token.
    login["device_id"] = "LAPTOP".into();
    server.post(LOGIN, &login).await.ok();
    is_refused(&server, &laptop.token).await;
    again.post(&server, LOGOUT_ALL, &json!({})).await.ok();
    server.deliver().await;
    is_refused(&server, &phone.token).await;
}

#[tokio::test]
async fn hs_21_a_logout_everywhere_ends_imported_tokens() {
    let (server, phone, laptop) = alice().await;
    phone.post(&server, LOGOUT_ALL, &json!({})).await.ok();
    for device in [&phone, &laptop] {
        is_refused(&server, &device.token).await;
    }
    server.deliver().await;
    is_refused(&server, &phone.token).await;
    log_in(&server, "alice", OSTRICH).await;
}

#[tokio::test]
async fn hs_21_a_password_change_keeps_only_its_own_imported_token() {
    let (server, phone, laptop) = alice().await;
    let change = json!({ "new_password": OTHER_PASSWORD });
    let (_, session) = phone.begin(&server, PASSWORD_PATH, &change).await;
    // A session of one device is not valid with the token of another.
    let stage = with_auth(
        change.clone(),
        password_of("alice", OSTRICH, Some(&session)),
    );
    let other = laptop.post(&server, PASSWORD_PATH, &stage).await;
    assert_ne!(other.status, 200);
    let first = phone.post(&server, PASSWORD_PATH, &stage).await;
    first.ok();
    // A repeated request gets the same response.
    let again = phone.post(&server, PASSWORD_PATH, &stage).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert!(phone.is_valid(&server).await);
    is_refused(&server, &laptop.token).await;
    server.deliver().await;
    assert_eq!(rows(&server, "LAPTOP"), (false, 2));
    is_refused(&server, &laptop.token).await;
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

#[tokio::test]
async fn hs_21_a_device_deletes_itself_and_others() {
    let (server, phone, laptop) = alice().await;
    let body = json!({ "devices": ["PHONE", "LAPTOP"] });
    let (_, session) = phone.begin(&server, DELETE_DEVICES_PATH, &body).await;
    let last = with_auth(body, password_of("alice", OSTRICH, Some(&session)));
    phone.post(&server, DELETE_DEVICES_PATH, &last).await.ok();
    for device in [&phone, &laptop] {
        is_refused(&server, &device.token).await;
    }
    // The response of a request that has ended its own token is repeated.
    phone.post(&server, DELETE_DEVICES_PATH, &last).await.ok();
}

#[tokio::test]
async fn hs_21_a_deactivation_removes_the_rows_of_imported_tokens() {
    let (server, phone, laptop) = alice().await;
    let body = with_auth(json!({}), password_of("alice", OSTRICH, None));
    phone.post(&server, DEACTIVATE_PATH, &body).await.ok();
    for device in [&phone, &laptop] {
        is_refused(&server, &device.token).await;
    }
    assert_eq!(rows(&server, "PHONE"), (true, 2));
    server.deliver().await;
    assert_eq!(rows(&server, "PHONE"), (false, 0));
    is_refused(&server, &phone.token).await;
}

#[tokio::test]
async fn hs_21_a_locked_account_keeps_its_imported_tokens() {
    let (server, phone, laptop) = alice().await;
    set_status(&server, "alice", "locked");
    let locked = server.whoami(&phone.token).await;
    locked.error(401, "M_USER_LOCKED");
    post_as(&server, &laptop.token, LOGOUT, &json!({}))
        .await
        .ok();
    set_status(&server, "alice", "active");
    assert!(phone.is_valid(&server).await);
    is_refused(&server, &laptop.token).await;
}
