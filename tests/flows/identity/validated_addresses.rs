//! Addresses that an identity server has validated: their use in UIA stages, and the bindings that a
//! registration creates for them.
use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::flows::support::{
    account_helpers::{OTHER_PASSWORD, PASSWORD_PATH, log_in, sign_up_with, try_login},
    at_once,
    identity_server::{IdServer, Misbehaviour, TOKEN},
    registration, tally,
    threepid_helpers::{ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, owned, request_mail},
    with,
};

const DELEGATED: (&str, &str) = ("GATEHOUSE_THREEPID_VALIDATION", "delegated");
const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn",
);
pub(super) const SECRET: &str = "monkeys_are_GREAT";

/// A server that delegates validation to these identity servers and validates everything else
/// itself.
pub(super) async fn test_server(servers: &[&IdServer], settings: &[(&str, &str)]) -> TestServer {
    IdServer::test_server(
        servers,
        &[&[DELEGATED, FLOWS, MAIL, SMS], settings].concat(),
    )
    .await
}

/// The credentials of a session at the identity server.
fn creds(id_server: &IdServer, sid: &str) -> Value {
    json!({
        "sid": sid, "client_secret": SECRET,
        "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// A body that attempts a stage with these credentials.
pub(super) fn attempt(stage: &str, creds: &Value, session: Option<&str>) -> Value {
    let mut body = json!({ "auth": { "type": stage, "threepid_creds": creds } });
    if let Some(session) = session {
        body["auth"]["session"] = session.into();
    }
    body
}

/// Sends a registration in one request, with the credentials of a session.
async fn sign_up(server: &TestServer, name: &str, creds: &Value, further: &Value) -> Reply {
    let body = with(registration(name), &attempt(EMAIL, creds, None));
    server.register(&with(body, further)).await
}

#[tokio::test]
async fn ids_09_an_address_validated_by_an_id_server_is_accepted() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    let path = "/_matrix/client/v3/register/email/requestToken";
    let validation = json!({
        "client_secret": SECRET, "send_attempt": 1, "email": ALICE,
        "id_server": id_server.name, "id_access_token": TOKEN,
    });
    let sid = server.post(path, &validation).await.ok()["sid"].clone();
    let creds = creds(&id_server, sid.as_str().unwrap());
    let (_, session) = server.begin(&registration("alice")).await;
    id_server.clear_requests();
    let body = attempt(EMAIL, &creds, Some(&session));
    server.register(&body).await.refused("M_UNAUTHORIZED");
    let line = format!(
        "GET /_matrix/identity/v2/3pid/getValidated3pid?sid={}&client_secret={SECRET}",
        sid.as_str().unwrap()
    );
    assert_eq!(id_server.lines(), [line]);
    let authorization = &id_server.requests()[0].headers["authorization"];
    assert_eq!(*authorization, format!("Bearer {TOKEN}"));
    id_server.validate(sid.as_str().unwrap());
    // A request that attempts no stage causes another check (UIA-18).
    let session_alone = json!({ "auth": { "session": session } });
    let done = server.register(&session_alone).await.ok();
    assert_eq!(done["user_id"], "@alice:localhost");
    let own = (format!("email#{ALICE}"), "alice".to_owned());
    assert_eq!(owned(&server), [own].into());
    for secret in [SECRET, TOKEN] {
        assert!(!server.dump().contains(secret));
    }
}

/// IDS-09: old identity servers send a 200 with an error in the body.
#[tokio::test]
async fn ids_09_no_other_response_validates_anything() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    let validated =
        json!({ "medium": "email", "address": ALICE, "validated_at": 1_799_999_000_000_i64 });
    let mut answers: Vec<(&'static str, Value)> = [
        ("400 Bad Request", "M_SESSION_NOT_VALIDATED"),
        ("400 Bad Request", "M_SESSION_EXPIRED"),
        ("404 Not Found", "M_NO_VALID_SESSION"),
        ("401 Unauthorized", "M_UNAUTHORIZED"),
        ("200 OK", "M_SESSION_NOT_VALIDATED"),
        ("200 OK", "M_NO_VALID_SESSION"),
    ]
    .map(|(line, errcode)| (line, json!({ "errcode": errcode, "error": "No" })))
    .to_vec();
    for (name, value) in [
        ("medium", json!(null)),
        ("medium", json!("msisdn")),
        ("medium", json!("pigeon")),
        ("address", json!("no mailbox")),
        ("address", json!("me@evil.com@b.c")),
        ("address", json!(null)),
        ("validated_at", json!(null)),
        ("validated_at", json!("yesterday")),
        // More than a day ago.
        ("validated_at", json!(1_799_913_000_000_i64)),
        ("errcode", json!("M_UNKNOWN")),
    ] {
        answers.push(("200 OK", with(validated.clone(), &json!({ name: value }))));
    }
    answers.push(("302 Found\r\nlocation: /elsewhere", validated.clone()));
    answers.push(("500 Internal Server Error", validated.clone()));
    for (line, answer) in answers {
        id_server.respond_with(line, &answer);
        let reply = sign_up(&server, "alice", &creds(&id_server, "1"), &json!({})).await;
        let body = reply.refused("M_UNAUTHORIZED");
        assert_eq!(body["completed"], json!([]), "{line} {answer}");
    }
    assert!(owned(&server).is_empty());
    id_server.respond_with("200 OK", &validated);
    sign_up(&server, "alice", &creds(&id_server, "1"), &json!({}))
        .await
        .ok();
}

/// IDS-02: the identity server of an attacker would confirm any address.
#[tokio::test]
async fn ids_08_an_untrusted_identity_server_is_not_asked() {
    let [id_server, attackers] = ["id.example.org", "attacker.example"].map(IdServer::start);
    let server = test_server(&[&id_server], &[]).await;
    for (sid, at) in [("1", &id_server), ("2", &attackers)] {
        at.session(sid, SECRET, "email", ALICE);
    }
    let refused = |reply: Reply| {
        let body = reply.refused("M_SERVER_NOT_TRUSTED");
        assert_eq!(body["completed"], json!([]));
    };
    let inner = attackers.entry();
    let inner = inner.split("://").nth(1).unwrap();
    for name in [
        "attacker.example",
        inner,
        "id.example.org@attacker.example",
        "",
    ] {
        let creds = with(creds(&attackers, "2"), &json!({ "id_server": name }));
        refused(sign_up(&server, "alice", &creds, &json!({})).await);
        // The same credentials in the other spelling, in a list.
        let creds = json!([{ "sid": "2", "clientSecret": SECRET, "idServer": name, "idAccessToken": TOKEN }]);
        let body = json!({ "auth": { "type": EMAIL, "threepidCreds": creds } });
        refused(server.register(&with(registration("alice"), &body)).await);
    }
    // Without a token or a server, no identity server is called either.
    let without = |name: &str| with(creds(&id_server, "1"), &json!({ name: null }));
    sign_up(&server, "alice", &without("id_access_token"), &json!({}))
        .await
        .refused("M_MISSING_PARAM");
    for creds in [
        without("id_server"),
        with(creds(&id_server, "1"), &json!({ "sid": "1&sid=2" })),
        with(creds(&id_server, "1"), &json!({ "client_secret": "a b" })),
    ] {
        sign_up(&server, "alice", &creds, &json!({}))
            .await
            .refused("M_UNAUTHORIZED");
    }
    assert!(id_server.requests().is_empty() && attackers.requests().is_empty());
    assert!(owned(&server).is_empty());
}

/// IDS-01, UIA-52
#[tokio::test]
async fn ids_08_without_delegation_no_other_server_counts() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[FLOWS, MAIL, SMS]).await;
    id_server.session("1", SECRET, "email", ALICE);
    sign_up(&server, "alice", &creds(&id_server, "1"), &json!({}))
        .await
        .refused("M_UNAUTHORIZED");
    assert!(id_server.requests().is_empty());
}

/// A session of this server is not looked up at an identity server, even if the request names one.
#[tokio::test]
async fn ids_08_a_session_of_this_server_is_checked_locally() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    let validation = request_mail(&server, ALICE, SECRET).await;
    validation.validate(&server).await;
    sign_up(
        &server,
        "alice",
        &creds(&id_server, &validation.sid),
        &json!({}),
    )
    .await
    .ok();
    assert!(id_server.requests().is_empty());
}

/// UIA-54: the test sends twenty concurrent requests, and another one later.
#[tokio::test]
async fn ids_09_a_session_of_an_id_server_makes_one_account() {
    let id_server = IdServer::start("id.example.org");
    let server = Arc::new(test_server(&[&id_server], &[]).await);
    id_server.session("1", SECRET, "email", ALICE);
    let creds = Arc::new(creds(&id_server, "1"));
    let replies = at_once(20, |number| {
        let (server, creds) = (Arc::clone(&server), Arc::clone(&creds));
        async move { sign_up(&server, &format!("alice{number}"), &creds, &json!({})).await }
    })
    .await;
    let counted = tally(&replies);
    assert_eq!(counted[&(200, String::new())], 1, "{counted:?}");
    assert!(
        counted.keys().all(|(status, _)| *status < 500),
        "{counted:?}"
    );
    // The identity server now returns another address for the same session, which a correct
    // server never does.
    id_server.session("1", SECRET, "email", "other@example.org");
    sign_up(&server, "bob", &creds, &json!({}))
        .await
        .refused("M_UNAUTHORIZED");
    assert_eq!(owned(&server).len(), 1);
    let rows = server.local.dynamodb().table("Proofs").unwrap();
    assert_eq!(rows.len(), 2);
    let keys = rows.iter().map(|row| row["pk"]["S"].as_str().unwrap());
    assert!(keys.into_iter().all(|key| key.starts_with("IDSERVER#")));
}

#[tokio::test]
async fn ids_09_sessions_of_two_servers_with_one_id_are_two() {
    let [first, second] = ["one.example", "two.example"].map(IdServer::start);
    let server = test_server(&[&first, &second], &[]).await;
    for (id_server, name) in [(&first, "alice"), (&second, "bob")] {
        let address = format!("{name}@example.org");
        id_server.session("1", SECRET, "email", &address);
        sign_up(&server, name, &creds(id_server, "1"), &json!({}))
            .await
            .ok();
    }
    assert_eq!(owned(&server).len(), 2);
}

#[tokio::test]
async fn ids_09_a_taken_address_is_disclosed_after_validation() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    id_server.session("1", SECRET, "email", "ALICE@example.org");
    sign_up(&server, "bob", &creds(&id_server, "1"), &json!({}))
        .await
        .error(400, "M_THREEPID_IN_USE");
}

/// PWD-15: the address is a phone number. The session is spent afterwards.
#[tokio::test]
async fn ids_09_a_session_of_an_id_server_resets_a_password_once() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    sign_up_with(&server, "alice", MSISDN, NUMBER.0).await;
    id_server.session("1", SECRET, "msisdn", NUMBER.1);
    let reset = async |password: &str| {
        let body = attempt(MSISDN, &creds(&id_server, "1"), None);
        let body = with(body, &json!({ "new_password": password }));
        server.post(PASSWORD_PATH, &body).await
    };
    reset(OTHER_PASSWORD).await.ok();
    log_in(&server, "alice", OTHER_PASSWORD).await;
    reset(PASSWORD).await.refused("M_UNAUTHORIZED");
    try_login(&server, "alice", PASSWORD)
        .await
        .error(403, "M_FORBIDDEN");
}

/// DIS-03: without a request of the client, the address is not bound.
#[tokio::test]
async fn reg_26_an_address_is_bound_if_the_client_asks_for_it() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    for (name, further, bound) in [
        ("alice", json!({ "bind_email": true }), true),
        (
            "bob",
            json!({ "bind_email": false, "bind_msisdn": true }),
            false,
        ),
        ("carol", json!({}), false),
    ] {
        let address = format!("{name}@example.org");
        id_server.session(name, SECRET, "email", &address);
        id_server.clear_requests();
        sign_up(&server, name, &creds(&id_server, name), &further)
            .await
            .ok();
        let lines = id_server.lines();
        assert_eq!(
            lines.contains(&"POST /_matrix/identity/v2/3pid/bind".to_owned()),
            bound,
            "{lines:?}"
        );
        let key = format!("BIND#id.example.org#email#{address}");
        assert_eq!(server.dump().contains(&key), bound, "IDS-12");
    }
    assert_eq!(
        id_server.bindings(),
        ["email alice@example.org @alice:localhost"]
    );
}

#[tokio::test]
async fn reg_26_in_the_r0_form_no_token_is_needed() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[("GATEHOUSE_ID_SERVER_API", "v1")]).await;
    id_server.session("1", SECRET, "email", ALICE);
    let creds = with(creds(&id_server, "1"), &json!({ "id_access_token": null }));
    sign_up(&server, "alice", &creds, &json!({ "bind_email": true }))
        .await
        .ok();
    let lines: Vec<_> = id_server.lines();
    assert!(lines[0].starts_with("GET /_matrix/identity/api/v1/3pid/getValidated3pid?"));
    assert_eq!(lines[1], "POST /_matrix/identity/api/v1/3pid/bind");
}

/// A session of this server exists at no identity server, so it is sent to none.
#[tokio::test]
async fn reg_26_a_session_of_this_server_is_bound_nowhere() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    let validation = request_mail(&server, ALICE, SECRET).await;
    validation.validate(&server).await;
    let creds = creds(&id_server, &validation.sid);
    sign_up(&server, "alice", &creds, &json!({ "bind_email": true }))
        .await
        .ok();
    assert!(id_server.requests().is_empty());
}

/// The account is created, independent of the result of the binding.
#[tokio::test]
async fn reg_26_a_failed_binding_does_not_prevent_registration() {
    for misbehaviour in [
        Misbehaviour::Responds("500 Internal Server Error", "{}".to_owned()),
        Misbehaviour::Responds(
            "400 Bad Request",
            r#"{"errcode":"M_SESSION_EXPIRED"}"#.to_owned(),
        ),
        Misbehaviour::Hangs,
    ] {
        let id_server = IdServer::start("id.example.org");
        let server = test_server(&[&id_server], &[]).await;
        id_server.session("1", SECRET, "email", ALICE);
        id_server.set_misbehaviour_at("3pid/bind", misbehaviour);
        sign_up(
            &server,
            "alice",
            &creds(&id_server, "1"),
            &json!({ "bind_email": true }),
        )
        .await
        .ok();
        assert_eq!(
            id_server.requests().len(),
            2,
            "one call for the validation and one for the binding"
        );
        assert!(id_server.bindings().is_empty());
        assert!(!server.dump().contains("BIND#"));
    }
}

/// L6, 3PID-49: a validation from more than a day ago is not accepted.
#[tokio::test]
async fn ids_09_a_session_of_an_identity_server_expires() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    id_server.session("1", SECRET, "email", ALICE);
    server.advance(Duration::from_hours(24));
    sign_up(&server, "alice", &creds(&id_server, "1"), &json!({}))
        .await
        .refused("M_UNAUTHORIZED");
}
