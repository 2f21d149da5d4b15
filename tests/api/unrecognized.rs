//! Unknown paths, wrong methods, and OPTIONS.

use std::collections::BTreeSet;

use test_support::TestServer;

use super::support::{ENDPOINTS, dummy_registration, request};
use crate::flows::support::oauth_pages::OAUTH;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"];

/// HTTP-08, MISC-01.
#[tokio::test]
async fn http_08_an_unknown_path_is_404() {
    let server = TestServer::new().await;
    for path in [
        "/",
        "/_matrix",
        "/_matrix/",
        "/_matrix/unknown",
        "/_matrix/client",
        "/_matrix/client/v1/unknown",
        "/_matrix/client/v3/unknown",
        "/_matrix/client/v1/register",
        "/_matrix/client/unstable/register",
        "/_matrix/client/r0/REGISTER",
        "/_matrix/client/r0/versions",
        "/_matrix/client/v3/auth/m.login.terms/fallback",
        "/_matrix/client/v3/auth/a/b/fallback/web",
        "/_matrix/federation/v1/version",
        "/_matrix/client/v3%2Fregister",
        "/_matrix/client/../client/v3/register",
        "/elsewhere",
    ] {
        for method in METHODS {
            let reply = server.send(request(method, path, &[], b"{}")).await;
            assert_eq!(reply.status, 404, "{method} {path}");
            if method != "HEAD" {
                reply.error(404, "M_UNRECOGNIZED");
            }
            assert!(!reply.headers.contains_key("allow"), "{method} {path}");
        }
    }
}

/// Uptime monitors send HEAD.
#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let server = TestServer::new().await;
    let before = server.dump();
    for (path, own) in ENDPOINTS {
        if !own.contains(&"GET") {
            continue;
        }
        let get = server.send(request("GET", path, &[], b"")).await;
        let head = server.send(request("HEAD", path, &[], b"")).await;
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for (name, value) in &get.headers {
            // Both are random.
            if !["set-cookie", "x-amzn-requestid"].contains(&name.as_str()) {
                assert_eq!(head.headers.get(name), Some(value), "{path} {name}");
            }
        }
    }
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn http_09_a_known_path_with_the_wrong_method_is_405() {
    let server = TestServer::with(&[OAUTH]).await;
    let before = server.dump();
    for (path, own) in ENDPOINTS {
        for method in METHODS {
            let is_own = own.contains(&method) || (method == "HEAD" && own.contains(&"GET"));
            if !is_own {
                let reply = server.send(request(method, path, &[], b"{}")).await;
                assert_eq!(reply.status, 405, "{method} {path}");
                if method != "HEAD" {
                    reply.error(405, "M_UNRECOGNIZED");
                }
                let allowed = reply.headers["allow"].to_str().unwrap_or_default();
                let allowed: Vec<&str> = allowed.split(", ").collect();
                let head = if own.contains(&"GET") {
                    &["HEAD"][..]
                } else {
                    &[]
                };
                let expected: BTreeSet<&str> = own
                    .iter()
                    .chain(head)
                    .chain(&["OPTIONS"])
                    .copied()
                    .collect();
                assert_eq!(
                    allowed.len(),
                    expected.len(),
                    "{method} {path}: {allowed:?}"
                );
                assert_eq!(allowed.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
    }
    assert_eq!(server.dump(), before);
}

/// HTTP-10, HTTP-11, HTTP-12: the CORS headers are checked on every response.
#[tokio::test]
async fn http_10_options_succeeds_everywhere_and_does_nothing() {
    let server = TestServer::new().await;
    let body = dummy_registration("alice");
    let before = server.dump();
    let unknown = ["/", "/_matrix/client/v3/unknown", "/elsewhere"];
    let paths: Vec<&str> = ENDPOINTS.iter().map(|(path, _)| *path).collect();
    for path in paths.iter().chain(&unknown) {
        let headers = [
            ("origin", "https://app.example.org"),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization,content-type",
            ),
        ];
        let (reply, calls) = server
            .calls_of(server.send(request(
                "OPTIONS",
                path,
                &headers,
                body.to_string().as_bytes(),
            )))
            .await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(calls.is_empty(), "{path}: {calls:?}");
    }
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn http_24_a_trailing_slash_makes_another_path() {
    let server = TestServer::new().await;
    for (path, own) in ENDPOINTS {
        for path in [format!("{path}/"), format!("{path}//"), format!("/{path}")] {
            // The path of the keys is served in both forms, because some clients add a slash to it.
            if path == "/_matrix/key/v2/server/" {
                continue;
            }
            let reply = server.send(request(own[0], &path, &[], b"{}")).await;
            assert_eq!(reply.status, 404, "{path}");
            reply.error(404, "M_UNRECOGNIZED");
        }
    }
}
