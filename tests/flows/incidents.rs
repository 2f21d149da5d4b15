//! Incidents of other servers that no other test file covers.

use std::collections::BTreeSet;

use http::Request;
use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, assert_users, flows, registration, stage,
    threepid_helpers::{
        ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, ask, code_to, link_to, mail_to, text_to,
    },
    whoami, with,
};

/// Incident 3 (ids from a predictable generator; sequential ids leaked volume and state)
#[tokio::test]
async fn incident_3_ids_and_tokens_neither_repeat_nor_are_sorted() {
    let server = TestServer::new().await;
    let (mut sessions, mut devices, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..100 {
        let (_, session) = server.begin(&json!({ "password": PASSWORD })).await;
        let answer = server.register(&stage(DUMMY, &session)).await.ok();
        sessions.push(session);
        devices.push(answer["device_id"].as_str().unwrap().to_owned());
        let token = answer["access_token"].as_str().unwrap();
        // The last part of a token is its secret and its checksum.
        tokens.push(token.rsplit('.').next().unwrap().to_owned());
    }
    for (drawn, least) in [(sessions, 32), (devices, 10), (tokens, 27)] {
        assert!(drawn.iter().all(|text| text.len() >= least), "{drawn:?}");
        let distinct: BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 100);
        let beginnings: BTreeSet<_> = drawn.iter().map(|text| &text[..3]).collect();
        assert!(beginnings.len() > 90, "{beginnings:?}");
        let rising = drawn.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((25..75).contains(&rising), "in order: {rising}");
    }
}

/// Incident 16 (a grace period after a successful authentication), TOK-11: neither a recent
/// validation nor a token has any effect on the next registration.
#[tokio::test]
async fn incident_16_an_account_authenticates_no_later_one() {
    let server = TestServer::new().await;
    let answer = server.sign_up("alice").await;
    server.register(&registration("bob")).await.challenge();
    let token = answer["access_token"].as_str().unwrap();
    let request = Request::post("/_matrix/client/v3/register")
        .header("authorization", format!("Bearer {token}"));
    let body = registration("bob").to_string().into_bytes();
    let reply = server.send(request.body(body).unwrap()).await;
    let session = reply.challenge()["session"].as_str().unwrap().to_owned();
    assert_users(&server, &["alice"]);
    let answer = server
        .register(&with(registration("bob"), &stage(DUMMY, &session)))
        .await
        .ok();
    assert_eq!(whoami(&server, &answer).await["user_id"], "@bob:localhost");
}

/// Incident 10, incident 7: the messages for a minimal request and for a request with every optional
/// member are the same.
#[tokio::test]
async fn incident_10_nothing_that_a_client_sends_is_in_a_message() {
    let link = "https://evil.example/?a=<svg/onload=alert(1)>&b=%0d%0aBcc:x";
    let more = json!({
        "next_link": link,
        "id_server": "evil.example",
        "username": "<b>evil</b>",
        "display_name": "Win at https://evil.example",
        "subject": "Evil",
    });
    let mut runs = Vec::new();
    for hostile in [false, true] {
        let server = TestServer::with(&[flows(&format!("{EMAIL} {MSISDN}")), MAIL, SMS]).await;
        let secret = if hostile { "Evil-secret" } else { "secret" };
        let mut registration = json!({ "password": PASSWORD });
        if hostile {
            registration["initial_device_display_name"] = "https://evil.example".into();
        }
        server.begin(&registration).await;
        let mut bodies = [mail_to(ALICE, secret, 1), text_to(NUMBER.0, secret, 1)];
        for body in &mut bodies {
            if hostile {
                *body = with(body.clone(), &more);
            }
            ask(&server, PREFIXES[1], body).await;
        }
        server.deliver().await;
        let (link, code) = (link_to(&server, ALICE), code_to(&server, NUMBER.1));
        let messages = server.messages().into_iter().map(|message| {
            let text = format!("{:?} {} {:?}", message.subject, message.text, message.html);
            assert!(!text.to_lowercase().contains("evil"), "{text}");
            text.replace(&link.replace('&', "&#38;"), "LINK")
                .replace(&link, "LINK")
                .replace(&code, "CODE")
        });
        // Both messages are sent immediately.
        let mut messages: Vec<_> = messages.collect();
        messages.sort();
        runs.push(messages);
    }
    assert_eq!(runs[0].len(), 2);
    assert_eq!(runs[0], runs[1]);
}
