//! Limits on password attempts: from one network, and from all networks together.

use std::{net::IpAddr, time::Duration};

use test_support::{PASSWORD, Reply, TestServer};

use serde_json::json;

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, Device, LOGIN, OTHER_PASSWORD, PASSWORD_PATH, login_of,
        password_of, request_reset_token, sign_up, sign_up_with, with_auth,
    },
    threepid_helpers::EMAIL,
};

const REGISTER: &str = "/_matrix/client/v3/register";
const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn from_other_network(number: u8) -> IpAddr {
    [198, 51, 100, number].into()
}

async fn log_in(server: &TestServer, from: IpAddr, name: &str, password: &str) -> Reply {
    let body = login_of(name, password);
    server.post_from(from, LOGIN, &body).await
}

/// Exhausts the quota of all networks together with ten attempts from each of ten networks.
async fn exhaust(server: &TestServer, name: &str) {
    for network in 0..10 {
        for _ in 0..10 {
            let reply = log_in(server, from_other_network(network), name, "wrong").await;
            reply.error(403, "M_FORBIDDEN");
        }
        let reply = log_in(server, from_other_network(network), name, "wrong").await;
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
}

#[tokio::test]
async fn l15_limits_are_equal_for_existing_and_unknown_accounts() {
    let server = TestServer::with(&[LIMITS]).await;
    sign_up(&server, "alice").await;
    for name in ["alice", "nobody"] {
        exhaust(&server, name).await;
        let fresh = from_other_network(200);
        for password in ["wrong", PASSWORD] {
            let reply = log_in(&server, fresh, name, password).await;
            reply.error(403, "M_FORBIDDEN");
        }
    }
    // Other accounts are not affected.
    sign_up(&server, "bob").await;
    log_in(&server, from_other_network(200), "bob", PASSWORD)
        .await
        .ok();
    // The quota regains one attempt every ten minutes.
    server.advance(Duration::from_mins(10));
    log_in(&server, from_other_network(201), "alice", PASSWORD)
        .await
        .ok();
    let reply = log_in(&server, from_other_network(202), "alice", "wrong").await;
    reply.error(403, "M_FORBIDDEN");
    let reply = log_in(&server, from_other_network(203), "alice", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
}

/// Attempts from other networks do not block a login from a network from which the account owner has
/// logged in during the last thirty days.
#[tokio::test]
async fn l15_the_owner_may_log_in_from_a_trusted_network() {
    let server = TestServer::with(&[LIMITS]).await;
    sign_up(&server, "alice").await;
    log_in(&server, HOME, "alice", PASSWORD).await.ok();
    // A wrong password makes no network trusted.
    let reply = log_in(&server, from_other_network(99), "alice", "wrong").await;
    reply.error(403, "M_FORBIDDEN");
    server.advance(Duration::from_hours(24 * 30 - 1));
    exhaust(&server, "alice").await;
    let reply = log_in(&server, from_other_network(99), "alice", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
    for _ in 0..3 {
        log_in(&server, HOME, "alice", PASSWORD).await.ok();
    }
    // A network is known for one account only. Bob's network is not known for bob, because the registration did not log
    // bob in.
    let body = json!({
        "username": "bob", "password": PASSWORD, "inhibit_login": true,
        "auth": { "type": "m.login.dummy" },
    });
    server.post_from(HOME, REGISTER, &body).await.ok();
    exhaust_with(&server, "bob").await;
    let reply = log_in(&server, HOME, "bob", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
    // Attempts are limited in a known network too, with the same response as elsewhere, so that other users of the
    // network do not learn which accounts log in from it.
    for _ in 0..10 {
        let reply = log_in(&server, HOME, "alice", "wrong").await;
        reply.error(403, "M_FORBIDDEN");
    }
    let reply = log_in(&server, HOME, "alice", PASSWORD).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    // Only a login makes a network trusted, and only for thirty days.
    server.advance(Duration::from_hours(24 * 30));
    exhaust(&server, "alice").await;
    let reply = log_in(&server, HOME, "alice", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
}

/// Like [`exhaust`], from ten other networks with full quotas.
async fn exhaust_with(server: &TestServer, name: &str) {
    for network in 100..110 {
        for _ in 0..10 {
            let reply = log_in(server, from_other_network(network), name, "wrong").await;
            reply.error(403, "M_FORBIDDEN");
        }
    }
}

/// The table of limits contains neither account names nor networks.
#[tokio::test]
async fn l15_the_limits_table_contains_no_names() {
    let server = TestServer::with(&[LIMITS]).await;
    sign_up(&server, "alice").await;
    log_in(&server, HOME, "alice", PASSWORD).await.ok();
    log_in(&server, from_other_network(1), "alice", "wrong").await;
    let rows = format!("{:?}", server.local.dynamodb().table("Limits").unwrap());
    assert!(rows.contains("known-network#") && rows.contains("account-guess#"));
    for word in ["alice", "192.0.2", "198.51"] {
        assert!(!rows.contains(word), "{word}");
    }
}

/// An account's name and its addresses share one quota.
#[tokio::test]
async fn l15_an_accounts_addresses_share_one_quota() {
    let server = TestServer::with(&[&ADDRESSES[..], &[LIMITS]].concat()).await;
    sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    let by_address = |password: &str| {
        json!({
            "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "alice@example.org" },
        })
    };
    exhaust(&server, "alice").await;
    for password in ["wrong", PASSWORD] {
        let reply = server
            .post_from(from_other_network(200), LOGIN, &by_address(password))
            .await;
        reply.error(403, "M_FORBIDDEN");
    }
}

/// Attempts from other networks do not block a login from the network of the sign-up, of a password
/// change or of a reset.
#[tokio::test]
async fn l15_sign_up_and_password_change_make_a_network_trusted() {
    let server = TestServer::with(&[&ADDRESSES[..], &[LIMITS]].concat()).await;
    let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 10].into(), [192, 0, 2, 20].into());
    let body = json!({
        "username": "alice", "password": PASSWORD, "auth": { "type": "m.login.dummy" },
    });
    let alice = server.post_from(here, REGISTER, &body).await.ok();
    let bob = sign_up_with(&server, "bob", EMAIL, "bob@example.org").await;
    exhaust(&server, "alice").await;
    log_in(&server, here, "alice", PASSWORD).await.ok();
    let reply = log_in(&server, there, "alice", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
    let token = alice["access_token"].as_str().unwrap();
    let auth = password_of("alice", PASSWORD, None);
    let change = with_auth(json!({ "new_password": OTHER_PASSWORD }), auth);
    server
        .post_as_from(there, token, PASSWORD_PATH, &change)
        .await
        .ok();
    log_in(&server, there, "alice", OTHER_PASSWORD).await.ok();

    exhaust_with(&server, "bob").await;
    let reply = log_in(&server, there, "bob", PASSWORD).await;
    reply.error(403, "M_FORBIDDEN");
    let validation = request_reset_token(&server, EMAIL, "bob@example.org", "reset").await;
    validation.validate(&server).await;
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    server.post_from(there, PASSWORD_PATH, &body).await.ok();
    log_in(&server, there, "bob", OTHER_PASSWORD).await.ok();
    assert!(!bob.is_valid(&server).await);
}

/// A stolen token allows one hundred attempts from all networks together. Requests with a forged token
/// do not consume that quota.
#[tokio::test]
async fn l15_a_stolen_token_gains_nothing_from_more_networks() {
    let server = TestServer::with(&[LIMITS]).await;
    let alice = sign_up(&server, "alice").await;
    let guess = |password: &str| {
        let auth = password_of("alice", password, None);
        with_auth(json!({ "new_password": OTHER_PASSWORD }), auth)
    };
    // The format of a token is public.
    let elsewhere_too = TestServer::new().await;
    sign_up(&elsewhere_too, "bob").await;
    let forged = sign_up(&elsewhere_too, "alice").await.token;
    assert_ne!(forged, alice.token);
    for network in 0..120 {
        let reply = server
            .post_as_from(
                from_other_network(network),
                &forged,
                PASSWORD_PATH,
                &guess("wrong"),
            )
            .await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    for network in 0..100 {
        let body = guess("wrong");
        let reply = server
            .post_as_from(
                from_other_network(network),
                &alice.token,
                PASSWORD_PATH,
                &body,
            )
            .await;
        reply.refused("M_FORBIDDEN");
    }
    for password in ["wrong", PASSWORD] {
        let reply = server
            .post_as_from(
                from_other_network(200),
                &alice.token,
                PASSWORD_PATH,
                &guess(password),
            )
            .await;
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
    log_in(&server, HOME, "alice", PASSWORD).await.ok();
    server.advance(Duration::from_mins(10));
    let reply = server
        .post_as_from(
            from_other_network(201),
            &alice.token,
            PASSWORD_PATH,
            &guess(PASSWORD),
        )
        .await;
    reply.ok();
}

/// After a reset, the attempts with a stolen token do not keep the owner from using the new password.
#[tokio::test]
async fn l15_a_reset_starts_a_new_quota_of_attempts_with_a_token() {
    let server = TestServer::with(&[&ADDRESSES[..], &[LIMITS]].concat()).await;
    let stolen = sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    let wrong = with_auth(json!({}), password_of("alice", "wrong", None));
    for network in 0..101 {
        let from = from_other_network(network);
        let reply = server
            .post_as_from(from, &stolen.token, DEACTIVATE_PATH, &wrong)
            .await;
        assert_eq!(reply.status == 429, network == 100, "{}", reply.text());
    }
    let validation = request_reset_token(&server, EMAIL, "alice@example.org", "reset").await;
    validation.validate(&server).await;
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    server.advance(Duration::from_millis(1));
    server.post(PASSWORD_PATH, &body).await.ok();
    let login = log_in(&server, HOME, "alice", OTHER_PASSWORD).await.ok();
    let owner = Device::of(&login);
    let auth = password_of("alice", OTHER_PASSWORD, None);
    let change = with_auth(json!({ "new_password": PASSWORD }), auth);
    server
        .post_as_from(HOME, &owner.token, PASSWORD_PATH, &change)
        .await
        .ok();
}

/// A request that hashes no password consumes no attempt, for example the replay of a finished request
/// or an incomplete stage.
#[tokio::test]
async fn l15_a_request_without_a_hash_consumes_no_attempt() {
    let server = TestServer::with(&[LIMITS]).await;
    let alice = sign_up(&server, "alice").await;
    let parameters = json!({ "new_password": OTHER_PASSWORD });
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &parameters).await;
    for auth in [
        json!({ "type": "m.login.password", "session": session }),
        json!({ "type": "m.login.password", "session": session, "password": "x" }),
        json!({ "type": "m.login.password", "session": session, "user": "alice" }),
    ] {
        for _ in 0..12 {
            let body = with_auth(parameters.clone(), auth.clone());
            let reply = alice.post(&server, PASSWORD_PATH, &body).await;
            reply.refused("M_MISSING_PARAM");
        }
    }
    let last = with_auth(parameters, password_of("alice", PASSWORD, Some(&session)));
    server.advance(Duration::from_mins(1));
    for _ in 0..12 {
        alice.post(&server, PASSWORD_PATH, &last).await.ok();
    }
    // An exhausted quota does not prevent a replay.
    let (_, other) = alice
        .begin(&server, PASSWORD_PATH, &json!({ "new_password": PASSWORD }))
        .await;
    let wrong = password_of("alice", "wrong", Some(&other));
    let wrong = with_auth(json!({ "new_password": PASSWORD }), wrong);
    for _ in 0..10 {
        alice
            .post(&server, PASSWORD_PATH, &wrong)
            .await
            .refused("M_FORBIDDEN");
    }
    let reply = alice.post(&server, PASSWORD_PATH, &wrong).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    alice.post(&server, PASSWORD_PATH, &last).await.ok();
}
