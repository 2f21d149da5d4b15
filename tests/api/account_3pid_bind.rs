//! `POST /account/3pid/bind`.

use serde_json::{Value, json};
use test_support::{NOW, PREFIXES, TestServer};

use super::{
    rows::{Binding, bindings},
    support::{add_appservice, post_as, register_as, register_guest, set_status, text, with},
};
use crate::flows::support::identity_server::{IdServer, TOKEN};

const PATH: &str = "/_matrix/client/v3/account/3pid/bind";
const SECRET: &str = "monkeys_are_GREAT";

/// The body of a bind request for this session at this identity server.
fn bind_request(id_server: &IdServer, sid: &str) -> Value {
    json!({
        "client_secret": SECRET, "sid": sid,
        "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// IDS-11: the same 3PID may be bound to several users.
#[tokio::test]
async fn ids_10_a_binding_sends_sid_secret_user_and_client_token() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    for (name, prefix) in ["alice", "bob"].into_iter().zip(PREFIXES) {
        let user = server.sign_up(name).await;
        id_server.session("1981277240", SECRET, "email", "Shared@example.org");
        id_server.clear_requests();
        let path = format!("{prefix}/account/3pid/bind");
        let body = bind_request(&id_server, "1981277240");
        let reply = post_as(&server, text(&user, "access_token"), &path, &body).await;
        assert_eq!(reply.ok(), json!({}));
        let seen = id_server.requests();
        assert_eq!(id_server.lines(), ["POST /_matrix/identity/v2/3pid/bind"]);
        let mxid = format!("@{name}:localhost");
        let expected = json!({ "sid": "1981277240", "client_secret": SECRET, "mxid": mxid });
        assert_eq!(seen[0].body, expected);
        assert_eq!(
            seen[0].headers["authorization"],
            format!("Bearer {TOKEN}"),
            "IDS-10"
        );
        assert_eq!(seen[0].headers["content-type"], "application/json");
    }
    let bound = id_server.bindings();
    assert_eq!(
        bound,
        [
            "email Shared@example.org @alice:localhost",
            "email Shared@example.org @bob:localhost"
        ]
    );
}

#[tokio::test]
async fn ids_12_a_binding_is_recorded_as_the_id_server_answered() {
    let id_server = IdServer::start("id.example.org:8090");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.session("1", SECRET, "email", "Alice@example.org");
    let upper = with(
        bind_request(&id_server, "1"),
        &json!({ "id_server": "ID.Example.org:8090" }),
    );
    for _ in 0..2 {
        post_as(&server, token, PATH, &upper).await.ok();
    }
    let expected = Binding {
        key: "BIND#id.example.org:8090#email#Alice@example.org".to_owned(),
        id_server: "id.example.org:8090".to_owned(),
        medium: "email".to_owned(),
        address: "Alice@example.org".to_owned(),
        bound: NOW,
    };
    assert_eq!(bindings(&server, "alice"), [expected]);
    let dump = server.dump();
    assert!(!dump.contains(SECRET) && !dump.contains(TOKEN));
}

#[tokio::test]
async fn ids_07_errors_of_the_id_server_are_passed_on() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.pending("1", SECRET, "email", "alice@example.org");
    let bind = async |sid| post_as(&server, token, PATH, &bind_request(&id_server, sid)).await;
    bind("1").await.error(400, "M_SESSION_NOT_VALIDATED");
    bind("2").await.error(404, "M_NO_VALID_SESSION");
    for (line, status, errcode) in [
        ("403 Forbidden", 403, "M_TERMS_NOT_SIGNED"),
        ("400 Bad Request", 400, "M_INVALID_EMAIL"),
        ("400 Bad Request", 400, "M_EMAIL_SEND_ERROR"),
        ("400 Bad Request", 400, "M_INVALID_ADDRESS"),
        ("400 Bad Request", 400, "M_SEND_ERROR"),
        ("400 Bad Request", 400, "M_DESTINATION_REJECTED"),
        ("429 Too Many Requests", 429, "M_UNKNOWN"),
        // Old identity servers return errors with status 200.
        ("200 OK", 400, "M_SESSION_EXPIRED"),
    ] {
        id_server.respond_with(line, &json!({ "errcode": errcode, "error": "No" }));
        let body = bind("1").await.error(status, errcode);
        assert_eq!(body["error"], "No");
    }
    // A client would conclude from M_UNKNOWN_TOKEN that its own access token is invalid.
    let unknown = json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "No", "soft_logout": true });
    id_server.respond_with("401 Unauthorized", &unknown);
    let body = bind("1").await.error(401, "M_UNAUTHORIZED");
    assert!(body.get("soft_logout").is_none());
    // The response is neither a success nor a Matrix error.
    server.expect_faults();
    for answer in [json!({}), json!({ "medium": "pigeon", "address": "x" })] {
        id_server.respond_with("200 OK", &answer);
        bind("1").await.error(502, "M_UNKNOWN");
    }
    let broken = json!({ "errcode": "M_UNKNOWN", "error": "No" });
    id_server.respond_with("500 Internal Server Error", &broken);
    bind("1").await.error(502, "M_UNKNOWN");
    assert!(bindings(&server, "alice").is_empty());
}

#[tokio::test]
async fn ids_02_an_untrusted_server_is_not_called() {
    let id_server = IdServer::start("id.example.org");
    let other = IdServer::start("other.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let bind = async |name: Value| {
        let body = with(bind_request(&id_server, "1"), &json!({ "id_server": name }));
        post_as(&server, token, PATH, &body).await
    };
    for name in [
        "other.example.org",
        "id.example.org:8448",
        "sub.id.example.org",
        "vector.im",
    ] {
        bind(json!(name)).await.error(400, "M_SERVER_NOT_TRUSTED");
    }
    let port = other.entry();
    let address = port.split("://").nth(1).unwrap_or_default();
    for name in [
        address,
        "http://id.example.org",
        "https://id.example.org",
        "id.example.org/x",
        "id.example.org?x",
        "alice@id.example.org",
        "id.example.org:",
        "",
        "169.254.169.254",
        "127.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::1]",
        "2130706433",
    ] {
        bind(json!(name)).await.error(400, "M_INVALID_PARAM");
    }
    bind(json!(5)).await.error(400, "M_BAD_JSON");
    assert!(id_server.lines().is_empty() && other.lines().is_empty());
}

/// IDS-03, CVE-2021-29431, CVE-2021-21392: a trusted identity server is not called if its name resolves to an address
/// of a private network.
#[tokio::test]
async fn incident_9_a_name_that_resolves_inside_is_not_called() {
    let id_server = IdServer::start("id.example.org");
    let port = id_server.entry();
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    let name = format!("localhost:{port}");
    let server = TestServer::with(&[("GATEHOUSE_TRUSTED_ID_SERVERS", &name)]).await;
    let alice = server.sign_up("alice").await;
    server.expect_faults();
    let body = with(bind_request(&id_server, "1"), &json!({ "id_server": name }));
    let reply = post_as(&server, text(&alice, "access_token"), PATH, &body).await;
    reply.error(502, "M_UNKNOWN");
    assert_eq!(id_server.connections(), 0);
}

#[tokio::test]
async fn ids_01_by_default_no_identity_server_is_called() {
    let id_server = IdServer::start("id.example.org");
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let body = bind_request(&id_server, "1");
    let reply = post_as(&server, text(&alice, "access_token"), PATH, &body).await;
    reply.error(400, "M_SERVER_NOT_TRUSTED");
}

#[tokio::test]
async fn malformed_bind_requests_are_refused_before_any_call() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let valid = bind_request(&id_server, "1");
    for name in ["client_secret", "sid", "id_server", "id_access_token"] {
        for absent in [None, Some(Value::Null)] {
            let mut body = valid.clone();
            match absent {
                None => drop(body.as_object_mut().and_then(|body| body.remove(name))),
                Some(null) => body[name] = null,
            }
            let reply = post_as(&server, token, PATH, &body).await;
            reply.error(400, "M_MISSING_PARAM");
        }
        let body = with(valid.clone(), &json!({ name: 5 }));
        post_as(&server, token, PATH, &body)
            .await
            .error(400, "M_BAD_JSON");
    }
    for (name, value) in [
        ("client_secret", "a b".to_owned()),
        ("sid", "x".repeat(256)),
        ("sid", String::new()),
        ("id_access_token", "a\r\nx: y".to_owned()),
        ("id_access_token", "é".to_owned()),
        ("id_access_token", "x".repeat(2049)),
        ("id_access_token", String::new()),
    ] {
        let body = with(valid.clone(), &json!({ name: value }));
        let reply = post_as(&server, token, PATH, &body).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(id_server.requests().is_empty());
}

#[tokio::test]
async fn a_user_token_is_required_and_a_guest_token_refused() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_GUESTS", "true")]).await;
    let body = bind_request(&id_server, "1");
    server.post(PATH, &body).await.error(401, "M_MISSING_TOKEN");
    post_as(&server, "junk", PATH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let guest = register_guest(&server).await;
    post_as(&server, text(&guest, "access_token"), PATH, &body)
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    set_status(&server, "alice", "locked");
    post_as(&server, token, PATH, &body)
        .await
        .error(401, "M_USER_LOCKED");
    set_status(&server, "alice", "deactivated");
    post_as(&server, token, PATH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert!(id_server.requests().is_empty());
}

/// WHO-01: the application service's own user has no account, so nothing can be bound to it.
#[tokio::test]
async fn an_application_service_binds_for_its_users() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    server.sign_up("alice").await;
    id_server.session("1", SECRET, "email", "alice@example.org");
    let body = bind_request(&id_server, "1");
    for (asserted, done) in [("@irc_alice:localhost", true), ("@alice:localhost", false)] {
        let path = format!("{PATH}?user_id={asserted}");
        let reply = post_as(&server, &token, &path, &body).await;
        if done {
            reply.ok();
        } else {
            reply.error(403, "M_FORBIDDEN");
        }
    }
    post_as(&server, &token, PATH, &body)
        .await
        .error(403, "M_FORBIDDEN");
    assert_eq!(
        id_server.bindings(),
        ["email alice@example.org @irc_alice:localhost"]
    );
    assert_eq!(bindings(&server, "irc_alice").len(), 1);
    let path = "/_matrix/client/v3/account/3pid/unbind?user_id=@irc_alice:localhost";
    let body = json!({ "medium": "email", "address": "alice@example.org" });
    post_as(&server, &token, path, &body).await.ok();
    assert!(id_server.bindings().is_empty());
}

/// DIS-15: with a token, v2 is used. Without a token, v1 is used if the operator has enabled it.
#[tokio::test]
async fn ids_21_v1_is_used_only_if_enabled_and_without_a_token() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_ID_SERVER_API", "v1")]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.session("1", SECRET, "msisdn", "447400123456");
    let body = with(
        bind_request(&id_server, "1"),
        &json!({ "id_access_token": null }),
    );
    post_as(&server, token, PATH, &body).await.ok();
    post_as(&server, token, PATH, &bind_request(&id_server, "1"))
        .await
        .ok();
    assert_eq!(
        id_server.lines(),
        [
            "POST /_matrix/identity/api/v1/3pid/bind",
            "POST /_matrix/identity/v2/3pid/bind"
        ]
    );
    let seen = id_server.requests();
    assert!(!seen[0].headers.contains_key("authorization"));
    let recorded = bindings(&server, "alice");
    assert_eq!(recorded[0].key, "BIND#id.example.org#msisdn#447400123456");
}

#[tokio::test]
async fn identity_server_requests_are_limited() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_LIMITS", "on")]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    for _ in 0..60 {
        let reply = post_as(&server, token, PATH, &bind_request(&id_server, "1")).await;
        reply.error(404, "M_NO_VALID_SESSION");
    }
    post_as(&server, token, PATH, &bind_request(&id_server, "1"))
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(id_server.requests().len(), 60);
}
