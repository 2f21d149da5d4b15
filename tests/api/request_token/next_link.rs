//! `next_link` of a request: the links that the server accepts and stores. The tests of `validate_submit_token` cover
//! the redirects to them.

use serde_json::json;
use test_support::PREFIXES;

use crate::api::{
    rows::{queued, validations},
    support::with,
    threepids::{HOSTS, REQUESTS, address, message_request, server_with},
};

/// L3: each of the endpoints checks the link.
#[tokio::test]
async fn threepid_31_only_http_and_https_links_are_accepted() {
    let server = server_with(&[HOSTS]).await;
    let too_long = format!("https://app.example.org/{}", "a".repeat(2048));
    for prefix in PREFIXES {
        for (medium, path) in REQUESTS {
            let path = path.replace("/_matrix/client/v3", prefix);
            for link in [
                "file:///etc/passwd",
                "javascript:alert(1)",
                "javascript://app.example.org/%0Aalert(1)",
                "data:text/html,x",
                "ftp://app.example.org/",
                "matrix://app.example.org/",
                "//app.example.org/",
                "/elsewhere",
                "app.example.org/",
                "https:app.example.org/",
                "https:/app.example.org/",
                "https:\\\\app.example.org/",
                " https://app.example.org/",
                "https://app.example.org/ x",
                "https://app.example.org/\nset-cookie:a=b",
                "https://app.example.org/\r\n\r\n<svg>",
                "https://app.example.org/\0",
                "ht\ttps://app.example.org/",
                "\u{ff48}ttps://app.example.org/",
                &too_long,
            ] {
                let body = with(
                    message_request(medium, 1, "secret", 1),
                    &json!({ "next_link": link }),
                );
                let reply = server.post(&path, &body).await;
                assert_eq!(reply.status, 400, "{link:?}");
                reply.error(400, "M_INVALID_PARAM");
            }
        }
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
}

/// L3: a link to an unlisted host is accepted, and not stored.
#[tokio::test]
async fn threepid_31_links_to_unlisted_hosts_are_not_stored() {
    for (listed, kept) in [(HOSTS, true), (("GATEHOUSE_NEXT_LINK_HOSTS", ""), false)] {
        let server = server_with(&[listed]).await;
        let mut user = 0;
        for (medium, path) in REQUESTS {
            for (link, on_list) in [
                ("https://app.example.org", true),
                ("HTTPS://APP.example.org/#/x", true),
                ("http://localhost:8080/?a=b", true),
                ("http://localhost/", false),
                ("https://app.example.org:8443/", false),
                ("https://evil.example/", false),
                ("https://app.example.org.evil.example/", false),
                ("https://app.example.org@evil.example/", false),
                ("https://evil.example\\@app.example.org/", false),
                ("https://app.example.org\\@evil.example/", false),
                ("https://app.example.org:443@evil.example/", false),
                ("https://evil.example/?https://app.example.org/", false),
                ("https://evil.example/#app.example.org", false),
                ("https://xapp.example.org/", false),
                ("https://app\u{3002}example.org/", false),
                ("https://app.example.org./", false),
                ("https:///app.example.org/", false),
                ("https://", false),
                ("", false),
            ] {
                user += 1;
                let body = with(
                    message_request(medium, user, "secret", 1),
                    &json!({ "next_link": link }),
                );
                server.post(path, &body).await.ok();
                let rows = validations(&server);
                let address = address(medium, user);
                let row = rows.iter().find(|row| row.address == address).unwrap();
                assert_eq!(row.has_next_link, on_list && kept, "{link}");
                // The stored link is encrypted, because it may contain secrets of the client.
                assert!(!row.json.contains("app.example"), "{}", row.json);
            }
        }
    }
}
