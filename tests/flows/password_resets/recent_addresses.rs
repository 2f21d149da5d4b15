//! An attacker who has an access token can add addresses to the account. As long as they are recent, they do not keep
//! the account owner from a reset.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::{DAY, finish};
use crate::flows::support::{
    account_helpers::{
        ADDRESSES, OTHER_PASSWORD, PASSWORD_PATH, THREEPID_PATH, add_address, log_in, password_of,
        request_reset_token, sign_up_with, with_auth,
    },
    threepid_helpers::{
        ALICE, EMAIL, MSISDN, NUMBER, ValidationSession, code_to, path_of, text_to,
    },
};

const INTRUDER: &str = "intruder@example.org";

/// A server with an account that has the address ALICE, and since `age` the address of an intruder.
async fn with_intruder(age: Duration) -> TestServer {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    server.advance(Duration::from_secs(1));
    add_address(&server, &alice, INTRUDER).await;
    server.advance(age);
    server
}

/// A validated session for a reset. The next request comes a second later.
async fn validated(
    server: &TestServer,
    stage: &'static str,
    to: &str,
    secret: &str,
) -> ValidationSession {
    let session = request_reset_token(server, stage, to, secret).await;
    session.validate(server).await;
    server.advance(Duration::from_secs(1));
    session
}

async fn set_password(server: &TestServer, session: &ValidationSession, password: &str) -> Reply {
    server
        .post(PASSWORD_PATH, &finish(session, password, None))
        .await
}

async fn reset_by_intruder(server: &TestServer, secret: &str, logout: bool) {
    let session = validated(server, EMAIL, INTRUDER, secret).await;
    let mut body: Value = finish(&session, "the intruder's own", None);
    body["logout_devices"] = logout.into();
    server.post(PASSWORD_PATH, &body).await.ok();
    server.advance(Duration::from_secs(1));
}

/// PWD-05: any number of resets with a recent address leaves the owner's validation valid.
#[tokio::test]
async fn pwd_05_a_recent_address_ends_no_reset_of_an_older_one() {
    for logout in [true, false] {
        let server = with_intruder(Duration::from_hours(1)).await;
        let owner = validated(&server, EMAIL, ALICE, "owner").await;
        for secret in ["first", "second"] {
            reset_by_intruder(&server, secret, logout).await;
        }
        set_password(&server, &owner, OTHER_PASSWORD).await.ok();
        log_in(&server, "alice", OTHER_PASSWORD).await;
    }
}

/// PWD-05, incident 31: a reset with an older address ends the pending resets of a recent one.
#[tokio::test]
async fn pwd_05_an_older_address_ends_the_resets_of_a_recent_one() {
    let server = with_intruder(Duration::from_hours(1)).await;
    let intruder = validated(&server, EMAIL, INTRUDER, "intruder").await;
    let owner = validated(&server, EMAIL, ALICE, "owner").await;
    set_password(&server, &owner, OTHER_PASSWORD).await.ok();
    set_password(&server, &intruder, "the intruder's own")
        .await
        .refused("M_UNAUTHORIZED");
    log_in(&server, "alice", OTHER_PASSWORD).await;
}

/// PWD-05: after 30 days an address is no longer recent.
#[tokio::test]
async fn pwd_05_an_address_is_recent_for_thirty_days() {
    let server = with_intruder(30 * DAY).await;
    let owner = validated(&server, EMAIL, ALICE, "owner").await;
    reset_by_intruder(&server, "intruder", true).await;
    set_password(&server, &owner, OTHER_PASSWORD)
        .await
        .refused("M_UNAUTHORIZED");
}

/// Incident 31: a change with the password ends every pending reset, also after a reset with a recent address.
#[tokio::test]
async fn incident_31_a_change_with_the_password_ends_all_resets() {
    let server = with_intruder(Duration::from_hours(1)).await;
    let early = validated(&server, EMAIL, ALICE, "early").await;
    reset_by_intruder(&server, "intruder", true).await;
    let device = log_in(&server, "alice", "the intruder's own").await;
    let change = with_auth(
        json!({ "new_password": PASSWORD }),
        password_of("alice", "the intruder's own", None),
    );
    device.post(&server, PASSWORD_PATH, &change).await.ok();
    set_password(&server, &early, OTHER_PASSWORD)
        .await
        .refused("M_UNAUTHORIZED");
    log_in(&server, "alice", PASSWORD).await;
}

/// PWD-05: a recent e-mail address does not keep the owner from a reset with an older phone number.
#[tokio::test]
async fn pwd_05_a_recent_mailbox_prevents_no_reset_by_phone() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", MSISDN, NUMBER.0).await;
    server.advance(Duration::from_secs(1));
    add_address(&server, &alice, INTRUDER).await;
    server.advance(29 * DAY);
    let owner = validated(&server, MSISDN, NUMBER.0, "owner").await;
    reset_by_intruder(&server, "intruder", true).await;
    set_password(&server, &owner, OTHER_PASSWORD).await.ok();
    log_in(&server, "alice", OTHER_PASSWORD).await;
    server.advance(DAY);
    let late = validated(&server, MSISDN, NUMBER.0, "late").await;
    set_password(&server, &late, PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
}

/// PWD-05: the oldest address of an account is not recent.
#[tokio::test]
async fn pwd_05_a_new_number_does_not_replace_a_new_mailbox() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    server.advance(Duration::from_secs(1));
    let path = format!("{THREEPID_PATH}/msisdn/requestToken");
    let request = text_to(NUMBER.0, "addition", 1);
    let answer = server.post(&path, &request).await.ok();
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let mut creds = json!({ "sid": answer["sid"], "client_secret": "addition", "token": code });
    let submit_url = answer["submit_url"].as_str().unwrap();
    server.post(path_of(submit_url), &creds).await.ok();
    creds["token"].take();
    let body = json!({ "three_pid_creds": creds });
    alice.post(&server, THREEPID_PATH, &body).await.ok();
    server.advance(Duration::from_secs(1));
    let number = validated(&server, MSISDN, NUMBER.0, "number").await;
    set_password(&server, &number, OTHER_PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
}
