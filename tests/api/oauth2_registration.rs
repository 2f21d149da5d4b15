//! `POST /oauth2/registration`. The rules for each URI have unit tests beside the code.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod limits;
mod rows;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use super::support::{for_all, request, text, with};
use crate::{
    contract::files,
    flows::support::oauth_pages::{LEGACY, OAUTH},
};

pub(crate) const REGISTRATION: &str = "/oauth2/registration";
const JSON: (&str, &str) = ("content-type", "application/json");

/// The metadata of a web client.
pub(crate) fn web_client() -> Value {
    json!({
        "client_name": "Example",
        "client_uri": "https://example.com/app",
        "redirect_uris": ["https://example.com/callback"],
    })
}

/// The metadata of a native client with this redirect URI.
fn native_client(client_uri: &str, redirect_uri: &str) -> Value {
    json!({
        "application_type": "native", "client_uri": client_uri, "redirect_uris": [redirect_uri],
    })
}

pub(crate) async fn register(server: &TestServer, metadata: &Value) -> Reply {
    let body = metadata.to_string();
    let request = request("POST", REGISTRATION, &[JSON], body.as_bytes());
    server.send(request).await
}

/// Registers a client, which must succeed.
#[track_caller]
pub(crate) fn registered(reply: &Reply) -> Value {
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.headers["cache-control"], "no-store");
    reply.json()
}

/// Asserts an error of the OAuth 2.0 API.
#[track_caller]
fn assert_error(reply: &Reply, status: u16, error: &str) {
    let body = reply.json();
    let found = (reply.status.as_u16(), body["error"].as_str());
    assert_eq!(found, (status, Some(error)), "{body}");
    assert!(body["error_description"].is_string(), "{body}");
    assert_eq!(reply.headers["cache-control"], "no-store");
}

/// The rows of clients.
pub(crate) fn clients(server: &TestServer) -> Vec<Value> {
    let rows = server.local.dynamodb().table("OAuth").unwrap();
    let is_client = |row: &Value| text(&row["pk"], "S").starts_with("CLIENT#");
    rows.into_iter().filter(is_client).collect()
}

async fn start() -> TestServer {
    TestServer::with(&[OAUTH]).await
}

/// OA-10, OA-22, OA-23: dropped members are absent, and defaults are present.
#[tokio::test]
async fn oa_10_the_response_repeats_the_accepted_members() {
    let server = start().await;
    let metadata = json!({
        "client_name": "Example",
        "client_name#fr": "Application",
        "client_uri": "https://example.com/app",
        "logo_uri": "https://example.com/logo.png",
        "tos_uri": "https://www.example.com/terms",
        "policy_uri": "https://example.com/privacy",
        "redirect_uris": ["https://example.com/b", "https://example.com/a"],
        "grant_types": ["refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange", "authorization_code"],
        "response_types": ["code", "id_token"],
        "contacts": ["admin@example.com"],
        "id_token_signed_response_alg": "RS256",
        "client_id": "chosen",
        "client_secret": "chosen",
    });
    let answer = registered(&register(&server, &metadata).await);
    let expected = json!({
        "client_id": answer["client_id"],
        "client_id_issued_at": 1_800_000_000,
        "application_type": "web",
        "client_name": "Example",
        "client_uri": "https://example.com/app",
        "logo_uri": "https://example.com/logo.png",
        "tos_uri": "https://www.example.com/terms",
        "policy_uri": "https://example.com/privacy",
        "redirect_uris": ["https://example.com/a", "https://example.com/b"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    assert_eq!(answer, expected);
    let id = text(&answer, "client_id");
    assert!(id.starts_with("ghc_") && id.len() == 26, "{id}");
}

/// The metadata of current clients. OA-16: each kind of redirect URI of a native client.
#[tokio::test]
async fn oa_16_the_metadata_of_current_clients_is_accepted() {
    let server = start().await;
    let android = "https://element.io/apps/android";
    let element = "https://element.io";
    let fluffy = "https://fluffychat.im";
    let sdk = "https://github.com/matrix-org/matrix-rust-sdk";
    let mut all = vec![
        native_client(android, "io.element.android:/"),
        native_client(android, "io.element.android.debug:/"),
        native_client(android, "io.element.android.nightly:/"),
        native_client(element, "https://element.io/oauth/ios/io.element.elementx"),
        native_client(element, "io.element.desktop:/vector/webapp/"),
        native_client(fluffy, "im.fluffychat.auth:/login"),
        native_client(fluffy, "http://localhost:3001/login"),
        json!({
            "client_uri": "https://app.element.io",
            "redirect_uris": ["https://app.element.io/?no_universal_links=true"],
            "id_token_signed_response_alg": "RS256",
            "contacts": ["support@element.io"],
        }),
    ];
    let mut of_sdk = native_client(sdk, "http://127.0.0.1/");
    of_sdk["redirect_uris"] = json!(["http://127.0.0.1/", "http://[::1]/"]);
    all.push(of_sdk);
    for metadata in &all {
        let answer = registered(&register(&server, metadata).await);
        assert_eq!(answer["client_uri"], metadata["client_uri"]);
        assert_eq!(answer["redirect_uris"], metadata["redirect_uris"]);
    }
    assert_eq!(clients(&server).len(), all.len());
}

/// OA-12 to OA-20, OA-23, OA-28: the error of each kind. Nothing is read or written.
#[tokio::test]
async fn oa_24_wrong_metadata_has_its_error() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    let of = |member: &str, value: Value| with(web_client(), &json!({ member: value }));
    let (metadata, redirect) = ("invalid_client_metadata", "invalid_redirect_uri");
    for (body, error) in [
        (json!([]), metadata),
        (json!({}), metadata),
        (of("client_uri", json!("https://localhost")), metadata),
        (of("client_uri", json!(1)), metadata),
        (of("client_name", json!("a\u{202e}b")), metadata),
        (of("client_name", json!(["a"])), metadata),
        (of("logo_uri", json!("https://evilexample.com")), metadata),
        (of("tos_uri", json!("http://example.com")), metadata),
        (of("policy_uri", json!("https://a@example.com")), metadata),
        (of("application_type", json!("desktop")), metadata),
        (
            of("token_endpoint_auth_method", json!("client_secret_post")),
            metadata,
        ),
        (of("grant_types", json!("authorization_code")), metadata),
        (of("response_types", json!([1])), metadata),
        (of("redirect_uris", json!("https://example.com/")), metadata),
        (of("redirect_uris", json!([1])), metadata),
        (of("redirect_uris", json!([])), redirect),
        (of("redirect_uris", json!(["/callback"])), redirect),
        (
            of("redirect_uris", json!(["https://example.org/"])),
            redirect,
        ),
        (
            of("redirect_uris", json!(["https://example.com/#a"])),
            redirect,
        ),
        (
            native_client("https://example.com", "com.examplevil:/"),
            redirect,
        ),
        (
            native_client("https://example.com", "http://127.0.0.2/"),
            redirect,
        ),
    ] {
        let (reply, calls) = server.calls_of(register(&server, &body)).await;
        assert_error(&reply, 400, error);
        assert!(calls.is_empty(), "{body}: {calls:?}");
    }
}

#[tokio::test]
async fn oa_24_a_body_must_be_json_of_at_most_16_kib() {
    let server = start().await;
    let send = async |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() {
            &[]
        } else {
            &headers[..]
        };
        server
            .send(request("POST", REGISTRATION, headers, body))
            .await
    };
    let good = web_client().to_string();
    let good = good.as_bytes();
    registered(&send("Application/JSON; charset=utf-8", good).await);
    for content_type in ["", "text/plain", "application/x-www-form-urlencoded"] {
        assert_error(&send(content_type, good).await, 415, "invalid_request");
    }
    for bytes in [&b""[..], b"{", b"client_uri=x", b"{\"a\":\"\x81\"}"] {
        assert_error(&send(JSON.1, bytes).await, 400, "invalid_request");
    }
    let padding = "x".repeat(16 * 1024);
    let large = with(web_client(), &json!({ "contacts": [padding] })).to_string();
    assert_error(
        &send(JSON.1, large.as_bytes()).await,
        413,
        "invalid_request",
    );
}

/// OA-24: members of any type, and URIs of any form.
#[test]
fn oa_24_any_metadata_is_answered() {
    const MEMBERS: [&str; 10] = [
        "client_uri",
        "client_name",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "application_type",
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
        "redirect_uris",
    ];
    let word = prop_oneof![
        any::<String>(),
        "(https|http|com\\.example)(://|:/|:)(example\\.com|localhost|\\[::1\\])?[:/?#@%a-z0-9]{0,12}",
        Just("native".to_owned()),
    ];
    let value = prop_oneof![
        word.clone().prop_map(Value::from),
        vec(word, 0..4).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let members = vec((prop::sample::select(MEMBERS.to_vec()), value), 0..5);
    for_all(128, &[OAUTH], &members, &async |server, members| {
        let mut body = web_client();
        for (name, value) in members {
            body[name] = value;
        }
        let reply = register(server, &body).await;
        let status = reply.status.as_u16();
        assert!([201, 400].contains(&status), "{body}: {status}");
    });
}

#[tokio::test]
async fn oa_21_the_setting_decides_about_a_loopback_port() {
    let refuse = ("GATEHOUSE_OAUTH_LOOPBACK_PORT", "refuse");
    let strict = TestServer::with(&[OAUTH, refuse]).await;
    let with_port = native_client("https://fluffychat.im", "http://localhost:3001/login");
    assert_error(
        &register(&strict, &with_port).await,
        400,
        "invalid_redirect_uri",
    );
    let without = native_client("https://fluffychat.im", "http://localhost/login");
    registered(&register(&strict, &without).await);
    registered(&register(&start().await, &with_port).await);
}

/// The modules of the API have no HTTP client, and no page has an image. OA-63 covers the texts of the pages.
#[test]
fn oa_29_nothing_of_a_client_is_loaded() {
    let mut modules = 0;
    for file in files::rust() {
        if file.path.contains("src/oauth") || file.path.starts_with("functions/oauth2-registration")
        {
            modules += 1;
            for client in [
                "http_exchange",
                "SharedHttpConnector",
                "logo_uri }}",
                "img-src",
            ] {
                assert!(!file.text.contains(client), "{}: {client}", file.path);
            }
        }
    }
    assert!(modules > 10, "{modules}");
    let directory = files::root().join("shared/crates/http/templates");
    let mut templates = 0;
    let mut directories = vec![directory];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let page = std::fs::read_to_string(&path).unwrap();
            templates += 1;
            for element in ["<img", "logo_uri", "background: url", "<iframe"] {
                assert!(!page.contains(element), "{path:?}: {element}");
            }
        }
    }
    assert!(templates > 3, "{templates}");
}

/// OA-145: while the API is off, the path is unknown.
#[tokio::test]
async fn oa_145_registration_is_404_while_the_api_is_off() {
    let server = TestServer::with(&[LEGACY]).await;
    let (reply, calls) = server.calls_of(register(&server, &web_client())).await;
    reply.error(404, "M_UNRECOGNIZED");
    assert!(calls.is_empty());
}
