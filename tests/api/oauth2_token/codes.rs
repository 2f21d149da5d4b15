//! The exchange of authorization codes.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Clock;
use test_support::{PASSWORD, PREFIXES, Reply};

use crate::{
    api::support::{rows_of, set_status},
    flows::support::{
        account_helpers::{LOGIN, login_of},
        oauth_pages::{Authorization, DEVICE, NATIVE_URI, OAUTH, client_row, metadata, oauth_rows},
        oauth_tokens::{LIFETIME, OAuthServer, TOKEN, assert_error, changed, send},
    },
};

fn device_of(oauth: &OAuthServer) -> Option<Value> {
    let rows = rows_of(&oauth.server, "alice").into_iter();
    let mut device = rows.filter(|(key, _)| key == &format!("DEV#{DEVICE}"));
    device.next().map(|(_, row)| row)
}

#[track_caller]
fn assert_invalid_grant(reply: &Reply) {
    let body = assert_error(reply, 400, "invalid_grant");
    assert_eq!(body["errcode"], "M_UNKNOWN_TOKEN", "OA-100");
}

/// OA-82, OA-86, OA-89: the members of the response.
#[tokio::test]
async fn oa_79_oa_82_a_code_gives_a_device_and_the_scope_of_the_request() {
    let oauth = OAuthServer::new().await;
    let code = oauth.code().await;
    assert!(
        device_of(&oauth).is_none(),
        "OA-79: no device before the exchange"
    );
    let tokens = send(&oauth.server, TOKEN, &code).await.ok();
    let members: Vec<_> = tokens.as_object().unwrap().keys().collect();
    let expected = [
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
    ];
    assert_eq!(members, expected);
    assert_eq!(tokens["expires_in"], json!(LIFETIME));
    assert_eq!(tokens["token_type"], "Bearer");
    let base = "urn:matrix:org.matrix.msc2967.client";
    assert_eq!(
        tokens["scope"],
        format!("{base}:api:* {base}:device:{DEVICE}")
    );
    assert!(
        tokens["access_token"].as_str().unwrap().starts_with("gho_"),
        "OA-85"
    );
    assert!(
        tokens["refresh_token"]
            .as_str()
            .unwrap()
            .starts_with("ghs_"),
        "OA-85"
    );
    let me = oauth.whoami(&tokens).await.ok();
    assert_eq!(me["device_id"], DEVICE);
    assert_eq!(me["user_id"], "@alice:localhost");
    let device = device_of(&oauth).unwrap();
    assert_eq!(device["display_name"]["S"], "Element X", "OA-79");
}

/// OA-149: a device that has a name keeps it, and its earlier tokens become invalid (TOK-09).
#[tokio::test]
async fn oa_79_oa_149_a_device_of_either_api_is_replaced() {
    let oauth = OAuthServer::new().await;
    let mut login = login_of("alice", PASSWORD);
    login["device_id"] = json!(DEVICE);
    login["initial_device_display_name"] = json!("Old phone");
    let legacy = oauth.server.post(LOGIN, &login).await.ok();
    let tokens = oauth.log_in().await;
    assert_eq!(device_of(&oauth).unwrap()["display_name"]["S"], "Old phone");
    oauth.whoami(&legacy).await.error(401, "M_UNKNOWN_TOKEN");
    oauth.whoami(&tokens).await.ok();
    let legacy = oauth.server.post(LOGIN, &login).await.ok();
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    oauth.whoami(&legacy).await.ok();
    let device = device_of(&oauth).unwrap();
    for attribute in ["oauth_client", "oauth_session", "scope"] {
        assert!(device.get(attribute).is_none(), "{attribute}");
    }
    assert_invalid_grant(&oauth.refresh(&tokens).await);
    oauth.whoami(&legacy).await.ok();
}

/// OA-149: a logout of all devices changes the epoch, which ends the devices of both APIs.
#[tokio::test]
async fn oa_149_an_epoch_ends_the_devices_of_both_apis() {
    let oauth = OAuthServer::new().await;
    let legacy = oauth.server.post(LOGIN, &login_of("alice", PASSWORD)).await;
    let legacy = legacy.ok();
    for by_oauth in [false, true] {
        let tokens = oauth.log_in().await;
        let login = oauth.server.post(LOGIN, &login_of("alice", PASSWORD)).await;
        let other = login.ok();
        let by = if by_oauth { &tokens } else { &other };
        let token = by["access_token"].as_str().unwrap();
        let path = format!("{}/logout/all", PREFIXES[1]);
        let peer = [127, 0, 0, 1].into();
        let reply = oauth
            .server
            .post_as_from(peer, token, &path, &json!({}))
            .await;
        reply.ok();
        for ended in [&tokens, &other, &legacy] {
            oauth.whoami(ended).await.error(401, "M_UNKNOWN_TOKEN");
        }
        assert_invalid_grant(&oauth.refresh(&tokens).await);
    }
}

#[tokio::test]
async fn oa_75_a_code_is_bound_to_its_request() {
    let oauth = OAuthServer::new().await;
    let other = client_row(
        &oauth.server,
        &metadata("native", "io.element.android:/other"),
    );
    let code = oauth.code().await;
    for (name, value) in [
        ("client_id", other.as_str()),
        ("redirect_uri", "io.element.android:/other"),
        ("redirect_uri", "io.element.android:"),
        ("code", "unknown"),
        ("code", &"x".repeat(5000)),
    ] {
        let reply = send(&oauth.server, TOKEN, &changed(&code, name, value)).await;
        assert_invalid_grant(&reply);
    }
    // OA-78: none of these requests has consumed the code.
    send(&oauth.server, TOKEN, &code).await.ok();
}

#[tokio::test]
async fn oa_75_a_code_lives_for_five_minutes() {
    let oauth = OAuthServer::new().await;
    let code = oauth.code().await;
    oauth
        .server
        .advance(Duration::from_millis(5 * 60 * 1000 - 1));
    let late = oauth.code().await;
    send(&oauth.server, TOKEN, &code).await.ok();
    oauth.server.advance(Duration::from_mins(5));
    assert_invalid_grant(&send(&oauth.server, TOKEN, &late).await);
}

#[tokio::test]
async fn oa_76_only_the_verifier_of_the_challenge_is_accepted() {
    let oauth = OAuthServer::new().await;
    let code = oauth.code().await;
    let challenge =
        shared::secrets::sha256_base64(b"verifier-verifier-verifier-verifier-verifier-1");
    let long = "x".repeat(129);
    for verifier in [
        "",
        "short",
        challenge.as_str(),
        "verifier-verifier-verifier-verifier-verifier-2",
        "verifier verifier verifier verifier verifier 1",
        long.as_str(),
    ] {
        let reply = send(
            &oauth.server,
            TOKEN,
            &changed(&code, "code_verifier", verifier),
        )
        .await;
        assert_invalid_grant(&reply);
    }
    send(&oauth.server, TOKEN, &code).await.ok();
}

/// OA-78: a second valid use ends the session, an invalid one does not.
#[tokio::test]
async fn oa_78_a_code_that_is_used_twice_ends_its_session() {
    let mail = crate::flows::support::threepid_helpers::MAIL;
    let oauth = OAuthServer::with(&[mail]).await;
    let code = oauth.code().await;
    let tokens = send(&oauth.server, TOKEN, &code).await.ok();
    for (name, value) in [
        ("code_verifier", ""),
        ("redirect_uri", "io.element.android:/x"),
    ] {
        let reply = send(&oauth.server, TOKEN, &changed(&code, name, value)).await;
        assert_invalid_grant(&reply);
        oauth.whoami(&tokens).await.ok();
    }
    assert_invalid_grant(&send(&oauth.server, TOKEN, &code).await);
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    assert_invalid_grant(&oauth.refresh(&tokens).await);
    assert!(device_of(&oauth).is_none());
    // A new session of the device is not ended by the old code.
    let newer = oauth.log_in().await;
    assert_invalid_grant(&send(&oauth.server, TOKEN, &code).await);
    oauth.whoami(&newer).await.ok();
    oauth.server.advance(Duration::from_mins(10));
    assert_invalid_grant(&send(&oauth.server, TOKEN, &code).await);
}

/// OA-81: the account has changed between the consent and the exchange.
#[tokio::test]
async fn oa_81_a_changed_account_gets_no_tokens() {
    for status in ["locked", "deactivated"] {
        let oauth = OAuthServer::new().await;
        let code = oauth.code().await;
        set_status(&oauth.server, "alice", status);
        assert_invalid_grant(&send(&oauth.server, TOKEN, &code).await);
        assert!(device_of(&oauth).is_none(), "{status}");
    }
    let oauth = OAuthServer::new().await;
    let code = oauth.code().await;
    let login = oauth
        .server
        .post(LOGIN, &login_of("alice", PASSWORD))
        .await
        .ok();
    let token = login["access_token"].as_str().unwrap();
    let logout = format!("{}/logout/all", PREFIXES[1]);
    oauth
        .server
        .post_as_from([127, 0, 0, 1].into(), token, &logout, &json!({}))
        .await
        .ok();
    assert_invalid_grant(&send(&oauth.server, TOKEN, &code).await);
    let suspended = OAuthServer::new().await;
    set_status(&suspended.server, "alice", "suspended");
    suspended.log_in().await;
}

/// OA-26: the first exchange makes the registration permanent.
#[tokio::test]
async fn oa_26_a_used_registration_does_not_expire() {
    let oauth = OAuthServer::new().await;
    let config = oauth.server.local.config();
    let expires = oauth.server.local.clock().now().0 + 7 * 24 * 3_600_000;
    oauth.server.raw_dynamodb(
        "UpdateItem",
        &json!({
            "TableName": format!("{}-oauth", config.tables),
            "Key": { "pk": { "S": format!("CLIENT#{}", oauth.client) } },
            "UpdateExpression": "SET expires = :expires, #ttl = :ttl",
            "ExpressionAttributeNames": { "#ttl": "ttl" },
            "ExpressionAttributeValues": {
                ":expires": { "N": expires.to_string() },
                ":ttl": { "N": (expires / 1000).to_string() },
            },
        }),
    );
    let (unused, used) = (oauth.code().await, oauth.code().await);
    send(&oauth.server, TOKEN, &used).await.ok();
    oauth.server.advance(Duration::from_hours(8 * 24));
    let reply = send(&oauth.server, TOKEN, &unused).await;
    assert_invalid_grant(&reply);
    let client = oauth.server.local.dynamodb().table("OAuth").unwrap();
    let client = client
        .iter()
        .find(|row| row["pk"]["S"].as_str().unwrap().starts_with("CLIENT#"));
    assert!(client.unwrap().get("ttl").is_none() && client.unwrap().get("expires").is_none());
    assert!(oauth_rows(&oauth.server).contains(&"CLIENT".to_owned()));
}

/// The client has registered another grant only.
#[tokio::test]
async fn a_client_without_the_grant_is_unauthorized() {
    let oauth = OAuthServer::new().await;
    let mut own = metadata("native", NATIVE_URI);
    own["grant_types"] = json!(["refresh_token"]);
    let client = client_row(&oauth.server, &own);
    let form = changed(&oauth.exchange("x"), "client_id", &client);
    assert_error(
        &send(&oauth.server, TOKEN, &form).await,
        400,
        "unauthorized_client",
    );
}

/// OA-66, OA-78: going back in the browser after the exchange gives no code that would end the session.
#[tokio::test]
async fn oa_66_a_used_request_gives_no_second_code() {
    let oauth = OAuthServer::with(&[OAUTH]).await;
    let authorization = Authorization::new(&oauth.client, NATIVE_URI);
    let mut browser = crate::flows::support::oauth_pages::Browser::new(&oauth.server);
    let consent = browser.log_in(&authorization, "alice", PASSWORD).await;
    let first = browser.decide(&consent, "allow").await.response();
    let again = browser.decide(&consent, "allow").await.response();
    assert_eq!(first["code"], again["code"], "OA-66");
    let tokens = send(&oauth.server, TOKEN, &oauth.exchange(&first["code"]))
        .await
        .ok();
    let back = browser.decide(&consent, "allow").await;
    assert!(
        back.continue_url().is_none_or(|url| !url.contains("code=")),
        "{}",
        back.text
    );
    oauth.whoami(&tokens).await.ok();
}
