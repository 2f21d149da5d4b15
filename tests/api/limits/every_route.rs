//! Every route has a rate limit by network and, if it requires an access token, by token, unless its function declares
//! that it reads and writes nothing.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use http::StatusCode;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    ids::{DeviceId, Localpart},
    limits::{LIMITS, Limit},
    rng::SystemRng,
    secrets::{KeyPurpose, Secret},
    tokens::{Token, TokenKind},
};
use test_support::{PASSWORD, TestServer, mail_to, text_to};

use super::LIMITS as LIMITS_ON;
use crate::{
    api::support::{
        ENDPOINTS, WITHOUT_LIMIT, homeserver::HOMESERVER, password_login, request, text,
    },
    flows::support::{
        account_helpers::{LOGIN, login_of},
        device_grant::{self, Device},
        oauth_pages::{Authorization, Browser, NATIVE_URI, OAUTH, client_row, metadata},
        threepid_helpers::{MAIL, SMS},
    },
};

/// A well-formed token of a device of alice that this server has not issued.
fn forged(server: &TestServer, kind: TokenKind, device: &str) -> String {
    let user = Localpart::parse("alice", &server.local.config().server_name).unwrap();
    let device = DeviceId::parse(device).unwrap();
    let token = Token::mint(kind, &user, &device, &SystemRng);
    token.reveal().to_owned()
}

/// A request with which a client reaches the limit of a route: the query and the body.
fn complete(method: &str, path: &str, refresh: &str) -> (String, Vec<u8>) {
    let stem = path.rsplit_once("/_matrix/client/").map_or(path, |it| it.1);
    let stem = match stem.strip_prefix("/oauth2/") {
        Some(_) => &stem[1..],
        None => stem.split_once('/').map_or(stem, |(_, stem)| stem),
    };
    let query = match (method, stem) {
        ("GET", "register/available") => "?username=alice",
        ("GET", "register/m.login.registration_token/validity") => "?token=wrong",
        ("GET", "validate/email/submitToken") => "?sid=a&token=b",
        (_, "auth/m.login.terms/fallback/web") => "?session=x",
        _ => "",
    };
    if method == "GET" {
        return (query.to_owned(), Vec::new());
    }
    let body = match stem {
        "login" => password_login("nobody", PASSWORD),
        "refresh" => json!({ "refresh_token": refresh }),
        "devices/DEVICE" if method == "PUT" => json!({ "display_name": "x" }),
        "validate/email/submitToken" => json!({ "sid": "a", "client_secret": "b", "token": "c" }),
        "validate/email/confirm" => return (query.to_owned(), b"sid=a&token=b".to_vec()),
        "oauth2/revoke" => return (query.to_owned(), b"token=x".to_vec()),
        "oauth2/device" => {
            let form = b"client_id=ghc_AAAAAAAAAAAAAAAAAAAAAA&scope=x";
            return (query.to_owned(), form.to_vec());
        }
        "oauth2/registration" => metadata("native", NATIVE_URI),
        _ if stem.ends_with("email/requestToken") => mail_to("nobody@example.org", "secret", 1),
        _ if stem.ends_with("msisdn/requestToken") => text_to("07400123456", "secret", 1),
        _ => json!({}),
    };
    (query.to_owned(), body.to_string().into_bytes())
}

/// Whether a route accepts the token of a user. A logout ends the token, so it needs no limit by token.
fn has_token(path: &str) -> bool {
    let of_account = path.contains("/account/") && !path.ends_with("/requestToken");
    of_account
        || [
            "/capabilities",
            "/devices",
            "/devices/DEVICE",
            "/delete_devices",
            "/refresh",
        ]
        .iter()
        .any(|end| path.ends_with(end))
}

fn is_limited(path: &str, method: &str) -> bool {
    !WITHOUT_LIMIT
        .iter()
        .any(|(own, methods)| *own == path && methods.contains(&method))
}

/// The limited routes of the newest version of each path.
fn limited_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = ENDPOINTS.iter().filter(|(path, _)| !path.contains("/r0/"));
    let routes = paths.flat_map(|(path, methods)| methods.iter().map(|method| (*method, *path)));
    routes.filter(|(method, path)| is_limited(path, method))
}

/// Uses up the quota of every limit for this key.
fn use_up(server: &TestServer, key: &str) {
    let config = server.local.config();
    let hash = config.keys.hash(KeyPurpose::LimitKey, key.as_bytes());
    let now = server.local.clock().now().0;
    for limit in LIMITS {
        let full = limit.interval.as_millis() * u128::from(limit.burst);
        let tat = (u128::try_from(now).unwrap() + full).to_string();
        let bucket = format!("{}#{hash}", limit.name);
        server.raw_dynamodb(
            "PutItem",
            &json!({
                "TableName": format!("{}-limits", config.tables),
                "Item": { "pk": { "S": bucket }, "tat": { "N": tat } },
            }),
        );
    }
}

/// The key of the quotas of an access token.
fn key_of_token(server: &TestServer, token: &str) -> String {
    let (token, name) = (
        Secret::new(token.to_owned()),
        &server.local.config().server_name,
    );
    let token = Token::parse(TokenKind::Access, &token, name);
    token.unwrap().hash().0
}

/// Network number `number`.
fn network(number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + number).into()
}

async fn start() -> TestServer {
    let flows = (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity m.login.msisdn",
    );
    TestServer::with(&[LIMITS_ON, MAIL, SMS, OAUTH, flows]).await
}

async fn status(
    server: &TestServer,
    peer: IpAddr,
    (method, path): (&str, &str),
    [access, refresh]: [&str; 2],
) -> StatusCode {
    if path == "/link" || path.starts_with("/link/") {
        return status_of_link(server, peer, path).await;
    }
    if path.starts_with("/oauth2/authorize/") || path == "/oauth2/sign-up" {
        return status_of_form(server, peer, path).await;
    }
    let (query, body) = complete(method, path, refresh);
    let bearer = format!("Bearer {access}");
    let content_type = match path {
        "/oauth2/revoke" | "/oauth2/device" => "application/x-www-form-urlencoded",
        _ => "application/json",
    };
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", content_type),
    ];
    let request = request(method, &format!("{path}{query}"), &headers, &body);
    server.send_from(peer, request).await.status
}

/// Submits a form of the pages of the OAuth 2.0 API. The page with the form is opened from another network.
async fn status_of_form(server: &TestServer, peer: IpAddr, path: &str) -> StatusCode {
    let valid = Authorization::native(server);
    let mut browser = Browser::new(server);
    let page = if path.ends_with("/login") {
        browser.open(&valid).await
    } else if path.ends_with("/sign-up") {
        browser.open(&valid.with("prompt", "create")).await
    } else {
        browser.log_in(&valid, "alice", PASSWORD).await
    };
    browser.peer = peer;
    let values = [
        ("user", "nobody"),
        ("username", "alice"),
        ("password", "x"),
        ("password_again", "x"),
        ("action", "allow"),
    ];
    browser.submit(&page.form(path), &values).await.reply.status
}

/// Submits a form of the pages of the device authorization grant. The page is opened from another network.
async fn status_of_link(server: &TestServer, peer: IpAddr, path: &str) -> StatusCode {
    let client = client_row(server, &device_grant::metadata());
    let mut browser = Browser::new(server);
    browser.peer = network(2);
    let mut page = browser.get("/link").await;
    if path != "/link/login" {
        let device = Device::request(server, &client).await;
        let consent = device.consent(&mut browser, "alice").await;
        page = match path {
            "/link" => browser.get(path).await,
            _ => consent,
        };
    }
    browser.peer = peer;
    let form = page.form(path).with(&[("action", "allow")]);
    let form = match path {
        "/link/login" => form.with(&[("user", "nobody"), ("password", "x")]),
        _ => form,
    };
    browser.submit(&form, &[]).await.reply.status
}

async fn log_in(server: &TestServer, device: &str) -> Value {
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = device.into();
    server.post(LOGIN, &body).await.ok()
}

/// HTTP-19: a network whose quotas are used up gets 429 from every route, with valid tokens, with forged tokens and
/// with tokens that are not well-formed. Another network does not.
#[tokio::test]
async fn http_19_every_route_has_a_limit_by_network() {
    let server = start().await;
    server.sign_up("alice").await;
    let forged = [TokenKind::Access, TokenKind::Refresh].map(|it| forged(&server, it, "DEVICE"));
    let mut wrong = Vec::new();
    for (method, path) in limited_routes() {
        use_up(&server, &network(0).to_string());
        let pair = log_in(&server, "DEVICE").await;
        let valid = ["access_token", "refresh_token"].map(|name| text(&pair, name));
        for [access, refresh] in [
            valid,
            ["gha_x", "ghr_x"],
            forged.each_ref().map(String::as_str),
        ] {
            let tokens = [access, refresh];
            let refused = status(&server, network(0), (method, path), tokens).await;
            let answered = status(&server, network(1), (method, path), tokens).await;
            if refused != 429 || answered == 429 {
                wrong.push(format!("{method} {path}, {access}: {refused}, {answered}"));
            }
        }
        server.advance(Duration::from_mins(10));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// HTTP-19: a request without an access token is charged to no limit, so it must make no call.
#[tokio::test]
async fn http_19_a_request_without_a_token_makes_no_call() {
    let server = start().await;
    let validation = json!({ "sid": "a", "client_secret": "b" });
    let address = json!({ "medium": "email", "address": "a@example.org" });
    for (path, body) in [
        ("account/3pid/add", validation.clone()),
        ("account/3pid", json!({ "three_pid_creds": validation })),
        ("account/3pid/delete", address.clone()),
        ("account/3pid/unbind", address),
        ("delete_devices", json!({ "devices": ["A"] })),
        ("logout", json!({})),
        ("logout/all", json!({})),
    ] {
        let path = format!("/_matrix/client/v3/{path}");
        let (reply, calls) = server.calls_of(server.post(&path, &body)).await;
        reply.error(401, "M_MISSING_TOKEN");
        assert!(calls.is_empty(), "{path}: {calls:?}");
    }
}

/// HTTP-19: an attacker with a stolen token and many networks. A forged token of the same device is not charged.
#[tokio::test]
async fn http_19_every_route_with_a_token_has_a_limit_by_token() {
    let server = start().await;
    server.sign_up("alice").await;
    let pair = log_in(&server, "DEVICE").await;
    let valid = ["access_token", "refresh_token"].map(|name| text(&pair, name));
    use_up(&server, &key_of_token(&server, valid[0]));
    use_up(&server, "alice#DEVICE");
    let forged = [TokenKind::Access, TokenKind::Refresh].map(|it| forged(&server, it, "DEVICE"));
    let forged = forged.each_ref().map(String::as_str);
    let mut wrong = Vec::new();
    for (number, (method, path)) in (0..).zip(limited_routes().filter(|it| has_token(it.1))) {
        let refused = status(&server, network(number), (method, path), valid).await;
        let answered = status(&server, network(number), (method, path), forged).await;
        if refused != 429 || answered == 429 {
            wrong.push(format!("{method} {path}: {refused}, {answered}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The burst of `PUT /devices/{deviceId}`, from one network and from many.
#[tokio::test]
async fn http_19_a_token_cannot_write_without_end() {
    let server = start().await;
    server.sign_up("alice").await;
    let alice = log_in(&server, "DEVICE").await;
    let token = [text(&alice, "access_token"), ""];
    let route = ("PUT", "/_matrix/client/v3/devices/DEVICE");
    let send = async |number: u32| status(&server, network(number), route, token).await;
    let mut written = 0;
    while send(0).await == 200 {
        written += 1;
    }
    assert_eq!(written, Limit::Account.quota().burst);
    // The refused requests are not charged to the token.
    for _ in 0..Limit::TokenWrite.quota().burst {
        assert_eq!(send(0).await, 429);
    }
    while send(written).await == 200 {
        written += 1;
    }
    assert_eq!(written, Limit::TokenWrite.quota().burst);
}

/// REFR-01: each refresh token is used once, so the limit belongs to the device.
#[tokio::test]
async fn http_19_a_chain_of_refreshes_is_limited_by_device() {
    let server = start().await;
    server.sign_up("alice").await;
    let mut pair = log_in(&server, "DEVICE").await;
    let other = log_in(&server, "OTHER").await;
    let send = async |number: u32, token: &str| {
        let body = json!({ "refresh_token": token }).to_string();
        let path = "/_matrix/client/v3/refresh";
        let request = request("POST", path, &[], body.as_bytes());
        server.send_from(network(number), request).await
    };
    // Forged tokens of the device are not charged to it.
    let forgery = forged(&server, TokenKind::Refresh, "DEVICE");
    for number in 0..40 {
        send(number, &forgery).await.error(401, "M_UNKNOWN_TOKEN");
    }
    for number in 0..Limit::DeviceRefresh.quota().burst {
        pair = send(number, text(&pair, "refresh_token")).await.ok();
    }
    let refused = send(1000, text(&pair, "refresh_token")).await;
    refused.error(429, "M_LIMIT_EXCEEDED");
    send(1001, text(&other, "refresh_token")).await.ok();
    server.advance(Limit::DeviceRefresh.quota().interval);
    send(1002, text(&pair, "refresh_token")).await.ok();
}

/// An attacker with a stolen token must not be able to use up the quotas that the account owner needs: a logout is
/// possible while the quotas of the token are used up, and other devices have quotas of their own.
#[tokio::test]
async fn http_19_a_thief_cannot_keep_the_owner_from_logging_out() {
    let server = start().await;
    server.sign_up("alice").await;
    let alice = log_in(&server, "DEVICE").await;
    let stolen = text(&alice, "access_token");
    let other = log_in(&server, "OTHER").await;
    let own = text(&other, "access_token");
    for key in [&key_of_token(&server, stolen), "alice", "alice#DEVICE"] {
        use_up(&server, key);
    }
    let send = async |method: &str, path: &str, token: &str| {
        let path = format!("/_matrix/client/v3/{path}");
        status(&server, network(0), (method, &path), [token, ""]).await
    };
    assert_eq!(send("GET", "devices", stolen).await, 429);
    assert_eq!(send("GET", "devices", own).await, 200);
    assert_eq!(send("DELETE", "devices/DEVICE", own).await, 401);
    assert_eq!(send("POST", "logout", own).await, 200);
    assert_eq!(send("POST", "logout/all", stolen).await, 200);
    assert_eq!(send("POST", "logout", stolen).await, 401);
}

/// Routes that read and write nothing: API Gateway's throttle is their only limit. HS-02: this holds for the routes of
/// the homeserver without its secret.
#[tokio::test]
async fn routes_without_a_limit_make_no_call() {
    let with_homeserver = TestServer::with(&[&HOMESERVER[..], &[LIMITS_ON]].concat()).await;
    for server in [start().await, with_homeserver] {
        for (path, methods) in WITHOUT_LIMIT {
            for method in *methods {
                let headers = [("authorization", "Bearer x")];
                let send = server.send(request(method, path, &headers, b"token=gha_x"));
                let (reply, calls) = server.calls_of(send).await;
                assert!(reply.status != 429 && calls.is_empty(), "{method} {path}");
            }
        }
    }
}
