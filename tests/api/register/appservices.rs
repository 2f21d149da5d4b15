//! Registration by application services: their users and their namespaces.

use std::time::Duration;

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::api::{
    rows::{accounts, password_hash, uia_sessions},
    support::{
        WHOAMI, add_appservice, add_appservice_with_token, post_as, register_as, request, rows_of,
        text, whoami,
    },
};

const REGISTER: &str = "/_matrix/client/v3/register";
/// Changes made with the admin CLI take effect within this time.
const IN_FORCE: Duration = Duration::from_mins(1);

/// REG-31, UIA-28, TOK-08.
#[tokio::test]
async fn reg_31_an_appservice_registers_without_uia_or_password() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    for (prefix, name) in PREFIXES.into_iter().zip(["irc_alice", "irc_bob"]) {
        let body = json!({
            "type": "m.login.application_service", "username": name, "device_id": "BRIDGE",
            "password": "not wanted",
        });
        let reply = post_as(&server, &token, &format!("{prefix}/register"), &body).await;
        let answer = reply.ok();
        assert_eq!(answer["user_id"], format!("@{name}:localhost"));
        assert_eq!(answer["device_id"], "BRIDGE");
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(
            me,
            json!({ "user_id": answer["user_id"], "device_id": "BRIDGE", "is_guest": false })
        );
        assert!(password_hash(&server, name).is_none());
    }
    assert_eq!(uia_sessions(&server).len(), 0);
}

#[tokio::test]
async fn reg_31_appservice_users_are_folded_and_exempt_from_policy() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@_irc_.*", true), ("@[0-9]+:", false)]).await;
    for (typed, user_id) in [
        ("_IRC_Alice", "@_irc_alice:localhost"),
        ("123", "@123:localhost"),
        ("ircbot", "@ircbot:localhost"),
    ] {
        let answer = register_as(&server, &token, typed).await.ok();
        assert_eq!(answer["user_id"], user_id);
    }
    let body = json!({
        "type": "m.login.application_service", "username": "_irc_bob", "inhibit_login": true,
    });
    let answer = post_as(&server, &token, REGISTER, &body).await.ok();
    assert_eq!(
        answer,
        json!({ "user_id": "@_irc_bob:localhost", "home_server": "localhost" })
    );
    let rows = rows_of(&server, "_irc_bob");
    assert_eq!(rows.len(), 1, "rows besides the account: {rows:?}");
}

/// Names are folded, so a pattern with capitals matches the name that was sent and the folded one.
#[tokio::test]
async fn reg_12_a_pattern_with_capitals_reserves_folded_names() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@IRC_[A-Za-z0-9]+:localhost", true)]).await;
    for name in ["IRC_Bob", "irc_bob"] {
        let body = json!({ "username": name, "password": PASSWORD });
        server.register(&body).await.error(400, "M_EXCLUSIVE");
        let path = format!("{REGISTER}/available?username={name}");
        server.get(&path).await.error(400, "M_EXCLUSIVE");
    }
    for (typed, user_id) in [
        ("IRC_Bob", "@irc_bob:localhost"),
        ("irc_eve", "@irc_eve:localhost"),
    ] {
        let answer = register_as(&server, &token, typed).await.ok();
        assert_eq!(answer["user_id"], user_id);
    }
}

/// REG-31, TOK-03, TOK-04, TOK-05: the token may be in the header or in the query.
#[tokio::test]
async fn reg_31_an_appservice_user_needs_the_appservices_token() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let alice = server.sign_up("alice").await;
    let alice = text(&alice, "access_token");
    let before = server.dump();
    let body = json!({ "type": "m.login.application_service", "username": "irc_bob" }).to_string();
    let bearer = |token: &str| format!("Bearer {token}");
    let query = |token: &str| format!("{REGISTER}?access_token={token}");
    let table = [
        (REGISTER.to_owned(), None, "M_MISSING_TOKEN"),
        (
            REGISTER.to_owned(),
            Some("Bearer ".to_owned()),
            "M_MISSING_TOKEN",
        ),
        (
            REGISTER.to_owned(),
            Some(format!("Basic {token}")),
            "M_MISSING_TOKEN",
        ),
        (query(""), None, "M_MISSING_TOKEN"),
        (query(&token), Some(bearer(&token)), "M_MISSING_TOKEN"),
        (REGISTER.to_owned(), Some(bearer("junk")), "M_UNKNOWN_TOKEN"),
        (
            REGISTER.to_owned(),
            Some(bearer(&token.to_uppercase())),
            "M_UNKNOWN_TOKEN",
        ),
        (REGISTER.to_owned(), Some(bearer(alice)), "M_UNKNOWN_TOKEN"),
        (query("junk"), None, "M_UNKNOWN_TOKEN"),
        (query(alice), None, "M_UNKNOWN_TOKEN"),
    ];
    for (path, authorization, errcode) in table {
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let reply = server
            .send(request("POST", &path, &headers, body.as_bytes()))
            .await;
        reply.error(401, errcode);
    }
    assert_eq!(server.dump(), before);
    let answer = server.post_text(&query(&token), &body).await.ok();
    assert_eq!(answer["user_id"], "@irc_bob:localhost");
}

/// REG-11, REG-12, REG-31: an application service may not register these names.
#[tokio::test]
async fn reg_12_an_appservice_stays_in_its_own_namespace() {
    let server = TestServer::new().await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true), ("@shared_.*", false)]).await;
    add_appservice(
        &server,
        "xmpp",
        &[("@xmpp_.*", true), ("@shared_x.*", true)],
    )
    .await;
    register_as(&server, &irc, "irc_taken").await.ok();
    for (name, errcode) in [
        ("bob", "M_EXCLUSIVE"),
        ("not_irc_bob", "M_EXCLUSIVE"),
        ("xmpp_bob", "M_EXCLUSIVE"),
        ("shared_x1", "M_EXCLUSIVE"),
        ("xmppbot", "M_EXCLUSIVE"),
        ("irc_@", "M_INVALID_USERNAME"),
        ("", "M_INVALID_USERNAME"),
        ("IRC_taken", "M_USER_IN_USE"),
    ] {
        let reply = register_as(&server, &irc, name).await;
        reply.error(400, errcode);
    }
    let nameless = json!({ "type": "m.login.application_service" });
    let reply = post_as(&server, &irc, REGISTER, &nameless).await;
    reply.error(400, "M_MISSING_PARAM");
    assert_eq!(accounts(&server), 1);
    register_as(&server, &irc, "shared_y").await.ok();
}

/// REG-12, REG-13, AVAIL-04.
#[tokio::test]
async fn reg_12_exclusive_names_are_refused_to_others_before_uia() {
    let server = TestServer::new().await;
    add_appservice(&server, "irc", &[("@irc_.*", true), ("@open_.*", false)]).await;
    for prefix in PREFIXES {
        for name in ["irc_alice", "IRC_Alice", "irc_", "ircbot"] {
            for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
                let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
                let reply = server.post(&format!("{prefix}/register"), &body).await;
                reply.error(400, "M_EXCLUSIVE");
            }
        }
    }
    assert_eq!((accounts(&server), uia_sessions(&server).len()), (0, 0));
    for name in ["open_alice", "not_irc_alice", "irc"] {
        server.sign_up(name).await;
    }
}

/// TOK-11, REG-31: the token has no effect without the type, and the type has no effect without the token.
#[tokio::test]
async fn tok_11_an_appservice_token_needs_its_type() {
    let server = TestServer::new().await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    for kind in [json!(null), json!("m.login.dummy"), json!(5), json!("")] {
        let body = json!({ "type": kind, "username": "carol" });
        post_as(&server, &token, REGISTER, &body).await.challenge();
        let body = json!({ "type": kind, "username": "irc_carol" });
        let reply = post_as(&server, &token, REGISTER, &body).await;
        reply.error(400, "M_EXCLUSIVE");
    }
    assert_eq!(accounts(&server), 0);
}

/// REG-12, REG-14, AVAIL-04: namespaces are cached for at most a minute.
#[tokio::test]
async fn reg_12_a_new_namespace_takes_effect_within_a_minute() {
    let server = TestServer::new().await;
    let available = "/_matrix/client/v3/register/available?username=irc_alice";
    let body = json!({ "username": "irc_alice", "password": PASSWORD });
    let (_, session) = server.begin(&body).await;
    server.get(available).await.ok();
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    server.advance(IN_FORCE);
    server.register(&body).await.error(400, "M_EXCLUSIVE");
    server.get(available).await.error(400, "M_EXCLUSIVE");
    let last = json!({ "auth": { "type": "m.login.dummy", "session": session } });
    server.register(&last).await.error(400, "M_EXCLUSIVE");
    assert_eq!(accounts(&server), 0);
    register_as(&server, &token, "irc_alice").await.ok();

    server
        .admin_run(&["appservices", "remove", "irc"])
        .await
        .unwrap();
    server.advance(IN_FORCE);
    let reply = register_as(&server, &token, "irc_bob").await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    server
        .get_as(&token, WHOAMI)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    server.sign_up("irc_carol").await;
}

#[tokio::test]
async fn reg_31_a_replaced_token_is_invalid_within_a_minute() {
    let server = TestServer::new().await;
    let old = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &old, "irc_alice").await.ok();
    add_appservice_with_token(&server, "irc", "another-token", &[("@irc_.*", true)]).await;
    server.advance(IN_FORCE);
    let reply = register_as(&server, &old, "irc_bob").await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    register_as(&server, "another-token", "irc_bob").await.ok();
    assert!(
        !server.dump().contains("another-token"),
        "the token is stored in plain text"
    );
}

#[tokio::test]
async fn reg_09_a_generated_name_is_in_no_exclusive_namespace() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    // The namespace covers about half of all names, so twenty random names are outside it with a probability of one in
    // a million.
    add_appservice(&server, "half", &[("@[a-m0-4].*", true)]).await;
    let body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    for path in [REGISTER, "/_matrix/client/v3/register?kind=guest"] {
        for _ in 0..10 {
            let answer = server.post(path, &body).await.ok();
            let first = text(&answer, "user_id").chars().nth(1).unwrap();
            assert!(!matches!(first, 'a'..='m' | '0'..='4'), "{answer}");
        }
    }
}
