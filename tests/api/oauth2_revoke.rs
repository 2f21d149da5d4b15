//! `POST /oauth2/revoke`.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::{Value, json};
use test_support::PASSWORD;

use crate::{
    api::support::{register_guest, rows_of},
    flows::support::{
        account_helpers::{LOGIN, login_of},
        oauth_pages::DEVICE,
        oauth_tokens::{OAuthServer, REVOKE, assert_error, form, send},
    },
};

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

/// Whether the session has no token that is valid, and no device.
async fn has_ended(oauth: &OAuthServer, tokens: &Value) -> bool {
    let reply = oauth.whoami(tokens).await;
    let refreshed = oauth.refresh(tokens).await;
    reply.status == 401 && refreshed.status == 400
}

#[tokio::test]
async fn oa_105_either_token_ends_the_session() {
    for name in ["access_token", "refresh_token"] {
        let oauth = OAuthServer::new().await;
        let tokens = oauth.log_in().await;
        let reply = oauth.revoke(text(&tokens, name)).await;
        assert_eq!(reply.ok(), json!({}), "OA-106");
        assert!(has_ended(&oauth, &tokens).await, "{name}");
        assert!(
            rows_of(&oauth.server, "alice")
                .iter()
                .all(|(key, _)| key != &format!("DEV#{DEVICE}"))
        );
        oauth.revoke(text(&tokens, name)).await.ok();
    }
}

/// A pair that was not used yet ends with the session, whichever of its tokens is revoked.
#[tokio::test]
async fn oa_105_the_next_pair_ends_too() {
    for name in ["access_token", "refresh_token"] {
        for revokes_new in [false, true] {
            let oauth = OAuthServer::new().await;
            let old = oauth.log_in().await;
            let new = oauth.refresh(&old).await.ok();
            let tokens = if revokes_new { &new } else { &old };
            oauth.revoke(text(tokens, name)).await.ok();
            assert!(has_ended(&oauth, &old).await && has_ended(&oauth, &new).await);
        }
    }
}

/// OA-108
#[tokio::test]
async fn oa_106_oa_108_other_tokens_and_hints_have_no_effect() {
    let oauth = OAuthServer::new().await;
    let tokens = oauth.log_in().await;
    let long = "x".repeat(8000);
    for token in ["x", "gho_x", "ghs_", "Bearer", "\u{0}", long.as_str()] {
        assert_eq!(oauth.revoke(token).await.ok(), json!({}));
    }
    oauth.whoami(&tokens).await.ok();
    for empty in [
        form(&[("token", "")]),
        form(&[("client_id", &oauth.client)]),
    ] {
        let reply = send(&oauth.server, REVOKE, &empty).await;
        assert_error(&reply, 400, "invalid_request");
    }
    let hint = form(&[
        ("token", text(&tokens, "access_token")),
        ("token_type_hint", "refresh_token_or_so"),
        ("client_id", &oauth.client),
    ]);
    send(&oauth.server, REVOKE, &hint).await.ok();
    assert!(has_ended(&oauth, &tokens).await);
}

/// OA-107: a scanner for leaked tokens does not know the client.
#[tokio::test]
async fn oa_107_a_request_without_the_client_revokes() {
    for client in [None, Some("ghc_AAAAAAAAAAAAAAAAAAAAAA")] {
        let oauth = OAuthServer::new().await;
        let tokens = oauth.log_in().await;
        let mut pairs = vec![("token", text(&tokens, "refresh_token"))];
        pairs.extend(client.map(|client| ("client_id", client)));
        send(&oauth.server, REVOKE, &form(&pairs)).await.ok();
        assert!(has_ended(&oauth, &tokens).await, "{client:?}");
    }
}

#[tokio::test]
async fn oa_109_an_expired_token_ends_its_session() {
    let oauth = OAuthServer::new().await;
    let tokens = oauth.log_in().await;
    oauth.server.advance(Duration::from_hours(1));
    oauth.revoke(text(&tokens, "access_token")).await.ok();
    assert!(has_ended(&oauth, &tokens).await);
    // A token that was replaced does not end the session.
    let old = oauth.log_in().await;
    let new = oauth.refresh(&old).await.ok();
    oauth.whoami(&new).await.ok();
    oauth.revoke(text(&old, "access_token")).await.ok();
    oauth.whoami(&new).await.ok();
}

#[tokio::test]
async fn oa_109_a_token_of_the_account_api_ends_its_device() {
    let oauth = OAuthServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let mut login = login_of("alice", PASSWORD);
    login["refresh_token"] = json!(true);
    for name in ["access_token", "refresh_token"] {
        let legacy = oauth.server.post(LOGIN, &login).await.ok();
        oauth.revoke(text(&legacy, name)).await.ok();
        oauth.whoami(&legacy).await.error(401, "M_UNKNOWN_TOKEN");
    }
    // GUEST-06: a guest cannot log out, because nothing could log the guest in again.
    let guest = register_guest(&oauth.server).await;
    oauth.revoke(text(&guest, "access_token")).await.ok();
    oauth.whoami(&guest).await.ok();
}
