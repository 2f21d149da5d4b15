//! `GET /.well-known/openid-configuration`.

use serde_json::json;
use test_support::TestServer;

use crate::api::support::{
    homeserver::{FunctionUrl, HOMESERVER, HOMESERVER_SECRET, INTROSPECT},
    request,
};
use crate::flows::support::oauth_pages::LEGACY;

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn hs_01_without_a_homeserver_and_the_oauth_api_discovery_is_404() {
    let server = TestServer::with(&[LEGACY]).await;
    let unknown = server.get("/.well-known/unknown").await;
    let reply = server.get(DISCOVERY).await;
    reply.error(404, "M_UNRECOGNIZED");
    assert_eq!(reply.body, unknown.body);
    assert_eq!(reply.headers["cache-control"], "no-store");
}

/// A public URL may have a path. `TestServer::send` checks the CORS headers.
#[tokio::test]
async fn hs_08_discovery_has_issuer_and_account_page() {
    for url in ["https://accounts.example.org", "https://example.org/v"] {
        let public = ("GATEHOUSE_PUBLIC_URL", url);
        let server = TestServer::with(&[&HOMESERVER[..], &[LEGACY, public]].concat()).await;
        let function_url = FunctionUrl::of(&server);
        let get = || request("GET", DISCOVERY, &[], b"");
        let (reply, calls) = server.calls_of(server.get(DISCOVERY)).await;
        assert!(calls.is_empty(), "{calls:?}");
        for reply in [reply, function_url.send(get()).await] {
            let cached: Vec<_> = reply.headers.get_all("cache-control").iter().collect();
            assert_eq!(cached, ["public, max-age=600"]);
            let expected = json!({
                "issuer": format!("{url}/"),
                "account_management_uri": format!("{url}/account"),
            });
            assert_eq!(reply.ok(), expected);
        }
    }
}

/// A function URL has no routes.
#[tokio::test]
async fn hs_08_the_function_url_has_no_other_path() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let bearer = format!("Bearer {HOMESERVER_SECRET}");
    let headers = [("authorization", bearer.as_str())];
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/account"),
        ("GET", INTROSPECT),
        ("PUT", INTROSPECT),
        ("POST", DISCOVERY),
        ("POST", "/oauth2/introspect/"),
        ("POST", "//oauth2/introspect"),
        ("POST", "/v/oauth2/introspect"),
        ("GET", "/_matrix/client/versions"),
    ] {
        let reply = url.send(request(method, path, &headers, b"token=x")).await;
        reply.error(404, "M_UNRECOGNIZED");
    }
}
