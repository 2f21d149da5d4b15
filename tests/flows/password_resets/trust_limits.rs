//! The limits of a reset: it does not unlock an account, a phone number is accepted only for a limited
//! time, and everything that was started before the reset is invalidated.

use std::time::Duration;

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use super::{DAY, finish};
use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, OTHER_PASSWORD, PASSWORD_PATH, add_address, log_in,
            password_of, request_reset_token, sign_up_with, with_auth,
        },
        threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, confirm, link_to, request_mail},
    },
};

/// Incident 31 (account pre-hijacking): nothing that was started before a reset can be completed after
/// it.
#[tokio::test]
async fn incident_31_nothing_started_before_a_reset_survives_it() {
    let server = TestServer::with(&ADDRESSES).await;
    let mallory = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let (_, change) = mallory
        .begin(
            &server,
            PASSWORD_PATH,
            &json!({ "new_password": "mallory's own" }),
        )
        .await;
    let (_, end) = mallory.begin(&server, DEACTIVATE_PATH, &json!({})).await;
    // Mallory also has a validated session and a pending session for a reset.
    let early = request_reset_token(&server, EMAIL, ALICE, "early").await;
    early.validate(&server).await;
    let pending = request_reset_token(&server, EMAIL, ALICE, "pending").await;
    server.deliver().await;
    let link = link_to(&server, ALICE);
    let add = json!({ "email": "mallory@example.org", "client_secret": "add", "send_attempt": 1 });
    let path = "/_matrix/client/v3/account/3pid/email/requestToken";
    let adding = server.post(path, &add).await.ok();
    server.advance(Duration::from_secs(1));
    let owners = request_reset_token(&server, EMAIL, ALICE, "owners").await;
    owners.validate(&server).await;
    server
        .post(PASSWORD_PATH, &finish(&owners, OTHER_PASSWORD, None))
        .await
        .ok();

    server
        .post(PASSWORD_PATH, &finish(&early, "mallory's", None))
        .await
        .refused("M_UNAUTHORIZED");
    confirm(&server, &link).await;
    server
        .post(PASSWORD_PATH, &finish(&pending, "mallory's", None))
        .await
        .refused("M_UNAUTHORIZED");
    for (path, session) in [(PASSWORD_PATH, &change), (DEACTIVATE_PATH, &end)] {
        let auth = password_of("alice", PASSWORD, Some(session));
        mallory
            .post(&server, path, &with_auth(json!({}), auth))
            .await
            .error(401, "M_UNKNOWN_TOKEN");
    }
    confirm(&server, &link_to(&server, "mallory@example.org")).await;
    let owner = log_in(&server, "alice", OTHER_PASSWORD).await;
    let creds = json!({ "sid": adding["sid"], "client_secret": "add" });
    let reply = owner
        .post(
            &server,
            "/_matrix/client/v3/account/3pid/add",
            &with_auth(creds, password_of("alice", OTHER_PASSWORD, None)),
        )
        .await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    // No client can register with the address.
    let validation = request_mail(&server, ALICE, "register").await;
    server.deliver().await;
    let mut body = validation.attempt(None);
    body["username"] = "mallory".into();
    body["password"] = PASSWORD.into();
    server.register(&body).await.refused("M_UNAUTHORIZED");
    assert!(owner.is_valid(&server).await && !mallory.is_valid(&server).await);
}

/// The password of a locked account cannot be reset. The password of a suspended account can be reset.
#[tokio::test]
async fn tok_14_a_locked_account_stays_locked() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let body = finish(&validation, OTHER_PASSWORD, None);
    set_status(&server, "alice", "locked");
    server
        .post(PASSWORD_PATH, &body)
        .await
        .error(401, "M_USER_LOCKED");
    set_status(&server, "alice", "suspended");
    server.post(PASSWORD_PATH, &body).await.ok();
    set_status(&server, "alice", "active");
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// A phone number alone resets nothing if the account has an e-mail address, or if the number was
/// confirmed long ago.
#[tokio::test]
async fn pwd_05_a_number_alone_is_trusted_for_a_limited_time() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", MSISDN, NUMBER.0).await;
    server.advance(366 * DAY);
    let validation = request_reset_token(&server, MSISDN, NUMBER.0, "late").await;
    validation.validate(&server).await;
    server
        .post(PASSWORD_PATH, &finish(&validation, OTHER_PASSWORD, None))
        .await
        .error(403, "M_FORBIDDEN");
    drop(alice);
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_RESET_PHONE_AGE", "never")]].concat();
    let server = TestServer::with(&settings).await;
    let bob = sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    server.advance(366 * DAY);
    // The account has an e-mail address for long enough before the number is used.
    add_address(&server, &bob, "bob@example.org").await;
    server.advance(30 * DAY);
    let validation = request_reset_token(&server, MSISDN, NUMBER.0, "later").await;
    validation.validate(&server).await;
    server
        .post(PASSWORD_PATH, &finish(&validation, OTHER_PASSWORD, None))
        .await
        .error(403, "M_FORBIDDEN");
    let remove = json!({ "medium": "email", "address": "bob@example.org" });
    let path = "/_matrix/client/v3/account/3pid/delete";
    bob.post(&server, path, &remove).await.ok();
    server
        .post(PASSWORD_PATH, &finish(&validation, OTHER_PASSWORD, None))
        .await
        .ok();
    log_in(&server, "bob", OTHER_PASSWORD).await;
}
