//! Rules of HTTP requests: paths, methods, bodies and headers.

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use super::{
    rows::{accounts, uia_sessions},
    support::{WHOAMI, dummy_registration, request, text},
};

/// Each request to both prefixes gets the same status and, except for random parts, the same body.
#[tokio::test]
async fn http_01_both_prefixes_behave_alike() {
    let server = TestServer::new().await;
    server.sign_up("taken").await;
    let bodies = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"username":5}"#,
        r#"{"username":"@"}"#,
        r#"{"username":"taken"}"#,
        r#"{"auth":{"session":"x"}}"#,
        r#"{"auth":{"type":"m.login.password"}}"#,
        r#"{"auth":{"type":"m.login.dummy"}}"#,
    ];
    let mut requests: Vec<(&str, String, &str)> = bodies
        .iter()
        .map(|body| ("POST", "/register".to_owned(), *body))
        .collect();
    for query in [
        "",
        "?username=",
        "?username=free",
        "?username=taken",
        "?username=%40",
    ] {
        requests.push(("GET", format!("/register/available{query}"), ""));
    }
    requests.push(("POST", "/register?kind=guest".to_owned(), "{}"));
    requests.push(("POST", "/register?kind=x".to_owned(), "{}"));
    requests.push(("GET", "/account/whoami".to_owned(), ""));
    requests.push(("GET", "/account/whoami?access_token=x".to_owned(), ""));
    requests.push(("GET", "/register".to_owned(), ""));
    requests.push((
        "GET",
        "/auth/m.login.terms/fallback/web?session=x".to_owned(),
        "",
    ));
    requests.push(("GET", "/nothing".to_owned(), ""));
    for (method, path, body) in requests {
        let mut answers = Vec::new();
        for prefix in PREFIXES {
            let full = format!("{prefix}{path}");
            let reply = server
                .send(request(method, &full, &[], body.as_bytes()))
                .await;
            let text = match serde_json::from_slice::<Value>(&reply.body) {
                Ok(mut body) => {
                    if body.get("session").is_some() {
                        body["session"] = json!("random");
                    }
                    body.to_string()
                }
                Err(_) => reply.text().replace(prefix, ""),
            };
            answers.push((reply.status, text));
        }
        assert_eq!(answers[0], answers[1], "{method} {path} {body}");
    }
}

#[tokio::test]
async fn http_02_a_body_that_is_not_json_is_m_not_json() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let bodies: [&[u8]; 12] = [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{\"a\":\"\x81\"}",
        b"\xFF\xFE{\0}\0",
        b"\xEF\xBB\xBF{}",
        br#"{"a":"\ud800"}"#,
        b"{'a':1}",
        b"{\"a\":01}",
        b"username=alice",
        b"NaN",
    ];
    for prefix in PREFIXES {
        for kind in ["", "?kind=guest"] {
            let path = format!("{prefix}/register{kind}");
            for body in bodies {
                let reply = server.send(request("POST", &path, &[], body)).await;
                reply.error(400, "M_NOT_JSON");
            }
        }
        let path = format!("{prefix}/register");
        server.post_text(&path, "{}").await.challenge();
        server.post_text(&path, " \r\n\t{ } \n").await.challenge();
    }
    assert_eq!(accounts(&server), 0);
}

#[tokio::test]
async fn http_03_json_that_is_not_an_object_is_m_bad_json() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        for body in ["[]", "[{}]", r#""x""#, "null", "1", "true", "-0.5e3"] {
            let reply = server.post_text(&format!("{prefix}/register"), body).await;
            reply.error(400, "M_BAD_JSON");
        }
    }
    assert_eq!(uia_sessions(&server).len(), 0);
}

#[tokio::test]
async fn http_04_a_content_type_is_not_needed() {
    let server = TestServer::new().await;
    let content_types = [
        None,
        Some(""),
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/json; charset=utf-16"),
        Some("ü"),
    ];
    for (index, kind) in content_types.into_iter().enumerate() {
        for (prefix_index, prefix) in PREFIXES.into_iter().enumerate() {
            let name = format!("user{index}.{prefix_index}");
            let body = dummy_registration(&name);
            let headers: Vec<(&str, &str)> = kind
                .map(|kind| ("content-type", kind))
                .into_iter()
                .collect();
            let path = format!("{prefix}/register");
            let reply = server
                .send(request(
                    "POST",
                    &path,
                    &headers,
                    body.to_string().as_bytes(),
                ))
                .await;
            assert_eq!(
                reply.ok()["user_id"],
                format!("@{name}:localhost"),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn http_18_a_body_above_the_limit_is_refused() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let padded = |bytes: usize| {
        let frame = r#"{"zzz":""}"#.len();
        json!({ "zzz": "a".repeat(bytes - frame) }).to_string()
    };
    for prefix in PREFIXES {
        for kind in ["", "?kind=guest"] {
            let path = format!("{prefix}/register{kind}");
            for bytes in [64 * 1024 + 1, 1024 * 1024, 11 * 1024 * 1024] {
                let reply = server.post_text(&path, &padded(bytes)).await;
                reply.error(413, "M_TOO_LARGE");
            }
        }
        server
            .post_text(&format!("{prefix}/register"), &padded(64 * 1024))
            .await
            .challenge();
    }
    assert_eq!(accounts(&server), 0);
}

/// HTTP-05, HTTP-22: the tables fail for several functions. `TestServer::send` checks the content type and the CORS
/// headers of every response.
#[tokio::test]
async fn http_22_an_internal_failure_is_a_json_error_too() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    server.expect_faults();
    server
        .local
        .proxy()
        .inject(Fault::new(FaultKind::InternalError).times(1000));
    let bearer = format!("Bearer {}", text(&alice, "access_token"));
    let headers = [("authorization", bearer.as_str())];
    let validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token=x";
    let bob = json!({ "username": "bob" });
    let (one, two, three, four) = tokio::join!(
        server.send(request("GET", WHOAMI, &headers, b"")),
        server.register(&bob),
        server.get("/_matrix/client/v3/register/available?username=bob"),
        server.get(validity),
    );
    for reply in [one, two, three, four] {
        let body = reply.error(500, "M_UNKNOWN");
        assert!(body["request_id"].is_string(), "{body}");
        assert!(!reply.text().contains("dynamodb"), "{body}");
    }
}
