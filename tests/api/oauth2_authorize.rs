//! `GET /oauth2/authorize` and its pages: the authorization request (OA-30 to OA-48), login and consent (OA-50 to OA-71).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod answers;
mod consents;
mod contexts;
mod logins;
mod pages;

use serde_json::json;
use test_support::TestServer;

use crate::flows::support::oauth_pages::{
    Authorization, Browser, LEGACY, NATIVE_URI, OAUTH, Page, STATE, client_row, metadata,
    native_client,
};

async fn start() -> TestServer {
    TestServer::with(&[OAUTH]).await
}

async fn open(server: &TestServer, authorization: &Authorization) -> Page {
    Browser::new(server).open(authorization).await
}

/// Asserts that the request fails without a link to any other server (OA-32).
#[track_caller]
fn assert_unanswerable(page: &Page) {
    assert_eq!(page.reply.status, 400, "{}", page.text);
    assert!(!page.text.contains("href"), "{}", page.text);
    assert!(page.reply.headers.get("location").is_none());
    assert!(page.find_form("").is_none(), "{}", page.text);
}

/// Asserts that the request fails with this error, which only a click takes to the client (OA-33).
#[track_caller]
fn assert_refused(page: &Page, error: &str) {
    assert_eq!(page.reply.status, 400, "{}", page.text);
    assert!(page.reply.headers.get("location").is_none());
    assert_eq!(page.refresh(), None, "OA-33: {}", page.text);
    let response = page.response();
    assert_eq!(response["error"], error, "{response:?}");
    assert_eq!(response["iss"], page.issuer(), "{response:?}");
    assert!(!response.contains_key("code"), "{response:?}");
    assert!(page.find_form("").is_none(), "{}", page.text);
}

#[tokio::test]
async fn oa_145_without_the_setting_the_paths_are_unknown() {
    let server = TestServer::with(&[LEGACY]).await;
    let valid = Authorization::native(&server).path();
    server.get(&valid).await.error(404, "M_UNRECOGNIZED");
    for path in ["login", "consent", "logout"] {
        let path = format!("/oauth2/authorize/{path}");
        server.get(&path).await.error(404, "M_UNRECOGNIZED");
        server
            .post_text(&path, "x")
            .await
            .error(404, "M_UNRECOGNIZED");
    }
}

#[tokio::test]
async fn oa_30_a_repeated_parameter_is_an_error() {
    let server = start().await;
    let valid = Authorization::native(&server);
    for name in [
        "response_type",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "login_hint",
        "unknown",
    ] {
        let page = open(&server, &valid.clone().and(name, "x").and(name, "y")).await;
        assert_refused(&page, "invalid_request");
        assert_eq!(page.response()["state"], STATE);
    }
    let client = native_client(&server);
    for (name, value) in [
        ("client_id", client.as_str()),
        ("redirect_uri", NATIVE_URI),
        ("response_mode", "query"),
        ("state", "x"),
    ] {
        let once = valid.clone().with(name, value);
        open(&server, &once).await.expect(200);
        assert_unanswerable(&open(&server, &once.and(name, value)).await);
    }
    // An empty parameter is absent, and an unknown one has no effect.
    let page = open(&server, &valid.and("unknown", "x").and("prompt", "")).await;
    page.expect(200).form("/login");
}

#[tokio::test]
async fn oa_30_plus_and_percent_20_are_a_space() {
    let server = start().await;
    let path = Authorization::native(&server).path();
    assert!(path.contains("%20"));
    for path in [path.replace("%20", "+"), path] {
        let mut browser = Browser::new(&server);
        browser.get(&path).await.expect(200).form("/login");
    }
}

#[tokio::test]
async fn oa_31_the_redirect_uri_is_compared_exactly() {
    let server = start().await;
    let uri = "https://app.element.io/web/?no_universal_links=true";
    let client = client_row(&server, &metadata("web", uri));
    open(&server, &Authorization::new(&client, uri))
        .await
        .expect(200);
    for other in [
        "https://app.element.io/web/",
        "https://app.element.io/web?no_universal_links=true",
        "https://app.element.io/web/?no_universal_links=true&x=y",
        "https://app.element.io/WEB/?no_universal_links=true",
        "https://APP.element.io/web/?no_universal_links=true",
        "https://app.element.io/x/../web/?no_universal_links=true",
        "https://app.element.io/%77eb/?no_universal_links=true",
        "https://app.element.io/web/%2e?no_universal_links=true",
        "https://app.element.io@evil.example/web/?no_universal_links=true",
        "https://app.element.io\\@evil.example/web/?no_universal_links=true",
        "https://app.element.io:443/web/?no_universal_links=true",
        "http://app.element.io/web/?no_universal_links=true",
    ] {
        let request = Authorization::new(&client, other);
        assert_unanswerable(&open(&server, &request).await);
    }
    // Only a loopback port may differ.
    let client = client_row(&server, &metadata("native", "http://localhost:3001/login"));
    for port in ["", ":1", ":3001", ":65535"] {
        let request = Authorization::new(&client, &format!("http://localhost{port}/login"));
        open(&server, &request).await.expect(200);
    }
    for other in [
        "http://127.0.0.1/login",
        "http://localhost:1/",
        "http://localhost:x/login",
    ] {
        assert_unanswerable(&open(&server, &Authorization::new(&client, other)).await);
    }
}

#[tokio::test]
async fn oa_32_an_unknown_destination_gets_no_link() {
    let server = start().await;
    let valid = Authorization::native(&server);
    let expired = "ghc_expired0expired0expired";
    server.raw_dynamodb(
        "PutItem",
        &json!({
            "TableName": format!("{}-oauth", server.local.config().tables),
            "Item": {
                "pk": { "S": format!("CLIENT#{expired}") },
                "metadata": { "S": metadata("native", NATIVE_URI).to_string() },
                "expires": { "N": test_support::NOW.to_string() },
            },
        }),
    );
    for (name, value) in [
        ("client_id", ""),
        ("client_id", "element"),
        ("client_id", "ghc_0123456789012345678901"),
        ("client_id", expired),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "javascript:alert(1)"),
        ("response_mode", "form_post"),
        ("response_mode", "jwt"),
        ("state", &"s".repeat(1025)),
    ] {
        let page = open(&server, &valid.clone().with(name, value)).await;
        assert_unanswerable(&page);
    }
    let longest = valid.with("state", &"s".repeat(1024));
    open(&server, &longest).await.expect(200);
}

#[tokio::test]
async fn oa_34_each_error_has_its_code() {
    let server = start().await;
    let valid = Authorization::native(&server);
    for (name, value, error) in [
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        (
            "response_type",
            "code id_token",
            "unsupported_response_type",
        ),
        ("request", "x", "request_not_supported"),
        (
            "request_uri",
            "https://example.org",
            "request_uri_not_supported",
        ),
        ("prompt", "none", "login_required"),
        ("prompt", "none login", "login_required"),
        ("scope", "", "invalid_scope"),
    ] {
        let page = open(&server, &valid.clone().with(name, value)).await;
        assert_refused(&page, error);
        assert_eq!(page.response()["state"], STATE);
    }
    // Without a state, the response has none.
    let page = open(&server, &valid.with("state", "").with("scope", "x")).await;
    assert_refused(&page, "invalid_scope");
    assert!(!page.response().contains_key("state"));
    let mut device_only = metadata("native", NATIVE_URI);
    device_only["grant_types"] = json!(["refresh_token"]);
    let client = client_row(&server, &device_only);
    let page = open(&server, &Authorization::new(&client, NATIVE_URI)).await;
    assert_refused(&page, "unauthorized_client");
}

#[tokio::test]
async fn oa_33_only_a_click_takes_an_error_to_a_client() {
    let server = start().await;
    for (kind, uri) in [
        ("web", "https://element.io/"),
        ("native", "https://element.io/"),
        ("native", "http://localhost/"),
        ("native", NATIVE_URI),
    ] {
        let client = client_row(&server, &metadata(kind, uri));
        let request = Authorization::new(&client, uri).with("scope", "openid");
        assert_refused(&open(&server, &request).await, "invalid_scope");
    }
}

#[tokio::test]
async fn oa_35_pkce_with_s256_is_required() {
    let server = start().await;
    let valid = Authorization::native(&server);
    for (name, value) in [
        ("code_challenge", ""),
        ("code_challenge", &"a".repeat(42)),
        ("code_challenge", &"a".repeat(44)),
        ("code_challenge", &format!("{}=", "a".repeat(42))),
        ("code_challenge", &format!("{}+", "a".repeat(42))),
        ("code_challenge_method", ""),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", "s256"),
    ] {
        let page = open(&server, &valid.clone().with(name, value)).await;
        assert_refused(&page, "invalid_request");
    }
    let page = open(
        &server,
        &valid.with("code_challenge", &"a-_Z".repeat(11)[1..]),
    )
    .await;
    page.expect(200);
}

/// OA-36, OA-37, OA-38, OA-39. The granted scope is tested with the exchange of the code.
#[tokio::test]
async fn oa_36_a_scope_names_the_api_and_one_device() {
    let server = start().await;
    let valid = Authorization::native(&server);
    let stable = "urn:matrix:client";
    let unstable = "urn:matrix:org.matrix.msc2967.client";
    let key = "wjLpTLRqbqBzLs63aYaEv2Boi6cFEbbM/sSRQ2oAKk4+";
    for scope in [
        format!("{stable}:api:* {stable}:device:ABCDEFGH"),
        format!("{unstable}:device:ABCDEFGH {unstable}:api:*"),
        format!("openid {unstable}:api:* {stable}:device:ABCDEFGH {unstable}:device:ABCDEFGH"),
        format!("{stable}:api:* {stable}:device:{key}"),
        format!("{stable}:api:* {stable}:device:{}", "a".repeat(255)),
    ] {
        open(&server, &valid.clone().with("scope", &scope))
            .await
            .expect(200);
    }
    for scope in [
        format!("{stable}:device:ABCDEFGH"),
        format!("{stable}:api:*"),
        format!("{stable}:api:guest {stable}:device:ABCDEFGH"),
        format!("{stable}:api:* {stable}:device:ABCDEFGH {stable}:device:IJKLMNOP"),
        format!("{stable}:api:* {stable}:device:ABCDEFGH {unstable}:device:IJKLMNOP"),
        format!("{stable}:api:* {stable}:device:ABCDEFG"),
        format!("{stable}:api:* {stable}:device:ABCDEFG\""),
        format!("{stable}:api:* {stable}:device:ABCDEFG\\"),
        format!("{stable}:api:* {stable}:device:{}", "a".repeat(256)),
        format!("{stable}:api:* {stable}:device:ABCDEFGH urn:synapse:admin:*"),
    ] {
        let page = open(&server, &valid.clone().with("scope", &scope)).await;
        assert_refused(&page, "invalid_scope");
    }
}
