//! Who may change a password, and what they are asked for.

use kit::{House, PASSWORD};
use serde_json::json;

use super::wish;
use crate::{
    api::support::{add_appservice, post_as, register_as, set_status, whoami},
    flows::{
        addresses::{EMAIL, MSISDN},
        people::{ADDRESSES, CHANGE, Device, password_of, sign_up, try_login, with_auth},
    },
};

/// TOK-10: what comes as a token has to be one.
#[tokio::test]
async fn tok_10_a_wrong_token_is_not_no_token() {
    let house = House::with(&ADDRESSES).await;
    for token in ["junk", "gha_junk", "syt_YWxpY2U_x_y"] {
        let reply = post_as(&house, token, CHANGE, &wish()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
        let path = format!("{CHANGE}?access_token={token}");
        let reply = house.post(&path, &wish()).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    let path = format!("{CHANGE}?access_token=");
    house
        .post(&path, &wish())
        .await
        .error(401, "M_MISSING_TOKEN");
}

/// UIA-24: what is offered depends on who asks; without a token never a password.
#[tokio::test]
async fn uia_24_without_a_token_an_address_is_asked_for() {
    let house = House::with(&ADDRESSES).await;
    sign_up(&house, "alice").await;
    let challenge = house.post(CHANGE, &wish()).await.challenge();
    assert_eq!(
        challenge["flows"],
        json!([{ "stages": [EMAIL] }, { "stages": [MSISDN] }])
    );
    let auth = password_of("alice", PASSWORD, challenge["session"].as_str());
    house
        .post(CHANGE, &with_auth(wish(), auth))
        .await
        .refused("M_UNRECOGNIZED");
    // Where no messages can be sent nobody can prove anything.
    let silent = [("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")];
    let house = House::with(&silent).await;
    house.post(CHANGE, &wish()).await.error(403, "M_FORBIDDEN");
}

/// Guests, application services, and accounts that are locked, suspended or deactivated.
#[tokio::test]
async fn tok_14_who_may_change_a_password() {
    let house = House::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let irc = add_appservice(&house, "irc", &[("@irc_.*", true)]).await;
    let guest = house
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let guest = Device::of(&guest);
    guest
        .post(&house, CHANGE, &wish())
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    register_as(&house, &irc, "irc_alice").await.ok();
    let path = format!("{CHANGE}?user_id=@irc_alice:localhost");
    post_as(&house, &irc, &path, &wish())
        .await
        .error(403, "M_FORBIDDEN");
    let alice = sign_up(&house, "alice").await;
    let body = with_auth(wish(), password_of("alice", PASSWORD, None));
    set_status(&house, "alice", "locked");
    let locked = alice.post(&house, CHANGE, &body).await;
    assert_eq!(locked.error(401, "M_USER_LOCKED")["soft_logout"], true);
    set_status(&house, "alice", "deactivated");
    alice
        .post(&house, CHANGE, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    set_status(&house, "alice", "suspended");
    alice.post(&house, CHANGE, &body).await.ok();
    assert_eq!(
        whoami(&house, &alice.token).await["user_id"],
        "@alice:localhost"
    );
}

#[tokio::test]
async fn pwd_15_where_changes_are_off_there_are_none() {
    let house = House::with(&[("GATEHOUSE_PASSWORD_CHANGES", "off")]).await;
    let alice = sign_up(&house, "alice").await;
    let auth = password_of("alice", PASSWORD, None);
    let body = with_auth(wish(), auth);
    alice
        .post(&house, CHANGE, &body)
        .await
        .error(403, "M_FORBIDDEN");
    house.post(CHANGE, &wish()).await.error(403, "M_FORBIDDEN");
    try_login(&house, "alice", PASSWORD).await.ok();
}
