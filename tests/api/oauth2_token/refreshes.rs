//! The exchange of refresh tokens.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    ids::{DeviceId, Localpart},
    rng::SystemRng,
    secrets::Secret,
    tokens::{Token, TokenKind},
};
use test_support::{PASSWORD, PREFIXES, Reply};

use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{LOGIN, login_of},
        mail_helpers,
        oauth_pages::{DEVICE, NATIVE_URI, OAUTH, client_row, metadata, native_client},
        oauth_tokens::{LIFETIME, OAuthServer, TOKEN, assert_error, changed, form, send},
    },
};

#[track_caller]
fn assert_invalid_grant(reply: &Reply) {
    let body = assert_error(reply, 400, "invalid_grant");
    assert_eq!(body["errcode"], "M_UNKNOWN_TOKEN", "OA-100");
}

async fn next(oauth: &OAuthServer, tokens: &Value) -> Value {
    oauth.refresh(tokens).await.ok()
}

/// OA-82, OA-87
#[tokio::test]
async fn oa_89_every_refresh_gives_a_new_pair() {
    let oauth = OAuthServer::new().await;
    let mut pair = oauth.log_in().await;
    for _ in 0..5 {
        oauth.server.advance(Duration::from_mins(1));
        let newer = next(&oauth, &pair).await;
        assert_eq!(newer["expires_in"], json!(LIFETIME));
        assert_eq!(newer["scope"], pair["scope"], "OA-82");
        for member in ["access_token", "refresh_token"] {
            assert_ne!(newer[member], pair[member]);
        }
        // OA-87: until the new pair is used, the old access token is valid.
        oauth.whoami(&pair).await.ok();
        assert_eq!(oauth.whoami(&newer).await.ok()["device_id"], DEVICE);
        let body = oauth.whoami(&pair).await.error(401, "M_UNKNOWN_TOKEN");
        assert!(body.get("soft_logout").is_none(), "OA-88");
        pair = newer;
    }
}

/// OA-86: the setting is the lifetime.
#[tokio::test]
async fn oa_88_an_expired_token_allows_a_soft_logout() {
    let oauth = OAuthServer::with(&[("GATEHOUSE_OAUTH_TOKEN_LIFETIME", "2m")]).await;
    let pair = oauth.log_in().await;
    assert_eq!(pair["expires_in"], json!(120), "OA-86");
    oauth.server.advance(Duration::from_millis(119_999));
    oauth.whoami(&pair).await.ok();
    oauth.server.advance(Duration::from_millis(1));
    let body = oauth.whoami(&pair).await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], true);
    let newer = next(&oauth, &pair).await;
    oauth.whoami(&newer).await.ok();
}

/// OA-90: the response was lost.
#[tokio::test]
async fn oa_90_a_repeated_refresh_gets_the_same_response() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    let first = oauth.refresh(&pair).await;
    first.ok();
    oauth.server.advance(Duration::from_secs(20));
    let again = oauth.refresh(&pair).await;
    assert_eq!(first.body, again.body);
    // OA-86, OA-87: a client must not expect a lifetime that is wrong by minutes.
    oauth.server.advance(Duration::from_secs(280));
    let late = oauth.refresh(&pair).await.ok();
    assert_eq!(late["access_token"], first.ok()["access_token"]);
    assert_eq!(late["expires_in"], json!(LIFETIME - 300));
}

/// OA-91: two processes of one app refresh at the same time, and one of them is slower.
#[tokio::test]
async fn oa_91_the_old_token_gets_the_same_pair_for_half_a_minute() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    let first = next(&oauth, &pair).await;
    oauth.whoami(&first).await.ok();
    oauth.server.advance(Duration::from_millis(29_999));
    assert_eq!(next(&oauth, &pair).await, first);
    oauth.whoami(&first).await.ok();
    oauth.server.advance(Duration::from_millis(1));
    assert_invalid_grant(&oauth.refresh(&pair).await);
    // OA-92: by then the second use looks like that of a thief.
    oauth.whoami(&first).await.error(401, "M_UNKNOWN_TOKEN");
}

/// OA-92: generations n−1, n−2 and n−10.
#[tokio::test]
async fn oa_92_an_old_refresh_token_ends_the_session() {
    for age in [1, 2, 10] {
        let oauth = OAuthServer::new().await;
        let mut pairs = vec![oauth.log_in().await];
        for _ in 0..10 {
            let newer = next(&oauth, pairs.last().unwrap()).await;
            oauth.whoami(&newer).await.ok();
            oauth.server.advance(Duration::from_mins(1));
            pairs.push(newer);
        }
        let old = &pairs[pairs.len() - 1 - age];
        let current = pairs.last().unwrap();
        assert_invalid_grant(&oauth.refresh(old).await);
        oauth.whoami(current).await.error(401, "M_UNKNOWN_TOKEN");
        assert_invalid_grant(&oauth.refresh(current).await);
    }
}

#[tokio::test]
async fn oa_92_the_owner_gets_an_email_about_the_ended_session() {
    let server = mail_helpers::with_owner(mail_helpers::by_mail, &[OAUTH]).await;
    server.deliver().await;
    let client = native_client(&server);
    let oauth = OAuthServer { server, client };
    let first = oauth.log_in().await;
    let second = next(&oauth, &first).await;
    oauth.whoami(&second).await.ok();
    oauth.server.advance(Duration::from_mins(1));
    let before = oauth.server.messages().len();
    assert_invalid_grant(&oauth.refresh(&first).await);
    assert_eq!(oauth.server.deliver().await, 1);
    let messages = oauth.server.messages();
    assert_eq!(messages.len(), before + 1);
    let mail = &messages.last().unwrap().text;
    assert!(mail.contains("A device was signed out"), "{mail}");
    // A repetition finds no session, so it sends nothing.
    assert_invalid_grant(&oauth.refresh(&first).await);
    assert_eq!(oauth.server.deliver().await, 0);
}

/// OA-93, OA-100: a token with the right user and device, but another session.
#[tokio::test]
async fn oa_93_a_forged_refresh_token_ends_nothing() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    let user = Localpart::parse("alice", &oauth.server.local.config().server_name).unwrap();
    let device = DeviceId::parse(DEVICE).unwrap();
    for session in ["", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let session = Secret::new(session.to_owned());
        let kind = TokenKind::Refresh;
        let forged = Token::mint_oauth(kind, &user, &device, &session, &SystemRng);
        let tokens = json!({ "refresh_token": forged.reveal() });
        assert_invalid_grant(&oauth.refresh(&tokens).await);
        oauth.whoami(&pair).await.ok();
    }
    next(&oauth, &pair).await;
}

#[tokio::test]
async fn oa_94_another_client_neither_refreshes_nor_ends_a_session() {
    let oauth = OAuthServer::new().await;
    let other = client_row(
        &oauth.server,
        &metadata("native", "io.element.android:/other"),
    );
    let first = oauth.log_in().await;
    let second = next(&oauth, &first).await;
    oauth.whoami(&second).await.ok();
    oauth.server.advance(Duration::from_mins(1));
    for tokens in [&first, &second] {
        for client in [other.as_str(), "x", "ghc_AAAAAAAAAAAAAAAAAAAAAA"] {
            let form = changed(&oauth.refresh_of(tokens), "client_id", client);
            assert_invalid_grant(&send(&oauth.server, TOKEN, &form).await);
            oauth.whoami(&second).await.ok();
        }
    }
    next(&oauth, &second).await;
}

/// OA-99: a locked account may refresh.
#[tokio::test]
async fn oa_99_a_locked_account_keeps_its_session() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    set_status(&oauth.server, "alice", "locked");
    let newer = next(&oauth, &pair).await;
    oauth.whoami(&newer).await.error(401, "M_USER_LOCKED");
    set_status(&oauth.server, "alice", "active");
    oauth.whoami(&newer).await.ok();
    set_status(&oauth.server, "alice", "deactivated");
    assert_invalid_grant(&oauth.refresh(&newer).await);
}

/// OA-85, OA-148: each API exchanges its own refresh tokens only, and the prefix of a token names its API.
#[tokio::test]
async fn oa_148_refresh_tokens_of_one_api_are_unknown_to_the_other() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    let refresh = format!("{}/refresh", PREFIXES[1]);
    let body = json!({ "refresh_token": pair["refresh_token"] });
    oauth
        .server
        .post(&refresh, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    oauth.whoami(&pair).await.ok();
    let mut login = login_of("alice", PASSWORD);
    login["refresh_token"] = json!(true);
    let legacy = oauth.server.post(LOGIN, &login).await.ok();
    assert_invalid_grant(&oauth.refresh(&legacy).await);
    let access = json!({ "refresh_token": pair["access_token"] });
    assert_invalid_grant(&oauth.refresh(&access).await);
    for (tokens, access, refresh) in [(&pair, "gho_", "ghs_"), (&legacy, "gha_", "ghr_")] {
        let token = |member: &str| tokens[member].as_str().unwrap();
        assert!(token("access_token").starts_with(access));
        assert!(token("refresh_token").starts_with(refresh));
    }
    let body = json!({ "refresh_token": legacy["refresh_token"] });
    oauth.server.post(&refresh, &body).await.ok();
    next(&oauth, &pair).await;
}

/// OA-98: a network that is above its limit still refreshes valid tokens. OA-97: a refusal then is 503 without a body.
#[tokio::test]
async fn oa_97_oa_98_refusals_are_limited_and_valid_tokens_are_not() {
    let oauth = OAuthServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    oauth.server.expect_faults();
    let pair = oauth.log_in().await;
    let unknown = form(&[
        ("grant_type", "refresh_token"),
        ("client_id", oauth.client.as_str()),
        ("refresh_token", "ghs_x"),
    ]);
    let mut statuses = Vec::new();
    for _ in 0..62 {
        let reply = send(&oauth.server, TOKEN, &unknown).await;
        if reply.status == 503 {
            assert!(reply.body.is_empty() && reply.headers.contains_key("retry-after"));
        }
        statuses.push(reply.status.as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 60);
    assert_eq!(statuses[60..], [503, 503]);
    let mut pair = next(&oauth, &pair).await;
    for _ in 0..3 {
        oauth.whoami(&pair).await.ok();
        pair = next(&oauth, &pair).await;
    }
    send(
        &oauth.server,
        TOKEN,
        &changed(&oauth.refresh_of(&pair), "redirect_uri", NATIVE_URI),
    )
    .await
    .ok();
}

/// OA-135 and OA-147: the endpoints that accept a token of this API.
#[tokio::test]
async fn oa_146_oa_147_a_token_works_where_no_password_is_asked_for() {
    let oauth = OAuthServer::new().await;
    let pair = oauth.log_in().await;
    let token = pair["access_token"].as_str().unwrap();
    let prefix = PREFIXES[1];
    let server = &oauth.server;
    for path in ["account/whoami", "devices", "account/3pid", "capabilities"] {
        server.get_as(token, &format!("{prefix}/{path}")).await.ok();
    }
    let capabilities = server
        .get_as(token, &format!("{prefix}/capabilities"))
        .await
        .ok();
    assert_eq!(
        capabilities["capabilities"]["m.change_password"]["enabled"],
        false
    );
    assert_eq!(
        capabilities["capabilities"]["m.3pid_changes"]["enabled"],
        false
    );
    let peer = [127, 0, 0, 1].into();
    let before = server.dump();
    for path in [
        "account/password",
        "account/deactivate",
        "delete_devices",
        "account/3pid/add",
    ] {
        let body = json!({ "devices": [DEVICE], "auth": { "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": "alice" }, "password": PASSWORD } });
        let reply = server
            .post_as_from(peer, token, &format!("{prefix}/{path}"), &body)
            .await;
        reply.error(404, "M_UNRECOGNIZED");
        let reply = server
            .post_as_from(peer, "gho_x", &format!("{prefix}/{path}"), &body)
            .await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    for path in ["account/3pid", "account/3pid/delete"] {
        let body = json!({ "threePidCreds": [], "medium": "email", "address": "a@b.example" });
        let reply = server
            .post_as_from(peer, token, &format!("{prefix}/{path}"), &body)
            .await;
        reply.error(404, "M_UNRECOGNIZED");
    }
    assert_eq!(before, server.dump(), "the state is unchanged");
    server
        .post_as_from(peer, token, &format!("{prefix}/logout"), &json!({}))
        .await
        .ok();
    oauth.whoami(&pair).await.error(401, "M_UNKNOWN_TOKEN");
}
