//! Fallback pages of 3PID stages: pages that reload themselves, forms that are submitted twice, and values that stay.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::{
    support::{
        at_once, flows, page, registration, stage, submit,
        threepid_helpers::{
            ALICE, EMAIL, MAIL, MSISDN, SMS, assert_addresses, confirm, link_to, path_of,
            sessions_in,
        },
        with,
    },
    uia::fallback::{between, is_final, is_not_final},
};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const FORM: &str = "email=alice%40example.org";

/// The seconds and the query of the next reload.
fn refresh(text: &str) -> Option<(u64, String)> {
    let content = between(text, "http-equiv=\"refresh\" content=\"", "\"")
        .pop()?
        .to_owned();
    let (seconds, query) = content.split_once(";url=").unwrap_or((&content, ""));
    Some((seconds.parse().ok()?, query.replace("&amp;", "&")))
}

async fn waiting(server: &TestServer, address: &str) -> (String, Reply) {
    let (_, session) = server.begin(&json!({})).await;
    let path = page(PREFIXES[1], EMAIL, &session);
    let reply = submit(server, &path, &format!("email={address}")).await;
    (path, reply)
}

/// The path with the query of the next reload.
fn next(path: &str, query: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    format!("{path}{query}")
}

#[tokio::test]
async fn a_page_that_waits_reloads_itself_more_and_more_slowly() {
    let server = TestServer::with(&[flows(EMAIL), MAIL]).await;
    let (path, reply) = waiting(&server, "alice%40example.org").await;
    let mut text = is_not_final(&reply, 200);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let Some((seconds, query)) = refresh(&text) else {
            panic!("{text}");
        };
        waits.push(seconds);
        text = is_not_final(&server.get(&next(&path, &query)).await, 200);
    }
    assert_eq!(waits, [5, 5, 10, 20, 20, 20]);
    confirm(&server, &link_to_after_delivery(&server).await).await;
    is_final(&server.get(&path).await);
}

async fn link_to_after_delivery(server: &TestServer) -> String {
    server.deliver().await;
    link_to(server, ALICE)
}

/// Eight users sign up behind one address, each with the page open for ten minutes.
#[tokio::test]
async fn reloads_of_many_waiting_pages_are_not_limited() {
    let server = TestServer::with(&[LIMITS, flows(EMAIL), MAIL]).await;
    let mut pages = Vec::new();
    for number in 0..8 {
        let (path, reply) = waiting(&server, &format!("user{number}%40example.org")).await;
        let text = is_not_final(&reply, 200);
        pages.push((path, refresh(&text), 0));
    }
    for second in 1..600_u64 {
        server.advance(Duration::from_secs(1));
        for (path, coming, since) in &mut pages {
            let Some((seconds, query)) = coming.clone() else {
                panic!("{path} does not go on");
            };
            if second - *since >= seconds {
                let text = is_not_final(&server.get(&next(path, &query)).await, 200);
                (*coming, *since) = (refresh(&text), second);
            }
        }
    }
    // A browser that always opens the same URL every five seconds is not limited either.
    for _ in 0..120 {
        server.advance(Duration::from_secs(5));
        for (path, _, _) in &pages {
            is_not_final(&server.get(path).await, 200);
        }
    }
}

/// Only a session that waits is counted by session.
#[tokio::test]
async fn pages_that_do_not_wait_are_counted_by_network() {
    let server = TestServer::with(&[LIMITS, flows(EMAIL), MAIL]).await;
    let path = format!("{}&reload=1", page(PREFIXES[1], EMAIL, "unknown"));
    let mut refused = None;
    for count in 0..100 {
        let reply = server.get(&path).await;
        if reply.status == 429 {
            refused = Some((count, reply));
            break;
        }
    }
    let (count, reply) = refused.expect("a limit");
    assert_eq!(count, 60);
    // The page reloads itself after the delay that it announces.
    let text = is_not_final(&reply, 429);
    let seconds = reply.headers["retry-after"].to_str().unwrap_or_default();
    assert_eq!(
        refresh(&text),
        Some((seconds.parse().unwrap_or(0), String::new()))
    );
    assert!(
        text.contains(&format!("by itself in {seconds} seconds")),
        "{text}"
    );
}

/// One waiting page that is reloaded all the time has a limit of its own.
#[tokio::test]
async fn reloads_of_one_waiting_page_are_limited() {
    let server = TestServer::with(&[LIMITS, flows(EMAIL), MAIL]).await;
    let (path, _) = waiting(&server, "alice%40example.org").await;
    let mut count = 0;
    while server.get(&format!("{path}&reload={count}")).await.status == 200 {
        count += 1;
        assert!(count < 100);
    }
    assert_eq!(count, 20);
    // Another session is not affected.
    let (other, _) = waiting(&server, "bob%40example.org").await;
    is_not_final(&server.get(&other).await, 200);
}

/// A double click on "Send the mail" sends one mail, and its link completes the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_submitted_twice_sends_one_message() {
    for (stage, form) in [
        (EMAIL, FORM),
        (MSISDN, "country=GB&phone_number=07400123456"),
    ] {
        let server = Arc::new(TestServer::with(&[flows(stage), MAIL, SMS]).await);
        let (_, session) = server.begin(&json!({})).await;
        let path = page(PREFIXES[1], stage, &session);
        let both = at_once(2, |_| {
            let (server, path) = (Arc::clone(&server), path.clone());
            async move { submit(&server, &path, form).await }
        })
        .await;
        for reply in both {
            is_not_final(&reply, 200);
        }
        assert_eq!(sessions_in(&server, "pending"), 1);
        assert_eq!(server.deliver().await, 1);
        if stage == EMAIL {
            confirm(&server, &link_to(&server, ALICE)).await;
            is_final(&server.get(&path).await);
        }
        assert_eq!(
            sessions_in(
                &server,
                if stage == EMAIL {
                    "validated"
                } else {
                    "pending"
                }
            ),
            1
        );
    }
}

#[tokio::test]
async fn chosen_and_typed_values_come_back_with_an_error() {
    let server = TestServer::with(&[
        flows("m.login.msisdn m.login.email.identity"),
        MAIL,
        ("GATEHOUSE_SMS_COUNTRIES", "DE GB US"),
    ])
    .await;
    let (_, session) = server.begin(&json!({})).await;
    let path = page(PREFIXES[1], MSISDN, &session);
    let text = is_not_final(&server.get(&path).await, 200);
    assert!(!text.contains("selected"), "{text}");
    let reply = submit(&server, &path, "country=GB&phone_number=12%22%3E").await;
    let text = is_not_final(&reply, 400);
    assert!(text.contains("<option selected>GB</option>"), "{text}");
    assert!(text.contains("value=\"12&#34;&#62;\""), "{text}");
    assert!(!text.contains("`phone_number`"), "{text}");
    assert!(
        text.contains("not a phone number of the chosen country"),
        "{text}"
    );
    let path = page(PREFIXES[1], EMAIL, &session);
    let reply = submit(&server, &path, "email=alice%40example").await;
    let text = is_not_final(&reply, 400);
    assert!(text.contains("value=\"alice@example\""), "{text}");
}

/// Password managers need the username beside the password.
#[tokio::test]
async fn a_password_page_names_the_user_for_password_managers() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let token = alice["access_token"].as_str().unwrap_or_default();
    let request = http::Request::post(format!("{}/account/password", PREFIXES[1]))
        .header("authorization", format!("Bearer {token}"))
        .body(
            json!({ "new_password": "another horse battery staple" })
                .to_string()
                .into_bytes(),
        );
    let reply = server.send(request.expect("a request")).await;
    let challenge = reply.challenge();
    let session = challenge["session"].as_str().unwrap_or_default();
    let path = page(PREFIXES[1], "m.login.password", session);
    let text = is_not_final(&server.get(&path).await, 200);
    let field = between(&text, "<input id=\"user\"", ">").concat();
    for part in ["autocomplete=\"username\"", "readonly", "value=\"alice\""] {
        assert!(field.contains(part), "{part}: {field}");
    }
    // The submitted name has no effect.
    let form = format!(
        "user=bob&password={}",
        test_support::PASSWORD.replace(' ', "+")
    );
    is_final(&submit(&server, &path, &form).await);
}

/// Some mail programs and users open a link again.
#[tokio::test]
async fn a_link_opened_after_sign_up_says_that_all_is_done() {
    let server = TestServer::with(&[flows(EMAIL), MAIL]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], EMAIL, &session);
    submit(&server, &path, FORM).await;
    let link = link_to_after_delivery(&server).await;
    confirm(&server, &link).await;
    is_final(&submit(&server, &path, "action=check").await);
    let last = with(registration("alice"), &stage(EMAIL, &session));
    server.register(&last).await.ok();
    assert_addresses(&server, &[("email#alice@example.org", "alice")]);
    let before = server.dump();
    let text = is_not_final(&server.get(path_of(&link)).await, 200);
    assert!(text.contains("There is nothing else to do"), "{text}");
    let (page, query) = path_of(&link).split_once('?').unwrap_or_default();
    let button = page.replace("submitToken", "confirm");
    let text = is_not_final(
        &submit(&server, &button, &format!("{query}&action=confirm")).await,
        200,
    );
    assert!(text.contains("There is nothing else to do"), "{text}");
    // The report comes too late, which must not look like a success.
    let reply = submit(&server, &button, &format!("{query}&action=refuse")).await;
    is_not_final(&reply, 400);
    // A wrong token says nothing about the session.
    let wrong = path_of(&link).replace("token=", "token=x");
    is_not_final(&server.get(&wrong).await, 400);
    assert_eq!(server.dump(), before);
}
