//! `GET` and `POST /login`.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use super::support::{masked, register_guest, whoami_as};

const LOGIN: &str = "/_matrix/client/v3/login";

/// A password login with this identifier.
fn login_by(identifier: &Value, password: &str) -> Value {
    json!({ "type": "m.login.password", "identifier": identifier, "password": password })
}

fn user_id(user: &str) -> Value {
    json!({ "type": "m.id.user", "user": user })
}

async fn log_in(server: &TestServer, body: &Value) -> Reply {
    server.post(LOGIN, body).await
}

/// A server with an account that was registered with an e-mail address and a phone number.
async fn with_addresses() -> TestServer {
    let flows = "m.login.email.identity+m.login.msisdn";
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION_FLOWS", flows)]).await;
    let mail = json!({ "client_secret": "s", "email": "alice@example.org", "send_attempt": 1 });
    let mail = server
        .post("/_matrix/client/v3/register/email/requestToken", &mail)
        .await
        .ok();
    let phone = json!({ "client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1 });
    let phone = server
        .post("/_matrix/client/v3/register/msisdn/requestToken", &phone)
        .await
        .ok();
    server.deliver().await;
    for message in server.messages() {
        if let Some(link) = message.links().next() {
            let (page, query) = link.split_once('?').unwrap();
            let path = page.replace("submitToken", "confirm");
            let path = &path[path.find("/_matrix").unwrap()..];
            let form = format!("{query}&action=confirm");
            let request = Request::post(path).body(form.into_bytes()).unwrap();
            assert_eq!(server.send(request).await.status, 200);
        } else {
            let code = &message.text[message.text.len() - 6..];
            let body = json!({ "sid": phone["sid"], "client_secret": "s", "token": code });
            server
                .post("/_matrix/client/v3/validate/msisdn/submitToken", &body)
                .await
                .ok();
        }
    }
    let (_, session) = server
        .begin(&json!({ "username": "alice", "password": PASSWORD }))
        .await;
    let stage = |kind: &str, sid: &Value| json!({ "auth": { "type": kind, "session": session, "threepid_creds": { "sid": sid, "client_secret": "s" } } });
    server
        .register(&stage("m.login.email.identity", &mail["sid"]))
        .await
        .challenge();
    server
        .register(&stage("m.login.msisdn", &phone["sid"]))
        .await
        .ok();
    server
}

#[tokio::test]
async fn login_01_the_login_types_are_listed() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        let answer = server.get(&format!("{prefix}/login")).await.ok();
        let flows = answer["flows"].as_array().unwrap();
        let kinds: Vec<_> = flows.iter().map(|flow| &flow["type"]).collect();
        assert_eq!(kinds, ["m.login.password", "m.login.application_service"]);
    }
}

/// A keyboard's completion adds a space, and copied text has marks of its direction.
#[tokio::test]
async fn login_02_white_space_around_an_identifier_is_ignored() {
    let server = with_addresses().await;
    let threepid = |medium: &str, address: &str| json!({ "type": "m.id.thirdparty", "medium": medium, "address": address });
    let phone = |country: &str, phone: &str| json!({ "type": "m.id.phone", "country": country, "phone": phone });
    for identifier in [
        user_id(" alice "),
        user_id("@alice:localhost\n"),
        threepid("email", " alice@example.org"),
        threepid("email", "Alice@Example.org \u{200b}"),
        threepid("msisdn", " 447400123456 "),
        threepid("msisdn", "+44\u{a0}7400\u{a0}123456"),
        phone("gb", "07400 123456"),
        phone("GB", "\u{202a}+447400123456\u{202c}"),
        phone("GB", "tel:+44-7400-123456"),
        phone(
            "GB",
            "\u{660}\u{667}\u{664}\u{660}\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
        ),
    ] {
        let reply = log_in(&server, &login_by(&identifier, PASSWORD)).await;
        assert_eq!(reply.status, 200, "{identifier}: {}", reply.text());
        assert_eq!(reply.ok()["user_id"], "@alice:localhost");
    }
}

#[tokio::test]
async fn login_02_an_unknown_type_is_m_unknown() {
    let server = TestServer::new().await;
    for body in [
        json!({ "type": "x" }),
        json!({ "type": "x", "device_id": 5, "refresh_token": "yes" }),
    ] {
        log_in(&server, &body).await.error(400, "M_UNKNOWN");
    }
    for (identifier, missing) in [
        (json!({ "medium": "email" }), "`address`"),
        (
            json!({ "type": "m.id.thirdparty", "medium": "email" }),
            "`address`",
        ),
        (json!({ "address": "a@example.org" }), "`medium`"),
        (json!({ "type": "m.id.thirdparty" }), "`medium`"),
        (json!({}), "`type`"),
    ] {
        let body = log_in(&server, &login_by(&identifier, "x"))
            .await
            .error(400, "M_MISSING_PARAM");
        assert!(
            body["error"].as_str().unwrap().starts_with(missing),
            "{body}"
        );
    }
    for body in [
        json!({}),
        json!({ "type": "m.login.password" }),
        json!({ "type": "m.login.password", "identifier": user_id("alice") }),
        json!({ "type": "m.login.password", "password": "x" }),
        json!({ "type": "m.login.password", "password": "x", "identifier": { "type": "m.id.user" } }),
        json!({ "type": "m.login.password", "password": "x", "identifier": { "type": "m.id.phone", "country": "GB" } }),
    ] {
        log_in(&server, &body).await.error(400, "M_MISSING_PARAM");
    }
    for body in [
        json!({ "type": 5 }),
        json!({ "type": "m.login.password", "identifier": "alice", "password": "x" }),
        json!({ "type": "m.login.password", "identifier": user_id("alice"), "password": 5 }),
        json!({ "type": "m.login.password", "identifier": user_id("alice"), "password": "x", "refresh_token": "yes" }),
    ] {
        log_in(&server, &body).await.error(400, "M_BAD_JSON");
    }
    let identifier = json!({ "type": "m.id.other" });
    log_in(&server, &login_by(&identifier, "x"))
        .await
        .error(400, "M_INVALID_PARAM");
}

/// REG-17, TOK-16
#[tokio::test]
async fn login_03_a_login_returns_user_device_and_token() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let mut answers = Vec::new();
    for prefix in PREFIXES {
        let body = login_by(&user_id("alice"), PASSWORD);
        let answer = server.post(&format!("{prefix}/login"), &body).await.ok();
        answers.push(masked(&answer, &["access_token", "device_id"]));
        let own = whoami_as(&server, &answer).await.ok();
        assert_eq!(own["device_id"], answer["device_id"]);
    }
    assert_eq!(answers[0], answers[1]);
    insta::assert_snapshot!(answers[0], @r#"
    {
      "access_token": "[access_token]",
      "device_id": "[device_id]",
      "home_server": "localhost",
      "user_id": "@alice:localhost"
    }
    "#);
    let mut body = login_by(&user_id("alice"), PASSWORD);
    body["refresh_token"] = true.into();
    body["device_id"] = "PHONE".into();
    let answer = log_in(&server, &body).await.ok();
    insta::assert_snapshot!(masked(&answer, &["access_token", "refresh_token"]), @r#"
    {
      "access_token": "[access_token]",
      "device_id": "PHONE",
      "home_server": "localhost",
      "refresh_token": "[refresh_token]",
      "user_id": "@alice:localhost"
    }
    "#);
}

/// UIA-41, UIA-42, UIA-43, UIA-44.
#[tokio::test]
async fn login_04_every_form_of_identifier_names_its_user() {
    let server = with_addresses().await;
    let mail =
        json!({ "type": "m.id.thirdparty", "medium": "email", "address": "Alice@EXAMPLE.org" });
    let number =
        json!({ "type": "m.id.thirdparty", "medium": "msisdn", "address": "447400123456" });
    let phone = json!({ "type": "m.id.phone", "country": "GB", "phone": "07400 123456" });
    let old_phone = json!({ "type": "m.id.phone", "country": "US", "number": "+44 7400 123456" });
    let untyped = json!({ "medium": "email", "address": "alice@example.org" });
    for identifier in [
        user_id("alice"),
        user_id("ALICE"),
        user_id("@alice:localhost"),
        mail,
        number,
        phone,
        old_phone,
        untyped,
    ] {
        let answer = log_in(&server, &login_by(&identifier, PASSWORD)).await.ok();
        assert_eq!(answer["user_id"], "@alice:localhost", "{identifier}");
        log_in(&server, &login_by(&identifier, "wrong"))
            .await
            .error(403, "M_FORBIDDEN");
    }
    for legacy in [
        json!({ "user": "alice" }),
        json!({ "medium": "email", "address": "alice@example.org" }),
    ] {
        let mut body = json!({ "type": "m.login.password", "password": PASSWORD });
        body.as_object_mut()
            .unwrap()
            .extend(legacy.as_object().unwrap().clone());
        assert_eq!(
            log_in(&server, &body).await.ok()["user_id"],
            "@alice:localhost"
        );
    }
}

#[tokio::test]
async fn login_04_unknown_users_look_like_wrong_passwords() {
    let server = with_addresses().await;
    let guess = async |identifier: Value| {
        let (reply, calls) = server
            .calls_of(log_in(&server, &login_by(&identifier, "wrong")))
            .await;
        let calls: Vec<_> = calls
            .iter()
            .map(|call| (call.operation.clone(), call.tables.clone()))
            .collect();
        (reply.error(403, "M_FORBIDDEN"), calls)
    };
    let known = guess(user_id("alice")).await;
    for identifier in [
        "bob",
        "@alice:elsewhere.example",
        "not a name",
        "",
        "@alice",
    ] {
        assert_eq!(guess(user_id(identifier)).await, known, "{identifier}");
    }
    let address =
        |address: &str| json!({ "type": "m.id.thirdparty", "medium": "email", "address": address });
    let known = guess(address("alice@example.org")).await;
    assert_eq!(guess(address("bob@example.org")).await, known);
}

#[tokio::test]
async fn login_04_an_account_without_a_password_cannot_log_in() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = register_guest(&server).await;
    let name = guest["user_id"].as_str().unwrap();
    for password in ["", "x", "guest", "$argon2id$v=19$m=8,t=1,p=1$"] {
        log_in(&server, &login_by(&user_id(name), password))
            .await
            .error(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn tok_09_a_login_with_a_known_device_ends_its_old_token() {
    let server = TestServer::new().await;
    let first = server.sign_up("alice").await;
    let mut body = login_by(&user_id("alice"), PASSWORD);
    body["device_id"] = first["device_id"].clone();
    let second = log_in(&server, &body).await.ok();
    whoami_as(&server, &first)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    whoami_as(&server, &second).await.ok();
}

#[tokio::test]
async fn guesses_are_limited_and_right_passwords_are_not() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    server.sign_up("alice").await;
    for _ in 0..15 {
        log_in(&server, &login_by(&user_id("alice"), PASSWORD))
            .await
            .ok();
        server.advance(std::time::Duration::from_secs(30));
    }
    let mut refused = 0;
    for _ in 0..12 {
        let reply = log_in(&server, &login_by(&user_id("alice"), "wrong")).await;
        refused += u32::from(reply.status == 429);
        server.advance(std::time::Duration::from_secs(3));
    }
    assert!(refused > 0, "no wrong password was limited");
}
