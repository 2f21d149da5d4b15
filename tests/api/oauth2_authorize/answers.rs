//! The URL that takes a response to the client (OA-40, OA-41, OA-46), and its destination (OA-52).

use test_support::{PASSWORD, TestServer};

use super::start;
use crate::flows::support::oauth_pages::{
    Authorization, Browser, NATIVE_URI, STATE, client_row, metadata,
};

/// The URL of the last page after consent.
async fn callback(server: &TestServer, kind: &str, uri: &str, mode: &str) -> String {
    let client = client_row(server, &metadata(kind, uri));
    let request = Authorization::new(&client, uri).with("response_mode", mode);
    let mut browser = Browser::new(server);
    let consent = browser.log_in(&request, "alice", PASSWORD).await;
    let page = browser.decide(&consent, "allow").await.expect(200);
    assert!(page.reply.headers.get("location").is_none(), "OA-52");
    let url = page.continue_url().unwrap();
    let opens_itself = kind == "web" || uri.starts_with("http://");
    let expected = opens_itself.then(|| url.clone());
    assert_eq!(page.refresh(), expected, "OA-52: {kind} {uri}");
    assert_eq!(page.text.matches("href").count(), 1, "OA-52: {}", page.text);
    let response = page.response();
    assert_eq!(response["state"], STATE, "OA-46");
    assert_eq!(response["iss"], page.issuer(), "OA-46");
    assert!(response["code"].len() >= 43, "{response:?}");
    let registered = if mode == "fragment" {
        0
    } else {
        uri.matches('=').count()
    };
    assert_eq!(response.len(), 3 + registered, "OA-46: {response:?}");
    url
}

/// OA-40, OA-41, OA-46, OA-52: every kind of redirect URI in every mode.
#[tokio::test]
async fn oa_40_the_uri_of_the_client_is_kept() {
    let server = start().await;
    server.sign_up("alice").await;
    for (kind, uri) in [
        ("native", NATIVE_URI),
        ("native", "im.fluffychat.auth:/login"),
        ("native", "io.element.desktop:/vector/webapp/?a=b"),
        ("native", "https://element.io/oauth/ios/io.element.elementx"),
        ("native", "http://localhost:3001/login"),
        ("native", "http://[::1]/"),
        ("web", "https://app.element.io/"),
        ("web", "https://app.element.io/?no_universal_links=true"),
    ] {
        let separator = if uri.contains('?') { "&" } else { "?" };
        for (mode, separator) in [("", separator), ("query", separator), ("fragment", "#")] {
            let url = callback(&server, kind, uri, mode).await;
            let start = format!("{uri}{separator}code=");
            assert!(url.starts_with(&start), "{mode}: {url}");
            // A space has the same meaning in every decoder.
            assert!(
                url.contains("state=a%20state%2Fwith%2Bcharacters%26more"),
                "{url}"
            );
        }
    }
}

/// OA-41: the registered URI is not re-encoded.
#[tokio::test]
async fn oa_41_the_bytes_of_the_uri_do_not_change() {
    let server = start().await;
    server.sign_up("alice").await;
    for uri in [
        "https://element.io/%7euser//a?x=%20y&",
        "com.example.a:/b%2Fc?",
    ] {
        let url = callback(&server, "native", uri, "").await;
        assert!(url.starts_with(&format!("{uri}code=")), "{url}");
    }
}
