//! Callers that may change a password, and the flows that the server offers to each caller.

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use super::new_password;
use crate::{
    api::support::{add_appservice, post_as, register_as, register_guest, set_status, whoami},
    flows::support::{
        account_helpers::{
            ADDRESSES, Device, PASSWORD_PATH, password_of, sign_up, try_login, with_auth,
        },
        threepid_helpers::{EMAIL, MSISDN},
    },
};

/// TOK-10: a token that is present must be valid.
#[tokio::test]
async fn tok_10_an_invalid_token_is_not_treated_as_absent() {
    let server = TestServer::with(&ADDRESSES).await;
    for token in ["junk", "gha_junk", "syt_YWxpY2U_x_y"] {
        let reply = post_as(&server, token, PASSWORD_PATH, &new_password()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
        let path = format!("{PASSWORD_PATH}?access_token={token}");
        let reply = server.post(&path, &new_password()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    let path = format!("{PASSWORD_PATH}?access_token=");
    server
        .post(&path, &new_password())
        .await
        .error(401, "M_MISSING_TOKEN");
}

/// UIA-24: the offered flows depend on the caller. Without a token, the password stage is never offered.
#[tokio::test]
async fn uia_24_without_a_token_the_address_flows_are_offered() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up(&server, "alice").await;
    let challenge = server
        .post(PASSWORD_PATH, &new_password())
        .await
        .challenge();
    assert_eq!(
        challenge["flows"],
        json!([{ "stages": [EMAIL] }, { "stages": [MSISDN] }])
    );
    let auth = password_of("alice", PASSWORD, challenge["session"].as_str());
    server
        .post(PASSWORD_PATH, &with_auth(new_password(), auth))
        .await
        .refused("M_UNRECOGNIZED");
    // If the server sends no messages, no stage can be completed.
    let no_messages = [("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")];
    let server = TestServer::with(&no_messages).await;
    server
        .post(PASSWORD_PATH, &new_password())
        .await
        .error(403, "M_FORBIDDEN");
}

/// Covers guests, application services, and accounts that are locked, suspended or deactivated.
#[tokio::test]
async fn tok_14_callers_that_may_change_a_password() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let guest = register_guest(&server).await;
    let guest = Device::of(&guest);
    guest
        .post(&server, PASSWORD_PATH, &new_password())
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    register_as(&server, &irc, "irc_alice").await.ok();
    let path = format!("{PASSWORD_PATH}?user_id=@irc_alice:localhost");
    post_as(&server, &irc, &path, &new_password())
        .await
        .error(403, "M_FORBIDDEN");
    let alice = sign_up(&server, "alice").await;
    let body = with_auth(new_password(), password_of("alice", PASSWORD, None));
    set_status(&server, "alice", "locked");
    let locked = alice.post(&server, PASSWORD_PATH, &body).await;
    assert_eq!(locked.error(401, "M_USER_LOCKED")["soft_logout"], true);
    set_status(&server, "alice", "deactivated");
    alice
        .post(&server, PASSWORD_PATH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    set_status(&server, "alice", "suspended");
    alice.post(&server, PASSWORD_PATH, &body).await.ok();
    assert_eq!(
        whoami(&server, &alice.token).await["user_id"],
        "@alice:localhost"
    );
}

#[tokio::test]
async fn pwd_15_with_password_changes_off_all_are_refused() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_CHANGES", "off")]).await;
    let alice = sign_up(&server, "alice").await;
    let auth = password_of("alice", PASSWORD, None);
    let body = with_auth(new_password(), auth);
    alice
        .post(&server, PASSWORD_PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    server
        .post(PASSWORD_PATH, &new_password())
        .await
        .error(403, "M_FORBIDDEN");
    try_login(&server, "alice", PASSWORD).await.ok();
}
