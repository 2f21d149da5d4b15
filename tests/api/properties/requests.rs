//! Headers, paths and queries of every endpoint.

use std::cell::Cell;

use http::{HeaderName, HeaderValue, Uri};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
};

use super::{CASES, check, check_status, one_of};
use crate::api::support::{ENDPOINTS, for_all, request};

/// HTTP-06: the test sends repeated headers, odd hosts, odd schemes, and bytes that are not text.
#[test]
fn http_06_any_headers_are_answered() {
    let names = [
        "host",
        "x-forwarded-proto",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-host",
        "forwarded",
        "authorization",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "accept",
        "accept-encoding",
        "origin",
        "cookie",
        "user-agent",
        "x-amzn-trace-id",
        "x-http-method-override",
        "expect",
        "connection",
        "zzz",
    ];
    let odd = [
        "",
        " ",
        "http",
        "gopher",
        "://",
        "http://[::1",
        "[",
        "a b",
        "localhost:99999999",
        "%",
        "@",
        "/\\",
        "ü",
        "Bearer",
        "Bearer \u{2028}",
        "127.0.0.1, ::1, x",
        "gzip",
        "chunked",
        "-1",
        "application/json;;;=",
        "example.org, example.com",
        "\t",
    ];
    let value = prop_oneof![
        one_of(&odd).prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..40)
    ];
    let headers = vec((one_of(&names), value), 0..8);
    let case = (one_of(ENDPOINTS), headers, any::<bool>());
    for_all(
        CASES,
        &[("GATEHOUSE_TRUSTED_PROXIES", "127.0.0.0/8")],
        &case,
        &async |server, ((path, methods), headers, body)| {
            let mut request = request(methods[0], path, &[], if body { b"{}" } else { b"" });
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    request
                        .headers_mut()
                        .append(HeaderName::from_static(name), value);
                }
            }
            check(&server.send(request).await);
        },
    );
}

/// Segments of the generated paths.
const PIECES: [&str; 41] = [
    "_matrix",
    "client",
    "v3",
    "r0",
    "v1",
    "register",
    "available",
    "account",
    "whoami",
    "auth",
    "m.login.terms",
    "fallback",
    "web",
    "versions",
    "..",
    ".",
    "",
    "%",
    "%2",
    "%2F",
    "%00",
    "%FF",
    "%zz",
    "%E2%82",
    "{proxy+}",
    "{type}",
    "a b",
    "\"",
    "<svg>",
    "`",
    "|",
    "^",
    "\\",
    ";a=b",
    "*",
    "$default",
    "ü",
    "%C3%BC",
    "//",
    ":",
    "@",
];

/// HTTP-08, HTTP-25, UIA-74: the test sends invalid percent-encoding, and characters that do not belong in a path.
#[test]
fn http_08_any_path_is_answered() {
    let piece = prop_oneof![4 => one_of(&PIECES).prop_map(str::to_owned), 1 => "[!-~]{0,12}"];
    let start = prop_oneof![
        Just("/_matrix/client/v3/auth/".to_owned()),
        Just("/_matrix/client/v3/".to_owned()),
        Just("/".to_owned())
    ];
    let methods = [
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "FETCH",
    ];
    let sent = Cell::new(0);
    let case = (
        start,
        vec(piece, 0..6),
        one_of(&["", "/fallback/web", "/register"]),
        one_of(&methods),
    );
    for_all(
        CASES,
        &[],
        &case,
        &async |server, (start, pieces, end, method)| {
            let path = format!("{start}{}{end}", pieces.join("/"));
            let path = path.replace(['#', '?'], "");
            // An invalid URL does not pass the listener.
            if let Ok(uri) = path.parse::<Uri>() {
                let mut request = request(method, "/", &[], b"{}");
                *request.uri_mut() = uri;
                let reply = server.send(request).await;
                if method == "HEAD" {
                    check_status(&reply);
                } else {
                    check(&reply);
                }
                sent.set(sent.get() + 1);
            }
        },
    );
    assert!(sent.get() > CASES / 2, "{} of {CASES}", sent.get());
}

#[test]
fn http_25_any_query_is_answered() {
    let names = [
        "username",
        "token",
        "kind",
        "session",
        "access_token",
        "user_id",
        "",
        "%",
        "%FF",
        "a[b]",
        "ü",
        "%00",
    ];
    let values = [
        "",
        "alice",
        "%",
        "%2",
        "%zz",
        "%FF",
        "%00",
        "%C3%28",
        "+",
        "%2B",
        "&&",
        "=",
        "==",
        "a=b",
        "guest",
        "@a:localhost",
        "{",
        "\"",
        "|",
        "^",
        "`",
        "\\",
        "<",
        "%F0%9F%98%80",
        "?",
    ];
    let too_long = Just("a".repeat(4000));
    let value = prop_oneof![8 => one_of(&values).prop_map(str::to_owned), 1 => too_long];
    let sent = Cell::new(0);
    let case = (one_of(ENDPOINTS), vec((one_of(&names), value), 0..6));
    for_all(
        CASES,
        &[("GATEHOUSE_GUESTS", "true")],
        &case,
        &async |server, ((path, methods), pairs)| {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let path = format!("{path}?{}", pairs.join("&"));
            if let Ok(uri) = path.parse::<Uri>() {
                let mut request = request(methods[0], "/", &[], b"{}");
                *request.uri_mut() = uri;
                check(&server.send(request).await);
                sent.set(sent.get() + 1);
            }
        },
    );
    assert!(sent.get() > CASES / 2, "{} of {CASES}", sent.get());
}
