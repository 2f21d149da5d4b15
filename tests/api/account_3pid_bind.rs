//! `POST /account/3pid/bind`.

use serde_json::{Value, json};
use test_support::{NOW, PREFIXES, TestServer};

use crate::{
    api::support::{add_appservice, post_as, register_as, rows_of, set_status, text},
    flows::support::{
        identity_server::{IdServer, TOKEN},
        with,
    },
};

const PATH: &str = "/_matrix/client/v3/account/3pid/bind";
const SECRET: &str = "monkeys_are_GREAT";

/// What a client sends to bind this session of this server.
fn wish(id_server: &IdServer, sid: &str) -> Value {
    json!({
        "client_secret": SECRET, "sid": sid,
        "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// The records of bindings under a user, by their sort keys.
fn bindings(server: &TestServer, localpart: &str) -> Vec<(String, Value)> {
    let mut rows = rows_of(server, localpart);
    rows.retain(|(key, _)| key.starts_with("BIND#"));
    rows
}

/// IDS-11: who else has the address is no matter.
#[tokio::test]
async fn ids_10_a_binding_sends_sid_secret_and_user_with_the_clients_own_token() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    for (name, prefix) in ["alice", "bob"].into_iter().zip(PREFIXES) {
        let user = server.sign_up(name).await;
        id_server.session("1981277240", SECRET, "email", "Shared@example.org");
        id_server.clear_requests();
        let path = format!("{prefix}/account/3pid/bind");
        let body = wish(&id_server, "1981277240");
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
async fn ids_12_a_binding_is_recorded_with_what_the_identity_server_answered() {
    let id_server = IdServer::start("id.example.org:8090");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.session("1", SECRET, "email", "Alice@example.org");
    let upper = with(
        wish(&id_server, "1"),
        &json!({ "id_server": "ID.Example.org:8090" }),
    );
    for _ in 0..2 {
        post_as(&server, token, PATH, &upper).await.ok();
    }
    let [(key, row)] = &bindings(&server, "alice")[..] else {
        panic!("one record");
    };
    assert_eq!(key, "BIND#id.example.org:8090#email#Alice@example.org");
    for (name, value) in [
        ("id_server", json!({ "S": "id.example.org:8090" })),
        ("medium", json!({ "S": "email" })),
        ("address", json!({ "S": "Alice@example.org" })),
        ("bound", json!({ "N": NOW.to_string() })),
    ] {
        assert_eq!(row[name], value);
    }
    let dump = server.dump();
    assert!(!dump.contains(SECRET) && !dump.contains(TOKEN));
}

#[tokio::test]
async fn ids_07_errors_of_the_identity_server_are_passed_on_and_record_nothing() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.pending("1", SECRET, "email", "alice@example.org");
    let bind = async |sid| post_as(&server, token, PATH, &wish(&id_server, sid)).await;
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
        // As old ones do.
        ("200 OK", 400, "M_SESSION_EXPIRED"),
    ] {
        id_server.respond_with(line, &json!({ "errcode": errcode, "error": "No" }));
        let body = bind("1").await.error(status, errcode);
        assert_eq!(body["error"], "No");
    }
    // A client takes this one for its own token's end.
    let unknown = json!({ "errcode": "M_UNKNOWN_TOKEN", "error": "No", "soft_logout": true });
    id_server.respond_with("401 Unauthorized", &unknown);
    let body = bind("1").await.error(401, "M_UNAUTHORIZED");
    assert!(body.get("soft_logout").is_none());
    // No more a success than it is a refusal.
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
async fn ids_02_a_server_that_is_not_trusted_is_not_asked() {
    let id_server = IdServer::start("id.example.org");
    let other = IdServer::start("other.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let bind = async |name: Value| {
        let body = with(wish(&id_server, "1"), &json!({ "id_server": name }));
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

/// IDS-03, CVE-2021-29431, CVE-2021-21392: nothing is reached that a trusted name leads to within.
#[tokio::test]
async fn incident_9_a_trusted_name_that_leads_into_an_inner_network_is_not_called() {
    let id_server = IdServer::start("id.example.org");
    let port = id_server.entry();
    let port = port.rsplit(':').next().unwrap_or_default().to_owned();
    let name = format!("localhost:{port}");
    let server = TestServer::with(&[("GATEHOUSE_TRUSTED_ID_SERVERS", &name)]).await;
    let alice = server.sign_up("alice").await;
    server.expect_faults();
    let body = with(wish(&id_server, "1"), &json!({ "id_server": name }));
    let reply = post_as(&server, text(&alice, "access_token"), PATH, &body).await;
    reply.error(502, "M_UNKNOWN");
    assert_eq!(id_server.connections(), 0);
}

#[tokio::test]
async fn ids_01_as_the_service_comes_no_identity_server_is_asked() {
    let id_server = IdServer::start("id.example.org");
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let body = wish(&id_server, "1");
    let reply = post_as(&server, text(&alice, "access_token"), PATH, &body).await;
    reply.error(400, "M_SERVER_NOT_TRUSTED");
}

#[tokio::test]
async fn what_is_missing_or_malformed_is_told_before_anybody_is_asked() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    let whole = wish(&id_server, "1");
    for name in ["client_secret", "sid", "id_server", "id_access_token"] {
        for absent in [None, Some(Value::Null)] {
            let mut body = whole.clone();
            match absent {
                None => drop(body.as_object_mut().and_then(|body| body.remove(name))),
                Some(null) => body[name] = null,
            }
            let reply = post_as(&server, token, PATH, &body).await;
            reply.error(400, "M_MISSING_PARAM");
        }
        let body = with(whole.clone(), &json!({ name: 5 }));
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
        let body = with(whole.clone(), &json!({ name: value }));
        let reply = post_as(&server, token, PATH, &body).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(id_server.requests().is_empty());
}

#[tokio::test]
async fn a_token_of_a_user_is_needed_and_a_guests_is_not_enough() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_GUESTS", "true")]).await;
    let body = wish(&id_server, "1");
    server.post(PATH, &body).await.error(401, "M_MISSING_TOKEN");
    post_as(&server, "junk", PATH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    let guests = "/_matrix/client/v3/register?kind=guest";
    let guest = server.post(guests, &json!({})).await.ok();
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

/// WHO-01: as its own user it has no account to bind anything to.
#[tokio::test]
async fn an_application_service_binds_for_its_users() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    server.sign_up("alice").await;
    id_server.session("1", SECRET, "email", "alice@example.org");
    let body = wish(&id_server, "1");
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

/// DIS-15: a token is worth v2; without one v1 is spoken where that was chosen.
#[tokio::test]
async fn ids_21_v1_is_spoken_only_where_it_was_chosen_and_only_without_a_token() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_ID_SERVER_API", "v1")]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    id_server.session("1", SECRET, "msisdn", "447400123456");
    let body = with(wish(&id_server, "1"), &json!({ "id_access_token": null }));
    post_as(&server, token, PATH, &body).await.ok();
    post_as(&server, token, PATH, &wish(&id_server, "1"))
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
    let keys: Vec<_> = bindings(&server, "alice");
    assert_eq!(keys[0].0, "BIND#id.example.org#msisdn#447400123456");
}

#[tokio::test]
async fn asking_identity_servers_is_limited() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_LIMITS", "on")]).await;
    let alice = server.sign_up("alice").await;
    let token = text(&alice, "access_token");
    for _ in 0..60 {
        let reply = post_as(&server, token, PATH, &wish(&id_server, "1")).await;
        reply.error(404, "M_NO_VALID_SESSION");
    }
    post_as(&server, token, PATH, &wish(&id_server, "1"))
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(id_server.requests().len(), 60);
}
