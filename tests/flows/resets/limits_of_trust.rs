//! What a reset does not do: revive, unlock, trust a number for ever, or leave alive what was begun
//! before.

use std::time::Duration;

use kit::{House, PASSWORD};
use serde_json::json;

use super::{DAY, finish};
use crate::{
    api::support::set_status,
    flows::{
        addresses::{ALICE, EMAIL, MSISDN, NUMBER, ask_mail, confirm, link_to},
        people::{
            ADDRESSES, CHANGE, END, OTHER, ask_reset, log_in, password_of, sign_up_with, with_auth,
        },
    },
};

/// Incident 31 (account pre-hijacking): after a reset nothing that was begun before works.
#[tokio::test]
async fn incident_31_nothing_begun_before_a_reset_outlives_it() {
    let house = House::with(&ADDRESSES).await;
    let mallory = sign_up_with(&house, "alice", EMAIL, ALICE).await;
    let (_, change) = mallory
        .begin(&house, CHANGE, &json!({ "new_password": "mallory's own" }))
        .await;
    let (_, end) = mallory.begin(&house, END, &json!({})).await;
    // A second proof, validated, and a third one, pending.
    let early = ask_reset(&house, EMAIL, ALICE, "early").await;
    early.validate(&house).await;
    let pending = ask_reset(&house, EMAIL, ALICE, "pending").await;
    house.deliver().await;
    let link = link_to(&house, ALICE);
    let add = json!({ "email": "mallory@example.org", "client_secret": "add", "send_attempt": 1 });
    let path = "/_matrix/client/v3/account/3pid/email/requestToken";
    let adding = house.post(path, &add).await.ok();
    house.advance(Duration::from_secs(1));
    let owners = ask_reset(&house, EMAIL, ALICE, "owners").await;
    owners.validate(&house).await;
    house.post(CHANGE, &finish(&owners, OTHER, None)).await.ok();

    house
        .post(CHANGE, &finish(&early, "mallory's", None))
        .await
        .refused("M_UNAUTHORIZED");
    confirm(&house, &link).await;
    house
        .post(CHANGE, &finish(&pending, "mallory's", None))
        .await
        .refused("M_UNAUTHORIZED");
    for (path, session) in [(CHANGE, &change), (END, &end)] {
        let auth = password_of("alice", PASSWORD, Some(session));
        mallory
            .post(&house, path, &with_auth(json!({}), auth))
            .await
            .error(401, "M_UNKNOWN_TOKEN");
    }
    confirm(&house, &link_to(&house, "mallory@example.org")).await;
    let owner = log_in(&house, "alice", OTHER).await;
    let creds = json!({ "sid": adding["sid"], "client_secret": "add" });
    let reply = owner
        .post(
            &house,
            "/_matrix/client/v3/account/3pid/add",
            &with_auth(creds, password_of("alice", OTHER, None)),
        )
        .await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    // And nobody registers with the address.
    let asked = ask_mail(&house, ALICE, "register").await;
    house.deliver().await;
    let mut body = asked.attempt(None);
    body["username"] = "mallory".into();
    body["password"] = PASSWORD.into();
    house.register(&body).await.refused("M_UNAUTHORIZED");
    assert!(owner.is_alive(&house).await && !mallory.is_alive(&house).await);
}

/// A locked account is not opened by a mail; a suspended one may be given a password.
#[tokio::test]
async fn tok_14_a_locked_account_stays_locked() {
    let house = House::with(&ADDRESSES).await;
    sign_up_with(&house, "alice", EMAIL, ALICE).await;
    let asked = ask_reset(&house, EMAIL, ALICE, "reset").await;
    asked.validate(&house).await;
    let body = finish(&asked, OTHER, None);
    set_status(&house, "alice", "locked");
    house.post(CHANGE, &body).await.error(401, "M_USER_LOCKED");
    set_status(&house, "alice", "suspended");
    house.post(CHANGE, &body).await.ok();
    set_status(&house, "alice", "active");
    log_in(&house, "alice", OTHER).await;
}

/// A number alone resets nothing where there is a mailbox, or where it was confirmed long ago.
#[tokio::test]
async fn pwd_05_a_number_alone_is_trusted_only_so_far() {
    let house = House::with(&ADDRESSES).await;
    let alice = sign_up_with(&house, "alice", MSISDN, NUMBER.0).await;
    house.advance(366 * DAY);
    let asked = ask_reset(&house, MSISDN, NUMBER.0, "late").await;
    asked.validate(&house).await;
    house
        .post(CHANGE, &finish(&asked, OTHER, None))
        .await
        .error(403, "M_FORBIDDEN");
    drop(alice);
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_RESET_PHONE_AGE", "never")]].concat();
    let house = House::with(&settings).await;
    let bob = sign_up_with(&house, "bob", MSISDN, NUMBER.0).await;
    house.advance(366 * DAY);
    let asked = ask_reset(&house, MSISDN, NUMBER.0, "late").await;
    asked.validate(&house).await;
    // A mailbox comes to the account in between.
    let add = json!({ "email": "bob@example.org", "client_secret": "add", "send_attempt": 1 });
    let path = "/_matrix/client/v3/account/3pid/email/requestToken";
    let adding = house.post(path, &add).await.ok();
    house.deliver().await;
    confirm(&house, &link_to(&house, "bob@example.org")).await;
    let creds = json!({ "sid": adding["sid"], "client_secret": "add" });
    let body = with_auth(creds, password_of("bob", PASSWORD, None));
    let added = bob
        .post(&house, "/_matrix/client/v3/account/3pid/add", &body)
        .await;
    added.ok();
    house
        .post(CHANGE, &finish(&asked, OTHER, None))
        .await
        .error(403, "M_FORBIDDEN");
    let remove = json!({ "medium": "email", "address": "bob@example.org" });
    let path = "/_matrix/client/v3/account/3pid/delete";
    bob.post(&house, path, &remove).await.ok();
    house.post(CHANGE, &finish(&asked, OTHER, None)).await.ok();
    log_in(&house, "bob", OTHER).await;
}
