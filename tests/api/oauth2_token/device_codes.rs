//! Polls with device codes, and their exchange.

use std::time::Duration;

use serde_json::json;
use test_support::{PASSWORD, Reply};

use crate::{
    api::support::{rows_of, set_status},
    flows::support::{
        account_helpers::{LOGIN, login_of},
        device_grant::{Device, GrantServer, metadata},
        oauth_pages::{Browser, DEVICE, client_row},
        oauth_tokens::{OAuthServer, TOKEN, assert_error, changed, form, send},
    },
};

#[track_caller]
fn assert_invalid_grant(reply: &Reply) {
    let body = assert_error(reply, 400, "invalid_grant");
    assert_eq!(body["errcode"], "M_UNKNOWN_TOKEN", "OA-100");
}

fn seconds(server: &GrantServer, seconds: f64) {
    server.server.advance(Duration::from_secs_f64(seconds));
}

fn device_rows(grant: &GrantServer) -> usize {
    let rows = rows_of(&grant.server, "alice");
    let key = format!("DEV#{DEVICE}");
    rows.iter().filter(|(own, _)| *own == key).count()
}

/// OA-97: the response is 400, because the client reads the body.
#[tokio::test]
async fn oa_115_a_poll_that_is_too_early_slows_the_client_down() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let poll = async |expected| {
        let reply = grant.poll(&device).await;
        let body = assert_error(&reply, 400, expected);
        assert!(body.get("errcode").is_none(), "{body}");
        assert_eq!(reply.headers["cache-control"], "no-store");
    };
    poll("authorization_pending").await;
    for _ in 0..3 {
        // One second of tolerance.
        seconds(&grant, 4.0);
        poll("authorization_pending").await;
    }
    seconds(&grant, 3.9);
    poll("slow_down").await;
    // The interval is now 10 s.
    seconds(&grant, 8.9);
    poll("slow_down").await;
    // The interval is now 15 s.
    for _ in 0..3 {
        seconds(&grant, 14.0);
        poll("authorization_pending").await;
    }
    // Polls at 1 s.
    for _ in 0..5 {
        seconds(&grant, 1.0);
        poll("slow_down").await;
    }
}

/// Only pending codes are slowed down: after the decision the client may poll at once. Another code has its own interval.
#[tokio::test]
async fn oa_115_a_decision_ends_the_waiting() {
    let grant = GrantServer::new().await;
    let (device, other) = (grant.device().await, grant.device().await);
    for expected in ["authorization_pending", "slow_down", "slow_down"] {
        assert_error(&grant.poll(&device).await, 400, expected);
    }
    assert_error(&grant.poll(&other).await, 400, "authorization_pending");
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await;
    browser.decide(&consent, "allow").await.expect(200);
    grant.poll(&device).await.ok();
    let consent = other.consent(&mut browser, "alice").await;
    browser.decide(&consent, "cancel").await.expect(200);
    for _ in 0..2 {
        assert_error(&grant.poll(&other).await, 400, "access_denied");
    }
}

#[tokio::test]
async fn oa_116_unknown_codes_and_wrong_clients_are_refused() {
    let grant = GrantServer::new().await;
    let mut own = metadata();
    own["client_name"] = json!("Other");
    let other = client_row(&grant.server, &own);
    for device in [grant.device().await, grant.approved().await] {
        let before = grant.row(&device);
        let poll = device.form();
        for (name, value) in [
            ("client_id", other.as_str()),
            ("device_code", &"A".repeat(43)),
            ("device_code", "x"),
            ("device_code", &device.user_code),
        ] {
            let reply = send(&grant.server, TOKEN, &changed(&poll, name, value)).await;
            assert_invalid_grant(&reply);
        }
        for client in ["x", "ghc_AAAAAAAAAAAAAAAAAAAAAA"] {
            let poll = changed(&poll, "client_id", client);
            let reply = send(&grant.server, TOKEN, &poll).await;
            assert_error(&reply, 401, "invalid_client");
        }
        for name in ["client_id", "device_code"] {
            let reply = send(&grant.server, TOKEN, &changed(&poll, name, "")).await;
            assert_error(&reply, 400, "invalid_request");
        }
        assert_eq!(grant.row(&device), before);
    }
}

#[tokio::test]
async fn oa_116_a_code_expires_after_15_minutes() {
    let grant = GrantServer::new().await;
    let mut browser = Browser::new(&grant.server);
    let (pending, denied) = (grant.device().await, grant.device().await);
    let consent = denied.consent(&mut browser, "alice").await;
    browser.decide(&consent, "cancel").await.expect(200);
    let (used, late) = (grant.approved().await, grant.approved().await);
    seconds(&grant, 899.999);
    assert_error(&grant.poll(&pending).await, 400, "authorization_pending");
    assert_error(&grant.poll(&denied).await, 400, "access_denied");
    let tokens = grant.poll(&used).await.ok();
    seconds(&grant, 0.001);
    for device in [&pending, &denied, &late] {
        assert_error(&grant.poll(device).await, 400, "expired_token");
    }
    // OA-117: the end of the code does not end the repetition of the response.
    assert_eq!(grant.poll(&used).await.ok(), tokens);
    seconds(&grant, 3000.0);
    assert_error(&grant.poll(&late).await, 400, "expired_token");
}

#[tokio::test]
async fn oa_117_a_code_gives_one_device_and_its_tokens() {
    let grant = GrantServer::new().await;
    let mut login = login_of("alice", PASSWORD);
    login["device_id"] = json!(DEVICE);
    let old = grant.server.post(LOGIN, &login).await.ok();
    let device = grant.approved().await;
    grant
        .server
        .whoami(old["access_token"].as_str().unwrap())
        .await
        .ok();
    let tokens = grant.poll(&device).await.ok();
    let members: Vec<_> = tokens.as_object().unwrap().keys().collect();
    let expected = [
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
    ];
    assert_eq!(members, expected);
    assert_eq!(tokens["expires_in"], json!(900));
    // OA-79: the earlier tokens of the device are invalid.
    let reply = grant.server.whoami(old["access_token"].as_str().unwrap());
    reply.await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(device_rows(&grant), 1);
    let oauth = OAuthServer {
        server: grant.server,
        client: grant.client,
    };
    let me = oauth.whoami(&tokens).await.ok();
    assert_eq!(me["device_id"], DEVICE);
    assert_eq!(me["user_id"], "@alice:localhost");
    // OA-89, OA-92: the session is like any other.
    let next = oauth.refresh(&tokens).await.ok();
    assert_eq!(oauth.refresh(&tokens).await.ok(), next);
    oauth.whoami(&next).await.ok();
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    oauth.server.advance(Duration::from_secs(31));
    assert_invalid_grant(&oauth.refresh(&tokens).await);
    oauth.whoami(&next).await.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn oa_117_the_name_of_a_new_device_is_that_of_the_client() {
    let grant = GrantServer::new().await;
    let device = grant.approved().await;
    assert_eq!(device_rows(&grant), 0, "no device before the exchange");
    grant.poll(&device).await.ok();
    let rows = rows_of(&grant.server, "alice");
    let (_, row) = rows
        .iter()
        .find(|(key, _)| *key == format!("DEV#{DEVICE}"))
        .unwrap();
    assert_eq!(row["display_name"]["S"], "Element TV");
}

/// The client has lost the response.
#[tokio::test]
async fn oa_117_the_response_is_repeated_for_a_minute() {
    let grant = GrantServer::new().await;
    let device = grant.approved().await;
    let first = grant.poll(&device).await;
    for _ in 0..3 {
        seconds(&grant, 9.9);
        assert_eq!(grant.poll(&device).await.body, first.body);
    }
    // OA-87: a client must not get a lifetime that is too long.
    seconds(&grant, 30.0);
    let late = grant.poll(&device).await.ok();
    assert_eq!(late["access_token"], first.ok()["access_token"]);
    assert_eq!(late["expires_in"], json!(840));
    seconds(&grant, 0.3);
    assert_invalid_grant(&grant.poll(&device).await);
    let oauth = OAuthServer {
        server: grant.server,
        client: grant.client,
    };
    oauth.whoami(&first.ok()).await.ok();
}

/// Neither the use of a token nor an end of the session lets another party get the tokens with the code.
#[tokio::test]
async fn oa_117_the_response_is_not_repeated_after_a_use() {
    for use_of in ["whoami", "refresh", "revoke", "logout"] {
        let grant = GrantServer::new().await;
        let device = grant.approved().await;
        let tokens = grant.poll(&device).await.ok();
        assert_eq!(grant.poll(&device).await.ok(), tokens);
        let oauth = OAuthServer {
            server: grant.server,
            client: grant.client,
        };
        let access = tokens["access_token"].as_str().unwrap();
        match use_of {
            "whoami" => oauth.whoami(&tokens).await.ok(),
            "refresh" => oauth.refresh(&tokens).await.ok(),
            "revoke" => oauth.revoke(access).await.ok(),
            _ => json!({}),
        };
        let grant = GrantServer {
            server: oauth.server,
            client: oauth.client,
        };
        if use_of == "logout" {
            grant.log_out(access, "logout").await;
        }
        assert_invalid_grant(&grant.poll(&device).await);
        let is_live = use_of == "whoami" || use_of == "refresh";
        assert_eq!(device_rows(&grant), usize::from(is_live), "{use_of}");
    }
}

/// OA-109: the client may log out with a token that has never been used.
#[tokio::test]
async fn oa_105_either_unused_token_ends_the_session() {
    for name in ["access_token", "refresh_token"] {
        let grant = GrantServer::new().await;
        let device = grant.approved().await;
        let tokens = grant.poll(&device).await.ok();
        let token = tokens[name].as_str().unwrap();
        let revocation = form(&[("token", token), ("client_id", &grant.client)]);
        let reply = send(&grant.server, "/oauth2/revoke", &revocation).await;
        reply.ok();
        assert_eq!(device_rows(&grant), 0, "{name}");
    }
}

/// The account has changed between the consent and the exchange.
#[tokio::test]
async fn oa_121_the_account_is_checked_at_the_exchange() {
    for change in ["locked", "deactivated", "logout/all"] {
        let grant = GrantServer::new().await;
        let device = grant.approved().await;
        if change == "logout/all" {
            let token = grant.log_in().await;
            grant.log_out(&token, change).await;
        } else {
            set_status(&grant.server, "alice", change);
        }
        for _ in 0..2 {
            assert_invalid_grant(&grant.poll(&device).await);
        }
        assert_eq!(device_rows(&grant), 0, "{change}");
    }
    let grant = GrantServer::new().await;
    let device = grant.approved().await;
    set_status(&grant.server, "alice", "suspended");
    grant.poll(&device).await.ok();
}

/// OA-97, OA-98: guesses are charged to their network, and a network above its limit can still poll.
#[tokio::test]
async fn oa_97_guesses_of_device_codes_end_with_503() {
    let grant = GrantServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let device = grant.approved().await;
    let pending = grant.device().await;
    let codes = json!({ "device_code": "A".repeat(43), "user_code": "x" });
    let wrong = Device::new(&grant.client, &codes);
    grant.server.expect_faults();
    let mut refused = grant.poll(&wrong).await;
    for _ in 0..60 {
        assert_invalid_grant(&refused);
        refused = grant.poll(&wrong).await;
    }
    assert_eq!(refused.status, 503);
    assert!(refused.body.is_empty() && refused.headers.contains_key("retry-after"));
    assert_error(&grant.poll(&pending).await, 400, "authorization_pending");
    assert_error(&grant.poll(&pending).await, 400, "slow_down");
    grant.poll(&device).await.ok();
}
