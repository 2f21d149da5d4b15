//! Tests with rate limits enabled.

mod every_route;
mod messages;

use std::{net::IpAddr, time::Duration};

use serde_json::json;
use test_support::{PASSWORD, Reply, TestServer};

use super::{
    rows::{accounts, uia_sessions},
    support::request,
};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const AVAILABLE: &str = "/_matrix/client/v3/register/available?username=alice";
const VALIDITY: &str =
    "/_matrix/client/v1/register/m.login.registration_token/validity?token=nobody";
const REGISTER: &str = "/_matrix/client/v3/register";

/// Sends requests until one is rejected. Returns the number of accepted requests and the announced delay in seconds.
/// Checks that the 429 has the delay in a header and in the body.
async fn until_refused(send: impl AsyncFn() -> Reply) -> (u32, u64) {
    for count in 0..300 {
        let reply = send().await;
        if reply.status == 429 {
            reply.error(429, "M_LIMIT_EXCEEDED");
            let seconds = reply.headers["retry-after"].to_str().unwrap_or_default();
            return (count, seconds.parse().unwrap_or_default());
        }
    }
    panic!("no request was rejected");
}

/// Asserts that requests are rejected until the announced delay has passed, and then sends one more request.
async fn allowed_after(server: &TestServer, seconds: u64, send: impl AsyncFn() -> Reply) -> Reply {
    if seconds > 1 {
        server.advance(Duration::from_secs(seconds - 1));
        assert_eq!(send().await.status, 429, "allowed too early");
    }
    server.advance(Duration::from_secs(1));
    send().await
}

/// HTTP-19, HTTP-20, HTTP-21, AVAIL-06.
#[tokio::test]
async fn http_19_available_is_limited_and_allowed_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let send = async || server.get(AVAILABLE).await;
    assert_eq!(until_refused(send).await, (60, 1));
    allowed_after(&server, 1, send).await.ok();
    assert_eq!(send().await.status, 429);
}

/// HTTP-19, HTTP-20, HTTP-21: a session writes a row, so its limit is lower.
#[tokio::test]
async fn http_19_register_is_limited_and_allowed_after_the_wait() {
    let server = TestServer::with(&[LIMITS]).await;
    let send = async || server.post(REGISTER, &json!({})).await;
    assert_eq!(until_refused(send).await, (30, 10));
    assert_eq!(
        uia_sessions(&server).len(),
        30,
        "a rejected request wrote a session"
    );
    allowed_after(&server, 10, send).await.challenge();
    assert_eq!(uia_sessions(&server).len(), 31);
}

/// HTTP-19: a request in an existing session has a higher limit.
#[tokio::test]
async fn http_19_polls_of_a_session_are_limited() {
    let server = TestServer::with(&[LIMITS]).await;
    let (_, session) = server.begin(&json!({})).await;
    let body = json!({ "auth": { "session": session } });
    let send = async || server.post(REGISTER, &body).await;
    assert_eq!(until_refused(send).await, (239, 1));
    let challenge = allowed_after(&server, 1, send).await.challenge();
    assert_eq!(challenge["session"], session);
}

/// HTTP-19: `register` cannot be used to avoid the limit of `available`.
#[tokio::test]
async fn http_19_refused_names_are_limited_too() {
    let server = TestServer::with(&[LIMITS]).await;
    let send = async || server.post(REGISTER, &json!({ "username": "@" })).await;
    assert_eq!(until_refused(send).await, (30, 10));
    let reply = allowed_after(&server, 10, send).await;
    reply.error(400, "M_INVALID_USERNAME");
}

/// HTTP-19: above the limit, no password is hashed and nothing is written.
#[tokio::test]
async fn http_19_finished_registrations_are_limited() {
    let server = TestServer::with(&[LIMITS]).await;
    let send = async || {
        let body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        server.post(REGISTER, &body).await
    };
    assert_eq!(until_refused(send).await, (20, 30));
    assert_eq!(accounts(&server), 20);
    allowed_after(&server, 30, send).await.ok();
    assert_eq!(accounts(&server), 21);
}

/// HTTP-19, RTOK-01: wrong tokens are limited, and valid tokens are not.
#[tokio::test]
async fn http_19_guesses_at_registration_tokens_are_limited() {
    let server = TestServer::with(&[LIMITS]).await;
    let token = server.registration_token(&[]).await;
    for _ in 0..20 {
        let path = VALIDITY.replace("nobody", &token);
        assert_eq!(server.get(&path).await.ok(), json!({ "valid": true }));
    }
    let send = async || server.get(VALIDITY).await;
    assert_eq!(until_refused(send).await, (10, 60));
    let reply = allowed_after(&server, 60, send).await;
    assert_eq!(reply.ok(), json!({ "valid": false }));
}

/// HTTP-19: while guesses are rejected, a valid token gets the same response as a wrong token.
#[tokio::test]
async fn http_19_after_too_many_guesses_a_valid_token_is_refused() {
    let server = TestServer::with(&[LIMITS]).await;
    let token = server.registration_token(&[]).await;
    until_refused(async || server.get(VALIDITY).await).await;
    let path = VALIDITY.replace("nobody", &token);
    server.get(&path).await.error(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn http_19_guests_are_limited_more_tightly() {
    let server = TestServer::with(&[LIMITS, ("GATEHOUSE_GUESTS", "true")]).await;
    let send = async || {
        server
            .post("/_matrix/client/v3/register?kind=guest", &json!({}))
            .await
    };
    assert_eq!(until_refused(send).await, (10, 60));
    assert_eq!(accounts(&server), 10);
    allowed_after(&server, 60, send).await.ok();
}

/// HTTP-19, HTTP-28: the browser gets a page with the header `Retry-After`.
#[tokio::test]
async fn http_28_a_limited_fallback_page_is_a_page() {
    let server = TestServer::with(&[LIMITS]).await;
    let path = "/_matrix/client/v3/auth/m.login.terms/fallback/web?session=x";
    for _ in 0..60 {
        assert_eq!(server.get(path).await.status, 404);
    }
    // The page is not JSON, so `TestServer::send` would not accept it as a 429.
    let answer = server.local.call(request("GET", path, &[], b"")).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["retry-after"], "2");
}

/// Each client network has its own limit, and a header cannot claim another network.
#[tokio::test]
async fn http_19_limits_apply_to_the_network_the_gateway_saw() {
    let server = TestServer::with(&[LIMITS]).await;
    until_refused(async || server.get(AVAILABLE).await).await;
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
    // An IPv6 subscriber has a /64 prefix.
    until_refused(async || from("2001:db8::1").await).await;
    from("2001:db8::ffff:1")
        .await
        .error(429, "M_LIMIT_EXCEEDED");
    from("2001:db8:0:1::1").await.ok();
    from("::ffff:127.0.0.1")
        .await
        .error(429, "M_LIMIT_EXCEEDED");
}

/// A clock that was ahead of time must not lock clients out: the level of a bucket has a maximum.
#[tokio::test]
async fn a_bucket_from_a_clock_ahead_of_time_counts_as_full() {
    const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;
    let server = TestServer::with(&[LIMITS]).await;
    let send = async || server.get(AVAILABLE).await;
    send().await.ok();
    let table = format!("{}-limits", server.local.config().tables);
    for row in server.local.dynamodb().table("Limits").unwrap_or_default() {
        server.raw_dynamodb(
            "UpdateItem",
            &json!({
                "TableName": table,
                "Key": { "pk": row["pk"] },
                "UpdateExpression": "SET tat = tat + :year",
                "ExpressionAttributeValues": { ":year": { "N": YEAR_MS.to_string() } },
            }),
        );
    }
    let reply = send().await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    assert_eq!(reply.headers["retry-after"], "1");
    allowed_after(&server, 1, send).await.ok();
    // The whole burst is available again after the time that it takes from empty to full.
    server.advance(Duration::from_mins(2));
    assert_eq!(until_refused(send).await, (60, 1));
}
