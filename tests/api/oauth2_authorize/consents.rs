//! The consent page and the decision (OA-62 to OA-68).

use serde_json::json;
use test_support::PASSWORD;

use super::start;
use crate::flows::support::{
    account_helpers::{LOGIN, login_of},
    oauth_pages::{
        Authorization, Browser, DEVICE, NATIVE_URI, Page, STATE, client_row, metadata, oauth_rows,
    },
};

/// The content of the element with this ID.
#[track_caller]
fn element(page: &Page, id: &str) -> String {
    let start = format!("id=\"{id}\">");
    let (_, text) = page
        .text
        .split_once(&start)
        .unwrap_or_else(|| panic!("{id}: {}", page.text));
    text.split("</dd>").next().unwrap().to_owned()
}

fn codes(rows: &[String]) -> usize {
    rows.iter().filter(|key| *key == "CODE").count()
}

#[tokio::test]
async fn oa_62_every_authorization_needs_consent() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    for _ in 0..3 {
        let mut consent = browser.open(&valid).await;
        if consent.find_form("/consent").is_none() {
            consent = browser.log_in(&valid, "alice", PASSWORD).await;
        }
        assert_eq!(consent.continue_url(), None);
        let before = codes(&oauth_rows(&server));
        assert!(
            browser
                .decide(&consent, "allow")
                .await
                .response()
                .contains_key("code")
        );
        assert_eq!(codes(&oauth_rows(&server)), before + 1);
    }
}

#[tokio::test]
async fn oa_63_the_page_says_who_gets_access_to_what() {
    let server = start().await;
    server.sign_up("alice").await;
    for (kind, uri, destination) in [
        ("native", NATIVE_URI, "an app on this device"),
        (
            "native",
            "http://localhost/cb",
            "a program on this computer",
        ),
        ("native", "https://element.io/oauth/ios/x", "element.io"),
        ("web", "https://app.element.io/", "app.element.io"),
    ] {
        let client = client_row(&server, &metadata(kind, uri));
        let request = Authorization::new(&client, uri);
        let page = Browser::new(&server)
            .log_in(&request, "alice", PASSWORD)
            .await
            .expect(200);
        assert!(
            page.text.contains("<strong>@alice:localhost</strong>"),
            "{}",
            page.text
        );
        assert_eq!(element(&page, "client-name"), "<bdi>Element X</bdi>");
        assert_eq!(element(&page, "client-host"), "element.io");
        assert_eq!(element(&page, "destination"), destination);
        assert_eq!(element(&page, "device"), DEVICE);
        assert!(page.text.contains("as the app states it"));
        assert!(page.text.contains("read and send messages"));
        let link = |name| page.link(name);
        assert_eq!(
            link("Privacy policy of the app").unwrap(),
            "https://element.io/privacy"
        );
        assert_eq!(
            link("Terms of service of the app").unwrap(),
            "https://element.io/terms"
        );
        page.form("/logout");
        let form = page.form("/consent");
        assert_eq!(form.fields.len(), 2, "{form:?}");
    }
}

#[tokio::test]
async fn oa_63_a_hostile_name_is_text() {
    let server = start().await;
    server.sign_up("alice").await;
    let mut hostile = metadata("native", NATIVE_URI);
    hostile["client_name"] = "</bdi><a href=\"https://evil.example\">Gatehouse</a><script>".into();
    let client = client_row(&server, &hostile);
    let device = "urn:matrix:client:api:* urn:matrix:client:device:<b>'&amp;/+=";
    let request = Authorization::new(&client, NATIVE_URI).with("scope", device);
    let page = Browser::new(&server)
        .log_in(&request, "alice", PASSWORD)
        .await
        .expect(200);
    assert!(!page.text.contains("evil.example\">"), "{}", page.text);
    assert!(!page.text.contains("<script"), "{}", page.text);
    assert!(!page.text.contains("<b>"), "{}", page.text);
    assert_eq!(element(&page, "device"), "&#60;b&#62;&#39;&#38;amp;/+=");
    let mut unnamed = metadata("native", NATIVE_URI);
    for name in ["client_name", "policy_uri", "tos_uri"] {
        unnamed.as_object_mut().unwrap().remove(name);
    }
    let client = client_row(&server, &unnamed);
    let request = Authorization::new(&client, NATIVE_URI);
    let page = Browser::new(&server)
        .log_in(&request, "alice", PASSWORD)
        .await
        .expect(200);
    assert!(!page.text.contains("client-name"), "{}", page.text);
    assert!(!page.text.contains("href=\"http"), "{}", page.text);
}

#[tokio::test]
async fn oa_64_the_page_names_a_device_that_it_replaces() {
    let server = start().await;
    server.sign_up("alice").await;
    server.sign_up("bob").await;
    let mut body = login_of("bob", PASSWORD);
    body["device_id"] = DEVICE.into();
    server.post(LOGIN, &body).await.ok();
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let warns = |page: &Page| page.text.contains("id=\"replaced\"");
    assert!(
        !warns(&browser.log_in(&valid, "alice", PASSWORD).await),
        "a device of bob"
    );
    assert!(!warns(&browser.open(&valid).await));
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = DEVICE.into();
    let login = server.post(LOGIN, &body).await.ok();
    assert!(warns(&browser.open(&valid).await));
    assert!(warns(
        &Browser::new(&server)
            .log_in(&valid, "alice", PASSWORD)
            .await
    ));
    let token = login["access_token"].as_str().unwrap();
    let path = format!("{}/logout", test_support::PREFIXES[1]);
    server
        .post_as_from([127, 0, 0, 1].into(), token, &path, &json!({}))
        .await
        .ok();
    assert!(!warns(&browser.open(&valid).await));
}

#[tokio::test]
async fn oa_65_cancel_gives_access_denied() {
    let server = start().await;
    server.sign_up("alice").await;
    for (kind, uri) in [("native", NATIVE_URI), ("web", "https://app.element.io/")] {
        let client = client_row(&server, &metadata(kind, uri));
        let mut browser = Browser::new(&server);
        let request = Authorization::new(&client, uri);
        let consent = browser.log_in(&request, "alice", PASSWORD).await;
        let form = consent.form("/consent");
        let (page, calls) = server
            .calls_of(browser.submit(&form, &[("action", "cancel")]))
            .await;
        assert!(calls.is_empty(), "{calls:?}");
        let page = page.expect(200);
        let response = page.response();
        assert_eq!(response["error"], "access_denied");
        assert_eq!(response["state"], STATE);
        assert_eq!(response["iss"], page.issuer());
        assert_eq!(response.len(), 3, "{response:?}");
        // The session stays.
        browser.open(&request).await.form("/consent");
    }
    assert_eq!(codes(&oauth_rows(&server)), 0);
}

/// OA-66: one request has one code, and another request, user or epoch has another.
#[tokio::test]
async fn oa_66_a_repeated_decision_gives_the_same_page() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let consent = browser.log_in(&valid, "alice", PASSWORD).await;
    let first = browser.decide(&consent, "allow").await.expect(200);
    let second = browser.decide(&consent, "allow").await.expect(200);
    assert_eq!(first.text, second.text);
    assert_eq!(codes(&oauth_rows(&server)), 1);
    let consent = browser.open(&valid).await;
    let other = browser.decide(&consent, "allow").await.expect(200);
    assert_ne!(first.response()["code"], other.response()["code"]);
    assert_eq!(codes(&oauth_rows(&server)), 2);
}

/// OA-68: a page shows alice's account, and another tab has changed to bob's.
#[tokio::test]
async fn oa_68_consent_is_given_for_the_account_on_the_page() {
    let server = start().await;
    server.sign_up("alice").await;
    server.sign_up("bob").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let of_alice = browser.log_in(&valid, "alice", PASSWORD).await;
    let tab = browser.open(&valid).await;
    let login = browser.submit(&tab.form("/logout"), &[]).await.expect(200);
    let values = [("user", "bob"), ("password", PASSWORD)];
    let of_bob = browser
        .submit(&login.form("/login"), &values)
        .await
        .expect(200);
    assert!(of_bob.text.contains("@bob:localhost"), "{}", of_bob.text);
    let page = browser.decide(&of_alice, "allow").await.expect(400);
    assert_eq!(page.continue_url(), None);
    // Not even with a valid token of a form.
    let form = of_bob.form("/consent");
    let context = of_alice.form("/consent").value("context").to_owned();
    let values = [("context", context.as_str()), ("action", "allow")];
    browser.submit(&form, &values).await.expect(400);
    assert_eq!(codes(&oauth_rows(&server)), 0);
    let page = browser.decide(&of_bob, "allow").await.expect(200);
    assert!(page.response().contains_key("code"));
}
