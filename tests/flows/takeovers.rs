//! Known attacks that take over an account, all of which must fail.

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::json;
use shared::limits::Limit;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, LOGIN, OTHER_PASSWORD,
        PASSWORD_PATH, THREEPID_PATH, add_address, log_in, login_of, password_of,
        request_reset_token, rows_of, sign_up_with, try_login, validate_for_addition, with_auth,
    },
    mail_helpers::peer,
    page, submit,
    threepid_helpers::{ALICE, EMAIL, claims},
};

const ADD: &str = "/_matrix/client/v3/account/3pid/add";

/// UIA-20, PWD-13: a stage that was completed with an old password has no effect after a password
/// change, even if the devices were kept. This holds for every operation, with a token or without.
#[tokio::test]
async fn pwd_13_stages_completed_with_an_old_password_are_invalid() {
    let server = TestServer::with(&ADDRESSES).await;
    let owner = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let attacker = log_in(&server, "alice", PASSWORD).await;
    let creds = validate_for_addition(&server, "thief@example.org").await;
    // The stage is completed in each of these sessions, but the operation is not finished.
    let mut sessions = Vec::new();
    for (path, body) in [
        (
            PASSWORD_PATH,
            json!({ "new_password": "the attacker's own" }),
        ),
        (DEACTIVATE_PATH, json!({})),
        (DELETE_DEVICES_PATH, json!({ "devices": [owner.id] })),
        (ADD, creds),
    ] {
        let (_, session) = attacker.begin(&server, path, &body).await;
        let stage = page(PREFIXES[1], "m.login.password", &session);
        let done = submit(&server, &stage, "password=ostrich+lamp+8+quarrel").await;
        assert_eq!(done.status, 200);
        sessions.push((path, session));
    }
    let tokenless = server.post(DEACTIVATE_PATH, &json!({})).await.challenge();
    let stage = page(
        PREFIXES[1],
        "m.login.password",
        tokenless["session"].as_str().unwrap(),
    );
    submit(
        &server,
        &stage,
        "user=alice&password=ostrich+lamp+8+quarrel",
    )
    .await;
    server.advance(Duration::from_secs(1));
    let change = json!({ "new_password": OTHER_PASSWORD, "logout_devices": false });
    let change = with_auth(change, password_of("alice", PASSWORD, None));
    owner.post(&server, PASSWORD_PATH, &change).await.ok();

    for (path, session) in sessions {
        let body = json!({ "auth": { "session": session } });
        let reply = attacker.post(&server, path, &body).await;
        // A validated session that was requested before has no effect either.
        let code = if path == ADD {
            "M_THREEPID_AUTH_FAILED"
        } else {
            "M_FORBIDDEN"
        };
        reply.error(403, code);
    }
    let body = json!({ "auth": { "session": tokenless["session"] } });
    server
        .post(DEACTIVATE_PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    assert!(owner.is_valid(&server).await);
    try_login(&server, "alice", OTHER_PASSWORD).await.ok();
    assert!(!claims(&server).contains_key("email#thief@example.org"));
}

/// PWD-05, PWD-06: a validated session can be used only for the account that had the address at the
/// time of the request.
#[tokio::test]
async fn pwd_05_a_session_of_an_earlier_owner_resets_no_account() {
    let server = TestServer::with(&ADDRESSES).await;
    let earlier = sign_up_with(&server, "earlier", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "kept-for-later").await;
    validation.validate(&server).await;
    let remove = json!({ "medium": "email", "address": ALICE });
    let path = "/_matrix/client/v3/account/3pid/delete";
    earlier.post(&server, path, &remove).await.ok();
    server.advance(Duration::from_secs(1));
    let later = sign_up_with(&server, "later", EMAIL, ALICE).await;
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    server
        .post(PASSWORD_PATH, &body)
        .await
        .refused("M_UNAUTHORIZED");
    assert!(later.is_valid(&server).await);
    try_login(&server, "later", PASSWORD).await.ok();
}

/// PWD-07, PWD-08: a login to the calling device during its password change is logged out.
#[tokio::test]
async fn pwd_08_a_login_to_the_calling_device_ends_with_the_change() {
    let server = Arc::new(TestServer::with(&ADDRESSES).await);
    let owner = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    // The change is delayed before its write, and the attacker logs in during the delay.
    let slow = Fault::new(FaultKind::Delay(Duration::from_millis(700)))
        .by("AccountPassword")
        .on("TransactWriteItems");
    server.local.proxy().inject(slow);
    let change = {
        let (server, owner) = (Arc::clone(&server), owner.clone());
        tokio::spawn(async move {
            let parameters = json!({ "new_password": OTHER_PASSWORD });
            let body = with_auth(parameters, password_of("alice", PASSWORD, None));
            owner
                .post(&server, PASSWORD_PATH, &body)
                .await
                .status
                .as_u16()
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut login = login_of("alice", PASSWORD);
    login["device_id"] = owner.id.as_str().into();
    let attacker = Device::of(&server.post(LOGIN, &login).await.ok());
    let status = change.await.unwrap();
    server.local.proxy().clear_faults();
    // The login was written first, so the token of the owner's request is invalid.
    assert_eq!(status, 403);
    assert!(!owner.is_valid(&server).await && attacker.is_valid(&server).await);
    try_login(&server, "alice", PASSWORD).await.ok();
}

/// PWD-07, REFR-03: an unused pair of tokens does not survive a change.
#[tokio::test]
async fn pwd_11_an_unused_pair_of_the_calling_device_is_invalidated() {
    let server = TestServer::with(&ADDRESSES).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let owner = log_in(&server, "alice", PASSWORD).await;
    let refresh = json!({ "refresh_token": owner.refresh.as_deref().unwrap() });
    let pair = server
        .post("/_matrix/client/v3/refresh", &refresh)
        .await
        .ok();
    let parameters = json!({ "new_password": OTHER_PASSWORD });
    let body = with_auth(parameters, password_of("alice", PASSWORD, None));
    owner.post(&server, PASSWORD_PATH, &body).await.ok();
    let token = pair["access_token"].as_str().unwrap();
    let attacker = Device {
        token: token.to_owned(),
        ..owner.clone()
    };
    assert!(!attacker.is_valid(&server).await);
    assert!(owner.is_valid(&server).await);
}

/// DEACT-13: an address that is added during the deactivation has no owner afterwards.
#[tokio::test]
async fn deact_13_an_addition_racing_a_deactivation_leaves_nothing() {
    let server = Arc::new(TestServer::with(&ADDRESSES).await);
    let owner = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let creds = validate_for_addition(&server, "second@example.org").await;
    let slow = Fault::new(FaultKind::Delay(Duration::from_millis(700)))
        .by("AccountDeactivate")
        .on("TransactWriteItems");
    server.local.proxy().inject(slow);
    let end = {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let body = with_auth(json!({}), password_of("alice", PASSWORD, None));
            owner
                .post(&server, DEACTIVATE_PATH, &body)
                .await
                .status
                .as_u16()
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = json!({ "three_pid_creds": creds });
    second.post(&server, THREEPID_PATH, &body).await.ok();
    let status = end.await.unwrap();
    server.local.proxy().clear_faults();
    assert_eq!(status, 403, "the account has changed");
    assert_eq!(claims(&server).len(), 2);
    let body = with_auth(json!({}), password_of("alice", PASSWORD, None));
    second.post(&server, DEACTIVATE_PATH, &body).await.ok();
    assert!(claims(&server).is_empty());
    server.deliver().await;
    assert_eq!(rows_of(&server, "alice").len(), 1);
}

/// HTTP-19: an operation is rejected if the quota of notifications to the owner is exhausted.
#[tokio::test]
async fn http_19_a_change_cannot_be_hidden_among_many() {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    let attacker = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let change = with_auth(
        json!({ "new_password": PASSWORD }),
        password_of("alice", PASSWORD, None),
    );
    for number in 0..10 {
        server
            .post_as_from(peer(number), &attacker.token, PASSWORD_PATH, &change)
            .await
            .ok();
    }
    server.deliver().await;
    let sent_before = server.messages().len();
    let hidden = with_auth(
        json!({ "new_password": OTHER_PASSWORD }),
        password_of("alice", PASSWORD, None),
    );
    let reply = attacker.post(&server, PASSWORD_PATH, &hidden).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    server.deliver().await;
    assert_eq!((server.messages().len(), sent_before), (11, 11));
    try_login(&server, "alice", OTHER_PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
    server.advance(Duration::from_hours(1));
    attacker.post(&server, PASSWORD_PATH, &hidden).await.ok();
    server.deliver().await;
    assert_eq!(server.messages().len(), 12);
}

/// Every change with the password counts, even if no e-mail can be sent about it: each change ends the validations with
/// which the owner could reset the password.
#[tokio::test]
async fn pwd_05_changes_without_a_mailbox_are_limited() {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    server.sign_up("alice").await;
    let attacker = log_in(&server, "alice", PASSWORD).await;
    let change = with_auth(
        json!({ "new_password": PASSWORD }),
        password_of("alice", PASSWORD, None),
    );
    for number in 0..Limit::Notice.quota().burst {
        server
            .post_as_from(peer(number), &attacker.token, PASSWORD_PATH, &change)
            .await
            .ok();
    }
    server
        .post_as_from(peer(99), &attacker.token, PASSWORD_PATH, &change)
        .await
        .error(429, "M_LIMIT_EXCEEDED");
}

/// Resets the password of alice by e-mail, and logs in with the new one.
async fn reset(server: &TestServer, secret: &str) {
    let validation = request_reset_token(server, EMAIL, ALICE, secret).await;
    validation.validate(server).await;
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    server.post(PASSWORD_PATH, &body).await.ok();
    log_in(server, "alice", OTHER_PASSWORD).await;
}

/// An attacker who has the password and a token uses up every quota of the account, from many networks, and continues
/// for hours. The account owner can reset the password by e-mail at any time.
#[tokio::test]
async fn pwd_05_no_quota_of_an_intruder_prevents_a_reset() {
    for hours in [0, 1, 5] {
        let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
        let server = TestServer::with(&settings).await;
        let owner = sign_up_with(&server, "alice", EMAIL, ALICE).await;
        let login = login_of("alice", PASSWORD);
        let intruder = Device::of(&server.post_from(peer(1), LOGIN, &login).await.ok());
        let change = with_auth(
            json!({ "new_password": PASSWORD }),
            password_of("alice", PASSWORD, None),
        );
        let change = async |network| {
            server
                .post_as_from(peer(network), &intruder.token, PASSWORD_PATH, &change)
                .await
        };
        for number in 20..30 {
            change(number).await.ok();
        }
        assert!(!owner.is_valid(&server).await);
        for number in 0..10 {
            server.advance(Duration::from_mins(1));
            let address = format!("intruder{number}@example.org");
            let body = json!({ "three_pid_creds": validate_for_addition(&server, &address).await });
            server
                .post_as_from(peer(2), &intruder.token, THREEPID_PATH, &body)
                .await
                .ok();
        }
        let wrong = with_auth(
            json!({ "new_password": OTHER_PASSWORD }),
            password_of("alice", "wrong", None),
        );
        for number in 0..200 {
            let network = peer(100 + number / 10);
            let reply = if number < 100 {
                server
                    .post_as_from(network, &intruder.token, PASSWORD_PATH, &wrong)
                    .await
            } else {
                let body = login_of("alice", "wrong");
                server.post_from(network, LOGIN, &body).await
            };
            assert!(
                [401, 403].contains(&reply.status.as_u16()),
                "{}",
                reply.text()
            );
        }
        change(3).await.error(429, "M_LIMIT_EXCEEDED");
        for hour in 0..hours {
            server.advance(Duration::from_hours(1));
            change(10 + hour).await.ok();
            change(10 + hour).await.error(429, "M_LIMIT_EXCEEDED");
        }
        server.advance(Duration::from_secs(1));
        reset(&server, "reset").await;
        assert!(!intruder.is_valid(&server).await, "after {hours} hours");
    }
}

/// The holder of one address of an account cannot use up the resets with another address.
#[tokio::test]
async fn pwd_05_each_address_has_its_own_quota_of_resets() {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    let owner = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    add_address(&server, &owner, "intruder@example.org").await;
    for number in 0..12 {
        server.advance(Duration::from_mins(10));
        let secret = format!("intruder-{number}");
        let to = "intruder@example.org";
        let validation = request_reset_token(&server, EMAIL, to, &secret).await;
        validation.validate(&server).await;
        let mut body = validation.attempt(None);
        body["new_password"] = PASSWORD.into();
        let reply = server.post(PASSWORD_PATH, &body).await;
        if number < 11 {
            reply.ok();
        } else {
            reply.error(429, "M_LIMIT_EXCEEDED");
        }
    }
    server.advance(Duration::from_secs(1));
    reset(&server, "owner").await;
}
