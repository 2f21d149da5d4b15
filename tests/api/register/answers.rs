//! Successful responses.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::api::{
    rows::devices,
    support::{WHOAMI, dummy_registration, masked, text, whoami, with},
};

fn members(answer: &Value) -> Vec<&str> {
    let members = answer.as_object().into_iter().flatten();
    members.map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn reg_21_a_user_registers_in_one_request() {
    let server = TestServer::new().await;
    let mut answers = Vec::new();
    for (prefix, name) in PREFIXES.into_iter().zip(["alice", "bob"]) {
        let body = dummy_registration(name);
        let reply = server.post(&format!("{prefix}/register"), &body).await;
        let answer = reply.ok();
        assert_eq!(answer["user_id"], format!("@{name}:localhost"));
        answers.push(masked(&answer, &["access_token", "device_id", "user_id"]));
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(
            me,
            json!({ "user_id": answer["user_id"], "device_id": answer["device_id"], "is_guest": false })
        );
    }
    assert_eq!(answers[0], answers[1]);
    insta::assert_snapshot!(answers[0], @r#"
    {
      "access_token": "[access_token]",
      "device_id": "[device_id]",
      "home_server": "localhost",
      "user_id": "[user_id]"
    }
    "#);
}

/// UIA-03, UIA-04, UIA-05: the registration has several flows.
#[tokio::test]
async fn uia_02_a_registration_begins_with_a_challenge() {
    let flows = "m.login.registration_token+m.login.dummy m.login.terms";
    let server = TestServer::with(&[
        ("GATEHOUSE_REGISTRATION_FLOWS", flows),
        (
            "GATEHOUSE_TERMS",
            r#"{"privacy":{"version":"1.2","en":{"name":"Privacy","url":"https://example.org/en"}}}"#,
        ),
    ])
    .await;
    let (challenge, _) = server.begin(&json!({ "username": "alice" })).await;
    insta::assert_snapshot!(masked(&challenge, &["session"]), @r#"
    {
      "completed": [],
      "flows": [
        {
          "stages": [
            "m.login.registration_token",
            "m.login.dummy"
          ]
        },
        {
          "stages": [
            "m.login.terms"
          ]
        }
      ],
      "params": {
        "m.login.terms": {
          "policies": {
            "privacy": {
              "en": {
                "name": "Privacy",
                "url": "https://example.org/en"
              },
              "version": "1.2"
            }
          }
        }
      },
      "session": "[session]"
    }
    "#);
}

/// TOK-16, TOK-12: the response contains a refresh token only on request, and `expires_in_ms` only
/// if the token expires.
#[tokio::test]
async fn tok_16_a_refresh_token_is_given_on_request() {
    let server = TestServer::with(&[("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "5m")]).await;
    let sign_up = async |name: &str, wants_refresh: Value| {
        let body = with(
            dummy_registration(name),
            &json!({ "refresh_token": wants_refresh }),
        );
        server.register(&body).await.ok()
    };
    for (name, wants_refresh) in [("a", json!(false)), ("b", json!(null))] {
        let answer = sign_up(name, wants_refresh).await;
        assert_eq!(
            members(&answer),
            ["access_token", "device_id", "home_server", "user_id"]
        );
    }
    let answer = sign_up("c", json!(true)).await;
    assert_eq!(answer["expires_in_ms"], 300_000);
    let (access, refresh) = (
        text(&answer, "access_token"),
        text(&answer, "refresh_token"),
    );
    assert_ne!(access, refresh);
    assert_eq!(
        whoami(&server, access).await["device_id"],
        answer["device_id"]
    );
    server
        .get_as(refresh, WHOAMI)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    server.advance(Duration::from_mins(5));
    let expired = server.get_as(access, WHOAMI).await;
    assert_eq!(expired.error(401, "M_UNKNOWN_TOKEN")["soft_logout"], true);
}

#[tokio::test]
async fn tok_16_a_refreshable_token_that_never_expires_says_so() {
    let server = TestServer::new().await;
    let body =
        json!({ "password": PASSWORD, "refresh_token": true, "auth": { "type": "m.login.dummy" } });
    let answer = server.register(&body).await.ok();
    assert_eq!(
        members(&answer),
        [
            "access_token",
            "device_id",
            "home_server",
            "refresh_token",
            "user_id"
        ]
    );
}

/// TOK-18: the tables contain only hashes.
#[tokio::test]
async fn tok_18_tokens_are_neither_cached_nor_stored() {
    let server = TestServer::new().await;
    let body = with(
        dummy_registration("alice"),
        &json!({ "refresh_token": true }),
    );
    let reply = server.register(&body).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    let answer = reply.ok();
    let dump = server.dump();
    for member in ["access_token", "refresh_token"] {
        assert!(!dump.contains(text(&answer, member)), "{member} is stored");
    }
    assert!(!dump.contains(PASSWORD));
    let [device] = &devices(&server, "alice")[..] else {
        panic!("one device");
    };
    let refresh_hash = device.refresh_hash.as_ref().unwrap();
    assert_ne!(device.access_hash, *refresh_hash);
}
