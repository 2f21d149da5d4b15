//! Access tokens: their places in a request, the requests that they permit, and the places where they must not appear.

use std::time::Duration;

use serde_json::json;
use test_support::{Log, PASSWORD, PREFIXES, Reply, TestServer};

use super::{
    rows::accounts,
    support::{
        WHOAMI, add_appservice, dummy_registration, post_as, register_guest, request, set_status,
        text, whoami, with,
    },
};

/// Requests `whoami` with these `Authorization` headers and this query.
async fn get_whoami(server: &TestServer, prefix: &str, headers: &[&str], query: &str) -> Reply {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|value| ("authorization", *value))
        .collect();
    let path = format!("{prefix}/account/whoami{query}");
    server.send(request("GET", &path, &headers, b"")).await
}

/// TOK-01, TOK-02.
#[tokio::test]
async fn tok_01_a_token_is_sent_in_the_header_or_in_the_query() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let query = format!("?access_token={token}");
    for prefix in PREFIXES {
        for (header, query) in [
            (Some(format!("Bearer {token}")), ""),
            (Some(format!("bearer  {token} ")), ""),
            (Some(format!("Bearer {token}")), "?access_token="),
            (None, query.as_str()),
        ] {
            let headers: Vec<&str> = header.iter().map(String::as_str).collect();
            let me = get_whoami(&server, prefix, &headers, query).await.ok();
            assert_eq!(me["user_id"], "@alice:localhost", "{header:?} {query}");
        }
    }
}

#[tokio::test]
async fn tok_02_tokens_in_the_query_can_be_disabled() {
    let server = TestServer::with(&[("GATEHOUSE_QUERY_TOKENS", "off")]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let query = format!("?access_token={token}");
    for prefix in PREFIXES {
        let reply = get_whoami(&server, prefix, &[], &query).await;
        reply.error(401, "M_MISSING_TOKEN");
        let bearer = format!("Bearer {token}");
        let me = get_whoami(&server, prefix, &[&bearer], "").await.ok();
        assert_eq!(me["user_id"], "@alice:localhost");
    }
}

/// TOK-03: the test sends any two tokens in any two places.
#[tokio::test]
async fn tok_03_a_request_with_two_tokens_is_refused() {
    let server = TestServer::new().await;
    let (alice, bob) = (server.sign_up("alice").await, server.sign_up("bob").await);
    let (alice, bob) = (text(&alice, "access_token"), text(&bob, "access_token"));
    let (header_a, header_b) = (format!("Bearer {alice}"), format!("Bearer {bob}"));
    let both = format!("?access_token={alice}&access_token={bob}");
    let (query_a, query_b) = (
        format!("?access_token={alice}"),
        format!("?access_token={bob}"),
    );
    let empty_first = format!("?access_token=&access_token={alice}&access_token={bob}");
    for (headers, query) in [
        (&[header_a.as_str()][..], query_b.as_str()),
        (&[header_a.as_str()], query_a.as_str()),
        (&[header_a.as_str()], "?access_token=junk"),
        (&["Bearer junk"], query_a.as_str()),
        (&[header_a.as_str(), header_b.as_str()], ""),
        (&[header_a.as_str(), header_a.as_str()], ""),
        (&[header_a.as_str(), header_b.as_str()], query_a.as_str()),
        (&[], both.as_str()),
        (&[], empty_first.as_str()),
    ] {
        for prefix in PREFIXES {
            let reply = get_whoami(&server, prefix, headers, query).await;
            assert_eq!(reply.status, 401, "{headers:?} {query}: {}", reply.text());
            reply.error(401, "M_MISSING_TOKEN");
        }
    }
}

/// TOK-04, incident 13: an empty or blank token is missing.
#[tokio::test]
async fn tok_04_without_a_token_it_is_missing() {
    let server = TestServer::new().await;
    let ((), calls) = server
        .calls_of(async {
            for prefix in PREFIXES {
                for headers in [
                    &[][..],
                    &[""],
                    &["Bearer"],
                    &["Bearer "],
                    &["Bearer \t "],
                    &["Basic YTpi"],
                    &["Bearerx"],
                    &["gha_x"],
                ] {
                    for query in ["", "?access_token=", "?token=x", "?Access_token=x"] {
                        let reply = get_whoami(&server, prefix, headers, query).await;
                        reply.error(401, "M_MISSING_TOKEN");
                    }
                }
            }
        })
        .await;
    assert!(calls.is_empty(), "{calls:?}");
}

/// TOK-05, TOK-06: none of these errors contains `soft_logout`.
#[tokio::test]
async fn tok_05_an_invalid_token_is_unknown() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let other_server =
        TestServer::with(&[("GATEHOUSE_SECRET", "another secret of thirty-two bytes!")]).await;
    // A second server with the same seed would create the same tokens, so it creates other tokens first.
    other_server.sign_up("zoe").await;
    let foreign = other_server.sign_up("alice").await;
    let changed = format!("{}A", &token[..token.len() - 1]);
    let other = format!("{}B", &token[..token.len() - 1]);
    let too_long = "a".repeat(6000);
    for junk in [
        "junk",
        "gha_",
        "gha_junk",
        "null",
        " ",
        "%20%20",
        "%00",
        "%FF",
        &too_long,
        &token[1..],
        &token[..token.len() - 1],
        &token.to_uppercase(),
        if changed == token { &other } else { &changed },
        text(&foreign, "access_token"),
    ] {
        let path = format!("{WHOAMI}?access_token={}", junk.replace(' ', "%20"));
        let body = server.get(&path).await.error(401, "M_UNKNOWN_TOKEN");
        assert!(body.get("soft_logout").is_none(), "{junk}: {body}");
    }
    assert_eq!(whoami(&server, token).await["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn tok_05_a_malformed_token_causes_no_read() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let (reply, calls) = server
        .calls_of(server.get_as(&token[..token.len() - 1], WHOAMI))
        .await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    assert!(calls.is_empty(), "{calls:?}");
}

/// TOK-05, TOK-06, incident 13.
#[tokio::test]
async fn tok_05_a_deactivated_users_token_is_unknown() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    set_status(&server, "alice", "deactivated");
    let reply = server.get_as(text(&alice, "access_token"), WHOAMI).await;
    let body = reply.error(401, "M_UNKNOWN_TOKEN");
    assert!(body.get("soft_logout").is_none(), "{body}");
}

/// TOK-06, TOK-12: the expiry is exact to the millisecond.
#[tokio::test]
async fn tok_12_an_expired_token_is_unknown_with_soft_logout() {
    let server = TestServer::with(&[("GATEHOUSE_TOKEN_LIFETIME", "1h")]).await;
    let alice = server.sign_up("alice").await;
    assert_eq!(alice["expires_in_ms"], 3_600_000);
    let token = text(&alice, "access_token");
    server.advance(Duration::from_millis(3_599_999));
    whoami(&server, token).await;
    server.advance(Duration::from_millis(1));
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/whoami");
        let body = server
            .get_as(token, &path)
            .await
            .error(401, "M_UNKNOWN_TOKEN");
        assert_eq!(body["soft_logout"], true);
    }
}

#[tokio::test]
async fn tok_14_a_locked_account_keeps_its_tokens() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    set_status(&server, "alice", "locked");
    for prefix in PREFIXES {
        let path = format!("{prefix}/account/whoami");
        let body = server
            .get_as(token, &path)
            .await
            .error(401, "M_USER_LOCKED");
        assert_eq!(body["soft_logout"], true);
    }
    set_status(&server, "alice", "active");
    assert_eq!(
        whoami(&server, token).await["device_id"],
        alice["device_id"]
    );
}

/// TOK-14: only a request with a valid token gets the error that the account is locked.
#[tokio::test]
async fn tok_14_a_wrong_token_does_not_reveal_a_locked_account() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let alice = server.sign_up("alice").await;
    // The token of the other server has the same user and device. Only its hash differs.
    let other_server = TestServer::new().await;
    other_server.sign_up("zoe").await;
    let body = with(
        dummy_registration("alice"),
        &json!({ "device_id": alice["device_id"] }),
    );
    let other = other_server.register(&body).await.ok();
    assert_ne!(alice["access_token"], other["access_token"]);
    set_status(&server, "alice", "locked");
    let reply = server.get_as(text(&other, "access_token"), WHOAMI).await;
    reply.error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn tok_15_a_suspended_account_may_call_whoami() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    set_status(&server, "alice", "suspended");
    let me = whoami(&server, text(&alice, "access_token")).await;
    assert_eq!(me["user_id"], "@alice:localhost");
}

/// TOK-11: the test sends valid and invalid tokens.
#[tokio::test]
async fn tok_11_register_ignores_a_users_token() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    for prefix in PREFIXES {
        let path = format!("{prefix}/register");
        for token in [token, "junk", "gha_junk"] {
            post_as(&server, token, &path, &json!({})).await.challenge();
            let in_use = json!({ "username": "alice" });
            let reply = post_as(&server, token, &path, &in_use).await;
            reply.error(400, "M_USER_IN_USE");
            let body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
            let answer = post_as(&server, token, &path, &body).await.ok();
            assert_ne!(answer["user_id"], "@alice:localhost");
            let query = format!("{path}?access_token={token}");
            server.post(&query, &json!({})).await.challenge();
        }
    }
    assert_eq!(
        whoami(&server, token).await["device_id"],
        alice["device_id"]
    );
    assert_eq!(accounts(&server), 7);
}

/// TOK-18: the test covers every log level, and successes and failures.
#[tokio::test]
async fn tok_18_no_token_appears_in_a_log_or_an_error() {
    // If there were only one subscriber, a test on another thread could disable a callsite for all threads.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let service = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let body = with(
        dummy_registration("alice"),
        &json!({ "refresh_token": true }),
    );
    let alice = server.register(&body).await.ok();
    let guest = register_guest(&server).await;
    let junk = "gha_junk-that-must-not-be-repeated".to_owned();
    let tokens = [
        text(&alice, "access_token").to_owned(),
        text(&alice, "refresh_token").to_owned(),
        text(&guest, "access_token").to_owned(),
        service,
        junk,
    ];
    let mut errors = Vec::new();
    for token in &tokens {
        let in_query = format!("?access_token={token}");
        errors.push(server.get_as(token, WHOAMI).await);
        errors.push(server.get(&format!("{WHOAMI}{in_query}")).await);
        let two = format!("{WHOAMI}{in_query}&user_id=@bob:localhost");
        errors.push(server.get_as(token, &two).await);
        let upgrade = json!({ "username": "bob", "guest_access_token": token });
        errors.push(server.register(&upgrade).await);
        let bridged = json!({ "type": "m.login.application_service", "username": "bob" });
        errors.push(post_as(&server, token, "/_matrix/client/v3/register", &bridged).await);
        let validity = "/_matrix/client/v1/register/m.login.registration_token/validity";
        errors.push(server.get(&format!("{validity}?token={token}")).await);
    }
    let log = log.text();
    assert!(log.contains("answered"), "nothing was logged");
    for token in tokens {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&token)).collect();
        assert!(lines.is_empty(), "{lines:?}");
        for reply in &errors {
            assert!(!reply.text().contains(&token), "{}", reply.text());
        }
    }
}
