//! `POST /oauth2/token`.

mod codes;
mod device_codes;
mod refreshes;

use http::{Request, StatusCode};
use test_support::TestServer;

use crate::flows::support::oauth_pages::LEGACY;
use crate::flows::support::oauth_tokens::{OAuthServer, TOKEN, assert_error, changed, form, send};

#[tokio::test]
async fn oa_145_the_endpoint_is_off_without_the_setting() {
    let server = TestServer::with(&[LEGACY]).await;
    let form = form(&[("grant_type", "refresh_token")]);
    for path in [TOKEN, "/oauth2/revoke"] {
        let reply = send(&server, path, &form).await;
        reply.error(404, "M_UNRECOGNIZED");
    }
}

/// RFC 6749, section 5.2, and the table of errors.
#[tokio::test]
async fn malformed_requests_have_standard_errors() {
    let oauth = OAuthServer::new().await;
    let server = &oauth.server;
    let code = oauth.exchange("x");
    for name in ["grant_type", "client_id", "code", "redirect_uri"] {
        let reply = send(server, TOKEN, &changed(&code, name, "")).await;
        assert_error(&reply, 400, "invalid_request");
        let repeated = [code.clone(), form(&[(name, "x")])].concat();
        let reply = send(server, TOKEN, &repeated).await;
        assert_error(&reply, 400, "invalid_request");
    }
    for grant in ["password", "client_credentials", "urn:x"] {
        let reply = send(server, TOKEN, &changed(&code, "grant_type", grant)).await;
        assert_error(&reply, 400, "unsupported_grant_type");
    }
    for client in [
        "x",
        "ghc_",
        "ghc_AAAAAAAAAAAAAAAAAAAAAA",
        "ghc_AAAAAAAAAAAAAAAAAAAAA/",
    ] {
        let reply = send(server, TOKEN, &changed(&code, "client_id", client)).await;
        assert_error(&reply, 401, "invalid_client");
        assert!(!reply.headers.contains_key("www-authenticate"));
    }
    let json = Request::post(TOKEN)
        .header("content-type", "application/json")
        .body(br#"{"grant_type":"refresh_token"}"#.to_vec());
    assert_error(&server.send(json.unwrap()).await, 415, "invalid_request");
    let large = form(&[("grant_type", &"x".repeat(16 * 1024))]);
    let reply = send(server, TOKEN, &large).await;
    assert_error(&reply, 413, "invalid_request");
}

/// Browsers send the request from another origin, and no cache may keep a token.
#[tokio::test]
async fn oa_156_responses_allow_other_origins_and_no_cache() {
    let oauth = OAuthServer::new().await;
    let refused = send(&oauth.server, TOKEN, &oauth.exchange("x")).await;
    let accepted = send(&oauth.server, TOKEN, &oauth.code().await).await;
    for reply in [&refused, &accepted] {
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert!(!reply.headers.contains_key("set-cookie"));
    }
    assert_eq!(accepted.status, StatusCode::OK);
}
