//! Rows that version 0.1.0 wrote, read by this version.
//!
//! `fixtures/rows-0.1.0.json` holds every row of all tables after a fixed sequence of requests to
//! version 0.1.0, and the tokens, sessions and responses that its clients had then. Functions are
//! deployed one by one, so this version must continue every session that the previous version started.
#![expect(
    clippy::expect_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

const V3: &str = "/_matrix/client/v3";

/// A server with the rows of version 0.1.0, and the values that the clients of that version hold.
async fn previous_version() -> (TestServer, Value) {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/rows-0.1.0.json"))
        .expect("the fixture is JSON");
    let clients = fixture["clients"].clone();
    let settings: Vec<(&str, &str)> = clients["settings"]
        .as_array()
        .expect("settings")
        .iter()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect();
    let server = TestServer::with(&settings).await;
    for (table, rows) in fixture["tables"].as_object().expect("tables") {
        for row in rows.as_array().expect("rows") {
            server.raw_dynamodb("PutItem", &json!({ "TableName": table, "Item": row }));
        }
    }
    (server, clients)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

async fn post_as(server: &TestServer, token: &Value, path: &str, body: &Value) -> Reply {
    let request = Request::post(format!("{V3}{path}"))
        .header("authorization", format!("Bearer {}", text(token)))
        .header("content-type", "application/json");
    let request = request.body(body.to_string().into_bytes());
    server.send(request.expect("a request")).await
}

async fn post(server: &TestServer, path: &str, body: &Value) -> Reply {
    server.post(&format!("{V3}{path}"), body).await
}

async fn confirm(server: &TestServer, link: &Value) -> Reply {
    let request = Request::post(format!("{V3}/validate/email/confirm"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(text(link).as_bytes().to_vec());
    server.send(request.expect("a request")).await
}

fn login(user: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": user },
    })
}

fn password_stage(user: &str, session: &Value) -> Value {
    let mut auth = login(user, PASSWORD);
    auth["session"] = session.clone();
    auth
}

fn validated(validation: &Value, stage: &str) -> Value {
    let credentials = json!({
        "sid": validation["sid"], "client_secret": validation["client_secret"],
    });
    json!({ "type": stage, "threepid_creds": credentials })
}

/// A registration with a validated address.
fn sign_up(name: &str, validation: &Value, stage: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "auth": validated(validation, stage) })
}

#[tokio::test]
async fn accounts_devices_and_tokens_stay_valid() {
    let (server, clients) = previous_version().await;
    let second = &clients["alice_second"]["access_token"];
    let devices = server
        .get_as(text(second), &format!("{V3}/devices"))
        .await
        .ok();
    let mut ids: Vec<_> = devices["devices"]
        .as_array()
        .expect("devices")
        .iter()
        .map(|device| (text(&device["device_id"]), device["display_name"].as_str()))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [("LAPTOP", None), ("PHONE", Some("Alice's phone"))]);
    // The response to the refresh may have been lost: the same request has the same response.
    let refresh = json!({ "refresh_token": clients["alice"]["refresh_token"] });
    let refreshed = post(&server, "/refresh", &refresh).await.ok();
    assert_eq!(refreshed, clients["refresh_answer"]);
    let next = json!({ "refresh_token": refreshed["refresh_token"] });
    post(&server, "/refresh", &next).await.ok();
    post(&server, "/login", &login("alice", PASSWORD))
        .await
        .ok();
    let by_mail = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": "bob@example.org" },
    });
    post(&server, "/login", &by_mail).await.ok();
    post(&server, "/login", &login("erin", "walnut 3 harbour comet"))
        .await
        .ok();
    post(&server, "/login", &login("gone", PASSWORD))
        .await
        .error(403, "M_FORBIDDEN");
    let list = format!("{V3}/account/3pid");
    let addresses = server
        .get_as(text(&clients["bob"]["access_token"]), &list)
        .await
        .ok();
    assert_eq!(addresses["threepids"][0]["address"], "bob@example.org");
    post(&server, "/login", &login("locked", PASSWORD))
        .await
        .error(401, "M_USER_LOCKED");
}

#[tokio::test]
async fn finished_requests_have_the_same_answer_when_repeated() {
    let (server, clients) = previous_version().await;
    let sign_up = &clients["finished_sign_up"];
    let answer = post(&server, "/register", &sign_up["request"]).await.ok();
    assert_eq!(answer, sign_up["answer"]);
    for (name, path) in [
        ("finished_change", "/account/password"),
        ("finished_deactivation", "/account/deactivate"),
    ] {
        let finished = &clients[name];
        let reply = post_as(&server, &finished["token"], path, &finished["request"]).await;
        assert_eq!(reply.ok(), finished["answer"], "{name}");
    }
}

#[tokio::test]
async fn open_sessions_are_completed() {
    let (server, clients) = previous_version().await;
    let session = &clients["open_sign_up"];
    let last = json!({ "auth": { "type": "m.login.dummy", "session": session } });
    let carol = post(&server, "/register", &last).await.ok();
    assert_eq!(carol["user_id"], "@carol:localhost");
    let token = &clients["alice_second"]["access_token"];
    let body = json!({ "auth": password_stage("alice", &clients["open_deletion"]) });
    let request = Request::delete(format!("{V3}/devices/PHONE"))
        .header("authorization", format!("Bearer {}", text(token)))
        .body(body.to_string().into_bytes());
    server.send(request.expect("a request")).await.ok();
    let body = json!({
        "new_password": "walnut 3 harbour comet",
        "auth": password_stage("alice", &clients["open_change"]),
    });
    post_as(&server, token, "/account/password", &body)
        .await
        .ok();
    post(&server, "/login", &login("alice", "walnut 3 harbour comet"))
        .await
        .ok();
}

#[tokio::test]
async fn validation_sessions_are_validated_and_used() {
    let (server, clients) = previous_version().await;
    let frank = sign_up("frank", &clients["validated"], "m.login.msisdn");
    post(&server, "/register", &frank).await.ok();
    // This version also opens the sealed `next_link`.
    let reply = confirm(&server, &clients["sent"]["link"]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let location = reply.headers["location"].to_str().expect("a URL");
    assert!(
        location.starts_with("https://app.example.org/next"),
        "{location}"
    );
    let grace = sign_up("grace", &clients["sent"], "m.login.email.identity");
    post(&server, "/register", &grace).await.ok();
    let reply = confirm(&server, &clients["reset"]["link"]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reset = json!({
        "new_password": "walnut 3 harbour comet",
        "auth": validated(&clients["reset"], "m.login.email.identity"),
    });
    post(&server, "/account/password", &reset).await.ok();
    post(&server, "/login", &login("bob", "walnut 3 harbour comet"))
        .await
        .ok();
}

#[tokio::test]
async fn queued_messages_are_sent() {
    let (server, clients) = previous_version().await;
    server.run_schedule().await;
    let message = server.messages().pop().expect("a mail");
    assert_eq!(message.to, "heidi@example.org");
    let link = message
        .links()
        .next()
        .expect("a link")
        .split_once('?')
        .expect("a query")
        .1
        .to_owned();
    let reply = confirm(&server, &link.into()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let heidi = sign_up("heidi", &clients["queued"], "m.login.email.identity");
    post(&server, "/register", &heidi).await.ok();
}

#[tokio::test]
async fn registration_tokens_and_application_services_are_known() {
    let (server, clients) = previous_version().await;
    let path = format!(
        "/_matrix/client/v1/register/m.login.registration_token/validity?token={}",
        text(&clients["registration_token"])
    );
    assert_eq!(server.get(&path).await.ok(), json!({ "valid": true }));
    let bridged = json!({ "type": "m.login.application_service", "username": "irc_ivan" });
    let reply = post_as(&server, &clients["as_token"], "/register", &bridged).await;
    assert_eq!(reply.ok()["user_id"], "@irc_ivan:localhost");
    let taken = json!({ "username": "irc_judy", "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    post(&server, "/register", &taken)
        .await
        .error(400, "M_EXCLUSIVE");
}
