//! Who may change a password, and what they are asked for.

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::{
        account_password::wish,
        support::{add_appservice, post_as, register_as, set_status, whoami},
    },
    flows::support::{
        account_helpers::{
            ADDRESSES, Device, PASSWORD_PATH, password_of, sign_up, try_login, with_auth,
        },
        threepid_helpers::{EMAIL, MSISDN},
    },
};

/// TOK-10: what comes as a token has to be one.
#[tokio::test]
async fn tok_10_a_wrong_token_is_not_no_token() {
    let server = TestServer::with(&ADDRESSES).await;
    for token in ["junk", "gha_junk", "syt_YWxpY2U_x_y"] {
        let reply = post_as(&server, token, PASSWORD_PATH, &wish()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
        let path = format!("{PASSWORD_PATH}?access_token={token}");
        let reply = server.post(&path, &wish()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    let path = format!("{PASSWORD_PATH}?access_token=");
    server
        .post(&path, &wish())
        .await
        .error(401, "M_MISSING_TOKEN");
}

/// UIA-24: what is offered depends on who asks; without a token never a password.
#[tokio::test]
async fn uia_24_without_a_token_an_address_is_asked_for() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up(&server, "alice").await;
    let challenge = server.post(PASSWORD_PATH, &wish()).await.challenge();
    assert_eq!(
        challenge["flows"],
        json!([{ "stages": [EMAIL] }, { "stages": [MSISDN] }])
    );
    let auth = password_of("alice", PASSWORD, challenge["session"].as_str());
    server
        .post(PASSWORD_PATH, &with_auth(wish(), auth))
        .await
        .refused("M_UNRECOGNIZED");
    // Where no messages can be sent nobody can prove anything.
    let silent = [("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")];
    let server = TestServer::with(&silent).await;
    server
        .post(PASSWORD_PATH, &wish())
        .await
        .error(403, "M_FORBIDDEN");
}

/// Guests, application services, and accounts that are locked, suspended or deactivated.
#[tokio::test]
async fn tok_14_who_may_change_a_password() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let guest = server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let guest = Device::of(&guest);
    guest
        .post(&server, PASSWORD_PATH, &wish())
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    register_as(&server, &irc, "irc_alice").await.ok();
    let path = format!("{PASSWORD_PATH}?user_id=@irc_alice:localhost");
    post_as(&server, &irc, &path, &wish())
        .await
        .error(403, "M_FORBIDDEN");
    let alice = sign_up(&server, "alice").await;
    let body = with_auth(wish(), password_of("alice", PASSWORD, None));
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
async fn pwd_15_where_changes_are_off_there_are_none() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_CHANGES", "off")]).await;
    let alice = sign_up(&server, "alice").await;
    let auth = password_of("alice", PASSWORD, None);
    let body = with_auth(wish(), auth);
    alice
        .post(&server, PASSWORD_PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    server
        .post(PASSWORD_PATH, &wish())
        .await
        .error(403, "M_FORBIDDEN");
    try_login(&server, "alice", PASSWORD).await.ok();
}
