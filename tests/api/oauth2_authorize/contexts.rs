//! Requests that only read, and the context that a page carries (OA-45, OA-47, OA-70).

use std::time::Duration;

use http::Request;
use test_support::{PASSWORD, TestServer};

use super::{assert_refused, open, start};
use crate::flows::support::oauth_pages::{Authorization, Browser, OAUTH, client_row, metadata};

#[tokio::test]
async fn oa_45_a_login_hint_is_shown_and_not_looked_up() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut seen = Vec::new();
    for name in ["alice", "nobody"] {
        let hint = valid
            .clone()
            .with("login_hint", &format!("mxid:@{name}:localhost"));
        let (page, calls) = server.calls_of(open(&server, &hint)).await;
        let form = page.clone().expect(200).form("/login");
        assert_eq!(form.value("user"), format!("@{name}:localhost"));
        let [csrf, context] = ["csrf", "context"].map(|name| form.value(name).to_owned());
        let text = page
            .text
            .replace(name, "")
            .replace(&csrf, "")
            .replace(&context, "");
        let operations: Vec<_> = calls
            .into_iter()
            .map(|call| (call.operation, call.tables))
            .collect();
        assert!(
            operations.iter().all(|(_, tables)| *tables == ["OAuth"]),
            "{operations:?}"
        );
        seen.push((text, operations));
    }
    assert_eq!(seen[0], seen[1]);
    let hostile = "\"><script>alert(1)</script>";
    let page = open(&server, &valid.clone().with("login_hint", hostile)).await;
    assert_eq!(page.form("/login").value("user"), hostile);
    assert!(!page.text.contains("<script"), "{}", page.text);
    let page = open(&server, &valid.with("login_hint", &"a".repeat(256))).await;
    assert_eq!(page.form("/login").value("user"), "");
}

/// OA-47 and OA-70: no GET request writes, with a browser session or without one.
#[tokio::test]
async fn oa_47_a_get_request_only_reads() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let consent = browser.log_in(&valid, "alice", PASSWORD).await;
    consent.expect(200).form("/consent");
    server.advance(Duration::from_mins(20));
    let before = server.dump();
    assert!(before.contains("BROWSER#"));
    for request in [
        valid.clone(),
        valid.clone().with("prompt", "login"),
        valid.clone().with("prompt", "create"),
        valid.clone().with("scope", "openid"),
        valid.clone().with("client_id", ""),
    ] {
        for mut browser in [browser.clone(), Browser::new(&server)] {
            let (_, calls) = server.calls_of(browser.get_once(&request.path())).await;
            assert!(calls.len() <= 2, "{calls:?}");
            let reads = calls.iter().all(|call| call.operation == "BatchGetItem");
            assert!(reads, "{calls:?}");
        }
    }
    for path in ["login", "consent", "logout"] {
        let path = format!("/oauth2/authorize/{path}");
        let (page, calls) = server.calls_of(browser.get_once(&path)).await;
        assert!(page.expect(400).text.contains("Start again in your app"));
        assert!(calls.is_empty(), "{calls:?}");
    }
    let head = Request::head(valid.path()).body(Vec::new()).unwrap();
    let reply = server.send(head).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(server.dump(), before);
}

/// OA-47: a context has at most 4 KiB and is valid for an hour.
#[tokio::test]
async fn oa_47_the_context_is_short_and_expires() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let form = open(&server, &valid).await.form("/login");
    assert!((100..1024).contains(&form.value("context").len()));
    let uri = format!("https://element.io/{}", "a".repeat(1900));
    let client = client_row(&server, &metadata("web", &uri));
    let long = Authorization::new(&client, &uri);
    let form = open(&server, &long).await.expect(200).form("/login");
    assert!(form.value("context").len() <= 4096);
    let page = open(&server, &long.with("state", &"\"".repeat(1024))).await;
    assert_refused(&page, "invalid_request");

    let values = [("user", "alice"), ("password", PASSWORD)];
    let mut browser = Browser::new(&server);
    let form = browser.open(&valid).await.form("/login");
    server.advance(Duration::from_secs(3599));
    let consent = browser.clone().submit(&form, &values).await.expect(200);
    consent.form("/consent");
    server.advance(Duration::from_secs(1));
    let page = browser.submit(&form, &values).await.expect(400);
    assert!(
        page.text.contains("Start again in your app"),
        "OA-67: {}",
        page.text
    );
}
