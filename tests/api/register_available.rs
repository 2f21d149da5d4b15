//! `GET /register/available`.

use std::cell::Cell;

use proptest::{prelude::Strategy, prop_oneof, string::string_regex};
use serde_json::json;
use test_support::{PREFIXES, TestServer};

use super::support::{add_appservice, dummy_registration, for_all, request, set_status};

const AVAILABLE: &str = "/_matrix/client/v3/register/available";

/// The name, percent-encoded.
fn percent_encoded(name: &str) -> String {
    let bytes: Vec<String> = name.bytes().map(|b| format!("%{b:02X}")).collect();
    bytes.concat()
}

#[tokio::test]
async fn avail_01_a_free_name_is_available() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register/available?username=alice");
        assert_eq!(server.get(&path).await.ok(), json!({ "available": true }));
    }
}

/// AVAIL-02, AVAIL-05, REG-16: the name is in use in every status of the account, also when it is written in capitals.
#[tokio::test]
async fn avail_02_a_taken_name_is_in_use() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    for status in ["active", "locked", "suspended", "deactivated"] {
        set_status(&server, "alice", status);
        for prefix in PREFIXES {
            for name in ["alice", "ALICE"] {
                let path = format!("{prefix}/register/available?username={name}");
                server.get(&path).await.error(400, "M_USER_IN_USE");
            }
        }
    }
}

/// AVAIL-03, REG-35.
#[tokio::test]
async fn avail_03_an_invalid_name_is_refused() {
    let server = TestServer::with(&[("GATEHOUSE_NAME_PATTERN", "[^.]*")]).await;
    let too_long = "a".repeat(255 - "@:localhost".len() + 1);
    let far_too_long = "a".repeat(7000);
    for name in [
        "a,b",
        "",
        " ",
        "_x",
        "123",
        "abuse",
        "a.b",
        "\u{212A}",
        "a\nb",
        "\0",
        &too_long,
        &far_too_long,
    ] {
        for prefix in PREFIXES {
            let path = format!(
                "{prefix}/register/available?username={}",
                percent_encoded(name)
            );
            server.get(&path).await.error(400, "M_INVALID_USERNAME");
        }
    }
    let longest = &too_long[1..];
    server
        .get(&format!("{AVAILABLE}?username={longest}"))
        .await
        .ok();
}

#[tokio::test]
async fn avail_04_an_exclusive_name_belongs_to_an_appservice() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true), ("@open_.*", false)]).await;
    for prefix in PREFIXES {
        for name in ["irc_alice", "IRC_ALICE", "ircbot"] {
            let path = format!("{prefix}/register/available?username={name}");
            server.get(&path).await.error(400, "M_EXCLUSIVE");
            // The endpoint ignores access tokens, including the token of an application service.
            server.get_as(&token, &path).await.error(400, "M_EXCLUSIVE");
        }
    }
    server
        .get(&format!("{AVAILABLE}?username=open_alice"))
        .await
        .ok();
}

/// AVAIL-05, REG-13: for any text, both endpoints return the same status, errcode and message.
#[test]
fn avail_05_available_and_register_agree_on_every_name() {
    let name = prop_oneof![
        4 => string_regex("[a-zA-Z0-9._=/+-]{0,12}").unwrap(),
        2 => string_regex("[ -~]{0,12}").unwrap(),
        1 => string_regex("\\PC{0,12}").unwrap(),
        1 => proptest::prelude::any::<String>(),
        1 => string_regex("[a-c]{230,260}").unwrap(),
        1 => string_regex("(irc_|_|IRC|alice|Alice|abuse|ABUSE|ircbot)[a-z.]?").unwrap(),
        1 => string_regex("[0-9]{1,20}").unwrap(),
    ];
    let prepared = Cell::new(false);
    for_all(192, &[], &name.boxed(), &async |server, name| {
        if !prepared.replace(true) {
            add_appservice(server, "irc", &[("@irc_.*", true)]).await;
            server.sign_up("alice").await;
        }
        let available = server
            .get(&format!("{AVAILABLE}?username={}", percent_encoded(&name)))
            .await;
        let body = json!({ "username": name });
        let register = server.register(&body).await;
        if available.status == 200 {
            assert_eq!(available.json(), json!({ "available": true }));
            register.challenge();
        } else {
            assert_eq!(
                (available.status, available.json()),
                (register.status, register.json()),
                "{name:?}"
            );
        }
    });
}

#[tokio::test]
async fn avail_06_a_request_reserves_nothing_and_needs_no_token() {
    let server = TestServer::new().await;
    let before = server.dump();
    let path = format!("{AVAILABLE}?username=alice");
    server.get(&path).await.ok();
    server.get_as("junk", &path).await.ok();
    server
        .send(request("GET", &path, &[], br#"{"username":"bob"}"#))
        .await
        .ok();
    assert_eq!(server.dump(), before);
    let body = dummy_registration("alice");
    server.register(&body).await.ok();
    server.get(&path).await.error(400, "M_USER_IN_USE");
}

#[tokio::test]
async fn avail_07_the_username_is_required() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        for query in ["", "?", "?user=alice", "?Username=alice", "?=alice"] {
            let path = format!("{prefix}/register/available{query}");
            server.get(&path).await.error(400, "M_MISSING_PARAM");
        }
    }
}

/// HTTP-25: the query is percent-decoded exactly once.
#[tokio::test]
async fn http_25_an_escaped_plus_is_a_plus() {
    let server = TestServer::new().await;
    server.sign_up("a+b").await;
    for (query, errcode) in [
        ("a%2Bb", "M_USER_IN_USE"),
        ("%61%2b%62", "M_USER_IN_USE"),
        ("a+b", "M_INVALID_USERNAME"),
        ("a%20b", "M_INVALID_USERNAME"),
        ("a%252Bb", "M_INVALID_USERNAME"),
        ("a%", "M_INVALID_USERNAME"),
        ("a%zz", "M_INVALID_USERNAME"),
        ("a%FF", "M_INVALID_USERNAME"),
        ("a%00", "M_INVALID_USERNAME"),
    ] {
        for prefix in PREFIXES {
            let path = format!("{prefix}/register/available?username={query}");
            server.get(&path).await.error(400, errcode);
        }
    }
}
