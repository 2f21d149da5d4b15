//! `GET` and `POST /auth/{type}/fallback/web`: the content type of its responses.
//! `flows/uia/fallback.rs` tests the pages themselves.

use test_support::{PREFIXES, TestServer};

use super::support::request;

/// HTTP-28: failures are pages too.
#[tokio::test]
async fn http_28_the_fallback_page_is_html_even_when_it_fails() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        for (method, query, status) in [
            ("GET", "", 400),
            ("GET", "?session=", 400),
            ("GET", "?session=unknown", 404),
            ("POST", "", 400),
            ("POST", "?session=unknown", 404),
        ] {
            for stage in ["m.login.terms", "m.login.recaptcha", "x", "%00%FF"] {
                let path = format!("{prefix}/auth/{stage}/fallback/web{query}");
                let reply = server.send(request(method, &path, &[], b"")).await;
                assert_eq!(reply.status, status, "{method} {path}");
                let kind = &reply.headers["content-type"];
                assert_eq!(kind, "text/html; charset=utf-8", "{method} {path}");
                assert!(
                    reply.text().starts_with("<!doctype html>")
                        || reply.text().starts_with("<!DOCTYPE html>")
                );
            }
        }
    }
}
