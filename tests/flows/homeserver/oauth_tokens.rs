//! Sessions of the OAuth 2.0 API: their devices exist at the homeserver before the client gets tokens, and end there with
//! the session.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    api::support::{homeserver::introspection_with, set_status},
    flows::support::{
        homeserver::{Homeserver, Misbehaviour, SECRET},
        oauth_pages::{DEVICE, OAUTH, native_client},
        oauth_tokens::{OAuthServer, TOKEN, assert_error, send},
    },
};

async fn start() -> (Homeserver, OAuthServer) {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    server.sign_up("alice").await;
    let client = native_client(&server);
    homeserver.take_calls();
    (homeserver, OAuthServer { server, client })
}

fn has_device(homeserver: &Homeserver) -> bool {
    homeserver.devices("alice").iter().any(|own| own == DEVICE)
}

/// OA-79, OA-80
#[tokio::test]
async fn oa_80_the_homeserver_has_the_device_before_the_client() {
    let (homeserver, oauth) = start().await;
    let code = oauth.code().await;
    assert!(homeserver.take_calls().is_empty());
    let tokens = send(&oauth.server, TOKEN, &code).await.ok();
    assert_eq!(homeserver.take_calls(), ["upsert_device alice"]);
    assert!(has_device(&homeserver));
    // A refresh and a use change nothing there.
    let next = oauth.refresh(&tokens).await.ok();
    oauth.whoami(&next).await.ok();
    assert!(homeserver.take_calls().is_empty());
    homeserver.assert_no_violations();
}

/// The homeserver is down, and answers again later: the code stays valid until its end.
#[tokio::test]
async fn oa_80_while_the_homeserver_is_down_the_code_stays_valid() {
    for misbehaviour in [Misbehaviour::Down, Misbehaviour::Fails(500)] {
        let (homeserver, oauth) = start().await;
        oauth.server.expect_faults();
        let code = oauth.code().await;
        homeserver.set_misbehaviour(Some(misbehaviour));
        for _ in 0..3 {
            let reply = send(&oauth.server, TOKEN, &code).await;
            assert_eq!(reply.status, 503, "{}", reply.text());
            assert!(reply.body.is_empty());
            oauth.server.advance(Duration::from_secs(30));
        }
        homeserver.set_misbehaviour(None);
        let tokens = send(&oauth.server, TOKEN, &code).await.ok();
        oauth.whoami(&tokens).await.ok();
        assert!(has_device(&homeserver));
    }
}

/// OA-92, OA-105, OA-78: every end of a session ends the device at the homeserver.
#[tokio::test]
async fn oa_105_the_end_of_a_session_deletes_the_device() {
    for end in ["revoke", "replay", "code", "logout"] {
        let (homeserver, oauth) = start().await;
        let code = oauth.code().await;
        let first = send(&oauth.server, TOKEN, &code).await.ok();
        let second = oauth.refresh(&first).await.ok();
        oauth.whoami(&second).await.ok();
        assert!(has_device(&homeserver));
        oauth.server.advance(Duration::from_mins(1));
        let token = second["access_token"].as_str().unwrap();
        match end {
            "revoke" => assert_eq!(oauth.revoke(token).await.status, 200),
            "replay" => drop(assert_error(
                &oauth.refresh(&first).await,
                400,
                "invalid_grant",
            )),
            "code" => {
                let reply = send(&oauth.server, TOKEN, &code).await;
                assert_error(&reply, 400, "invalid_grant");
            }
            _ => {
                let path = "/_matrix/client/v3/logout";
                let peer = [127, 0, 0, 1].into();
                let reply = oauth
                    .server
                    .post_as_from(peer, token, path, &json!({}))
                    .await;
                reply.ok();
            }
        }
        oauth.whoami(&second).await.error(401, "M_UNKNOWN_TOKEN");
        assert!(!has_device(&homeserver), "{end}");
    }
}

/// OA-136, OA-137, OA-138, OA-139: the homeserver introspects tokens of this API like those of the account API.
#[tokio::test]
async fn oa_136_the_homeserver_introspects_tokens_of_this_api() {
    let (_homeserver, oauth) = start().await;
    let tokens = oauth.log_in().await;
    let introspect = async |tokens: &Value, member: &str| {
        let token = tokens[member].as_str().unwrap();
        let bearer = format!("Bearer {SECRET}");
        let request = introspection_with(&bearer, format!("token={token}").as_bytes());
        oauth.server.send(request).await.ok()
    };
    let next = oauth.refresh(&tokens).await.ok();
    let inactive = json!({ "active": false });
    assert_eq!(introspect(&next, "refresh_token").await, inactive);
    let answer = introspect(&next, "access_token").await;
    let scope = "openid urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:* \
                 urn:matrix:client:device:";
    let expected = json!({
        "active": true,
        "scope": format!("{scope}{DEVICE}"),
        "username": "alice",
        "sub": "alice",
        "device_id": DEVICE,
        "client_id": oauth.client,
        "token_type": "Bearer",
        "expires_in": 900,
    });
    assert_eq!(answer, expected);
    // OA-139: the introspection has used the new pair.
    assert_eq!(introspect(&tokens, "access_token").await, inactive);
    set_status(&oauth.server, "alice", "locked");
    assert_eq!(introspect(&next, "access_token").await, inactive);
    set_status(&oauth.server, "alice", "active");
    oauth.server.advance(Duration::from_mins(15));
    assert_eq!(introspect(&next, "access_token").await, inactive);
}
