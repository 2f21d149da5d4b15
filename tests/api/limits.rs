//! Rate limits, switched on.

mod messages;

use std::{net::IpAddr, time::Duration};

use serde_json::json;
use test_support::{PASSWORD, Reply, TestServer};

use super::support::{accounts, request, sessions};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const AVAILABLE: &str = "/_matrix/client/v3/register/available?username=alice";
const VALIDITY: &str =
    "/_matrix/client/v1/register/m.login.registration_token/validity?token=nobody";
const REGISTER: &str = "/_matrix/client/v3/register";

/// Asks until it is refused, and says how often it was not, and for how many seconds it is now.
/// That both forms of the wait are there and agree is checked on every 429.
async fn hammer(ask: impl AsyncFn() -> Reply) -> (u32, u64) {
    for count in 0..300 {
        let reply = ask().await;
        if reply.status == 429 {
            reply.error(429, "M_LIMIT_EXCEEDED");
            let seconds = reply.headers["retry-after"].to_str().unwrap_or_default();
            return (count, seconds.parse().unwrap_or_default());
        }
    }
    panic!("never refused");
}

/// Refused until the very second that was named, and then once more allowed.
async fn served_after(server: &TestServer, seconds: u64, ask: impl AsyncFn() -> Reply) -> Reply {
    if seconds > 1 {
        server.advance(Duration::from_secs(seconds - 1));
        assert_eq!(ask().await.status, 429, "served too early");
    }
    server.advance(Duration::from_secs(1));
    ask().await
}

/// HTTP-19, HTTP-20, HTTP-21, AVAIL-06.
#[tokio::test]
async fn http_19_available_is_limited_and_served_again_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let ask = async || server.get(AVAILABLE).await;
    assert_eq!(hammer(ask).await, (60, 1));
    served_after(&server, 1, ask).await.ok();
    assert_eq!(ask().await.status, 429);
}

/// HTTP-19, HTTP-20, HTTP-21: a session is a row, so it is dearer than a request.
#[tokio::test]
async fn http_19_register_is_limited_and_served_again_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let ask = async || server.post(REGISTER, &json!({})).await;
    assert_eq!(hammer(ask).await, (30, 10));
    assert_eq!(sessions(&server), 30, "a refused request wrote a session");
    served_after(&server, 10, ask).await.challenge();
    assert_eq!(sessions(&server), 31);
}

/// HTTP-19: a request that begins no session is cheaper, but not free.
#[tokio::test]
async fn http_19_polls_of_a_session_are_limited_and_served_again_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let (_, session) = server.begin(&json!({})).await;
    let body = json!({ "auth": { "session": session } });
    let ask = async || server.post(REGISTER, &body).await;
    assert_eq!(hammer(ask).await, (239, 1));
    let challenge = served_after(&server, 1, ask).await.challenge();
    assert_eq!(challenge["session"], session);
}

/// HTTP-19: asking `register` whether a name is free is no way round the limit of `available`.
#[tokio::test]
async fn http_19_refused_names_are_limited_too() {
    let server = TestServer::with(&[LIMITS]).await;
    let ask = async || server.post(REGISTER, &json!({ "username": "@" })).await;
    assert_eq!(hammer(ask).await, (30, 10));
    let reply = served_after(&server, 10, ask).await;
    reply.error(400, "M_INVALID_USERNAME");
}

/// HTTP-19: no password is hashed beyond the limit, and nothing is half done.
#[tokio::test]
async fn http_19_finished_registrations_are_limited_and_served_again_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let ask = async || {
        let body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        server.post(REGISTER, &body).await
    };
    assert_eq!(hammer(ask).await, (20, 30));
    assert_eq!(accounts(&server), 20);
    served_after(&server, 30, ask).await.ok();
    assert_eq!(accounts(&server), 21);
}

/// HTTP-19, RTOK-01: guesses are limited, right answers are not.
#[tokio::test]
async fn http_19_guesses_at_registration_tokens_are_limited_and_served_again_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let token = server.registration_token(&[]).await;
    for _ in 0..20 {
        let path = VALIDITY.replace("nobody", &token);
        assert_eq!(server.get(&path).await.ok(), json!({ "valid": true }));
    }
    let ask = async || server.get(VALIDITY).await;
    assert_eq!(hammer(ask).await, (10, 60));
    let reply = served_after(&server, 60, ask).await;
    assert_eq!(reply.ok(), json!({ "valid": false }));
}

/// HTTP-19: and a good token is not told from a bad one while guesses are refused.
#[tokio::test]
async fn http_19_after_too_many_guesses_a_good_token_is_refused_too() {
    let server = TestServer::with(&[LIMITS]).await;
    let token = server.registration_token(&[]).await;
    hammer(async || server.get(VALIDITY).await).await;
    let path = VALIDITY.replace("nobody", &token);
    server.get(&path).await.error(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn http_19_guests_are_limited_more_tightly() {
    let server = TestServer::with(&[LIMITS, ("GATEHOUSE_GUESTS", "true")]).await;
    let ask = async || {
        server
            .post("/_matrix/client/v3/register?kind=guest", &json!({}))
            .await
    };
    assert_eq!(hammer(ask).await, (10, 60));
    assert_eq!(accounts(&server), 10);
    served_after(&server, 60, ask).await.ok();
}

/// HTTP-19, HTTP-28: a person is told on a page, and the header is there.
#[tokio::test]
async fn http_28_a_limited_fallback_page_is_a_page() {
    let server = TestServer::with(&[LIMITS]).await;
    let path = "/_matrix/client/v3/auth/m.login.terms/fallback/web?session=x";
    for _ in 0..60 {
        assert_eq!(server.get(path).await.status, 404);
    }
    // Its answer is no JSON, so it cannot go through the kit's check of every 429.
    let answer = server.local.call(request("GET", path, &[], b"")).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["retry-after"], "2");
}

/// One network's limit is nobody else's, and a header does not make another network.
#[tokio::test]
async fn http_19_limits_go_by_the_network_the_gateway_saw() {
    let server = TestServer::with(&[LIMITS]).await;
    hammer(async || server.get(AVAILABLE).await).await;
    let claimed = [("x-forwarded-for", "203.0.113.7")];
    let spoofed = server.send(request("GET", AVAILABLE, &claimed, b"")).await;
    spoofed.error(429, "M_LIMIT_EXCEEDED");
    let from = async |peer: &str| {
        let peer: IpAddr = peer.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        server
            .send_from(peer, request("GET", AVAILABLE, &[], b""))
            .await
    };
    from("203.0.113.7").await.ok();
    // An IPv6 subscriber has a /64.
    hammer(async || from("2001:db8::1").await).await;
    from("2001:db8::ffff:1")
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    from("2001:db8:0:1::1").await.ok();
    from("::ffff:127.0.0.1")
        .await
        .error(429, "M_LIMIT_EXCEEDED");
}
