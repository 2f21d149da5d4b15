//! `GET /_matrix/client/v1/auth_metadata`, and the same document at `/.well-known/openid-configuration`.

use http::Request;
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use super::support::{homeserver::HOMESERVER, request};
use crate::flows::support::{
    oauth_pages::{LEGACY, OAUTH},
    threepid_helpers::{MAIL, SMS},
};

const METADATA: &str = "/_matrix/client/v1/auth_metadata";
const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata";
const DISCOVERY: &str = "/.well-known/openid-configuration";
const PATHS: [&str; 3] = [METADATA, UNSTABLE, DISCOVERY];

/// The metadata of a server with these settings.
async fn metadata(settings: &[(&str, &str)]) -> Value {
    let server = TestServer::with(&[&[OAUTH], settings].concat()).await;
    server.get(METADATA).await.ok()
}

/// OA-01, OA-02, OA-08, OA-156: the whole document, which anyone may cache, at three paths. No path makes a call.
#[tokio::test]
async fn oa_01_the_metadata_has_these_members_and_no_others() {
    let public = ("GATEHOUSE_PUBLIC_URL", "https://example.org/base");
    let server = TestServer::with(&[OAUTH, public]).await;
    let mut documents = Vec::new();
    for path in PATHS {
        let (reply, calls) = server.calls_of(server.get(path)).await;
        assert!(calls.is_empty(), "{path}: {calls:?}");
        assert_eq!(reply.headers["cache-control"], "public, max-age=600");
        documents.push(reply.ok());
    }
    let expected = json!({
        "issuer": "https://example.org/base/",
        "authorization_endpoint": "https://example.org/base/oauth2/authorize",
        "token_endpoint": "https://example.org/base/oauth2/token",
        "revocation_endpoint": "https://example.org/base/oauth2/revoke",
        "registration_endpoint": "https://example.org/base/oauth2/registration",
        "account_management_uri": "https://example.org/base/account",
        "account_management_actions_supported": [
            "org.matrix.profile",
            "org.matrix.devices_list",
            "org.matrix.device_view",
            "org.matrix.device_delete",
            "org.matrix.account_deactivate",
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "device_authorization_endpoint": "https://example.org/base/oauth2/device",
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": [
            "urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*",
        ],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["create"],
    });
    assert_eq!(documents, [expected.clone(), expected.clone(), expected]);
}

/// OA-02: every endpoint of the metadata exists.
#[tokio::test]
async fn oa_02_every_url_of_the_metadata_leads_to_an_endpoint() {
    let server = TestServer::with(&[OAUTH]).await;
    let metadata = server.get(METADATA).await.ok();
    let base = metadata["issuer"].as_str().unwrap();
    for (member, method) in [
        ("authorization_endpoint", "GET"),
        ("token_endpoint", "POST"),
        ("revocation_endpoint", "POST"),
        ("registration_endpoint", "POST"),
        ("device_authorization_endpoint", "POST"),
        ("account_management_uri", "GET"),
    ] {
        let path = metadata[member].as_str().unwrap().strip_prefix(base);
        let path = format!("/{}", path.unwrap());
        let reply = server.send(request(method, &path, &[], b"")).await;
        assert!(![404, 405].contains(&reply.status.as_u16()), "{path}");
    }
}

/// A closed registration, and a flow that only an identity server can complete.
#[tokio::test]
async fn oa_03_the_prompt_create_is_listed_while_users_can_sign_up() {
    let flows = |flows| ("GATEHOUSE_REGISTRATION_FLOWS", flows);
    let delegated = [
        ("GATEHOUSE_THREEPID_VALIDATION", "delegated"),
        ("GATEHOUSE_TRUSTED_ID_SERVERS", "id.example.org"),
        ("GATEHOUSE_MAIL_FROM", ""),
    ];
    for (settings, can_sign_up) in [
        (vec![], true),
        (vec![flows("m.login.email.identity"), MAIL], true),
        (vec![flows("m.login.msisdn"), SMS], true),
        (vec![("GATEHOUSE_REGISTRATION", "closed")], false),
        (
            [&[flows("m.login.email.identity")], &delegated[..]].concat(),
            false,
        ),
        (
            [
                &[flows("m.login.email.identity m.login.dummy")],
                &delegated[..],
            ]
            .concat(),
            true,
        ),
    ] {
        let prompts = metadata(&settings).await["prompt_values_supported"].clone();
        let expected = if can_sign_up {
            json!(["create"])
        } else {
            Value::Null
        };
        assert_eq!(prompts, expected, "{settings:?}");
    }
}

#[tokio::test]
async fn oa_05_the_issuer_has_one_slash_at_its_end() {
    for (public, issuer) in [
        ("https://example.org", "https://example.org/"),
        ("https://example.org/", "https://example.org/"),
        ("https://example.org/a/b", "https://example.org/a/b/"),
        ("http://127.0.0.1:8008", "http://127.0.0.1:8008/"),
    ] {
        let metadata = metadata(&[("GATEHOUSE_PUBLIC_URL", public)]).await;
        assert_eq!(metadata["issuer"], issuer);
        let page = metadata["account_management_uri"].as_str().unwrap();
        assert_eq!(page, format!("{issuer}account"));
    }
}

#[tokio::test]
async fn oa_06_no_header_changes_a_url() {
    let server = TestServer::with(&[OAUTH]).await;
    for path in PATHS {
        let plain = server.get(path).await;
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "host=evil.example;proto=http"),
            ("origin", "https://evil.example"),
        ] {
            let request = request("GET", path, &[(name, value)], b"");
            let reply = server.send(request).await;
            assert_eq!((reply.status, &reply.body), (plain.status, &plain.body));
        }
        let query = format!("{path}?issuer=https://evil.example");
        assert_eq!(server.get(&query).await.body, plain.body);
    }
}

#[tokio::test]
async fn oa_09_versions_lists_v1_15_while_the_api_is_on() {
    let server = TestServer::with(&[OAUTH]).await;
    let versions = server.get("/_matrix/client/versions").await.ok();
    let versions = versions["versions"].as_array().unwrap();
    assert!(versions.contains(&json!("v1.15")), "{versions:?}");
}

/// OA-145, HS-08: while the API is off, clients find no metadata, and the homeserver finds only its two members.
#[tokio::test]
async fn oa_145_without_the_api_there_is_no_metadata() {
    let unlinked = TestServer::with(&[LEGACY]).await;
    let linked = TestServer::with(&[&HOMESERVER[..], &[LEGACY]].concat()).await;
    for (server, paths) in [(&unlinked, &PATHS[..]), (&linked, &PATHS[..2])] {
        for path in paths {
            let reply: Reply = server.get(path).await;
            reply.error(404, "M_UNRECOGNIZED");
            assert_eq!(reply.headers["cache-control"], "no-store");
        }
    }
    let discovered = linked.get(DISCOVERY).await.ok();
    assert_eq!(discovered.as_object().unwrap().len(), 2, "{discovered}");
    let both = TestServer::with(&[&HOMESERVER[..], &[OAUTH]].concat()).await;
    let discovered = both.get(DISCOVERY).await.ok();
    assert_eq!(discovered, both.get(METADATA).await.ok());
}

/// OA-156: browsers send this before a request with a token or with JSON.
#[tokio::test]
async fn oa_156_a_preflight_succeeds() {
    let server = TestServer::with(&[OAUTH]).await;
    for (path, method) in [
        (METADATA, "GET"),
        (UNSTABLE, "GET"),
        (DISCOVERY, "GET"),
        ("/oauth2/registration", "POST"),
    ] {
        let request = Request::options(path)
            .header("origin", "https://app.example.org")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "content-type");
        let reply = server.send(request.body(Vec::new()).unwrap()).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.status);
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert!(
            !reply
                .headers
                .contains_key("access-control-allow-credentials")
        );
        let allowed = reply.headers["access-control-allow-headers"].to_str();
        assert!(allowed.unwrap().contains("Content-Type"));
    }
}
