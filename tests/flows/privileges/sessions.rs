//! Devices and their tokens: every way in, every way out, the first use of a refreshed token at every
//! endpoint that takes one, and what is done with dead devices.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::tap::Use;
use http::Request;
use kit::{House, PASSWORD, PREFIXES};
use serde_json::{Value, json};
use shared::{clock::Clock, secrets::Purpose};

use super::start_every_function;
use crate::{
    api::support::{post_as, request, text},
    flows::{
        people::{END, LOGIN, login_of, password_of},
        support::{page, submit},
    },
};

/// Endpoints that take a user's token, with what `POST` or `PUT` is to say.
const GUARDED: [(&str, &str); 7] = [
    ("GET", "account/whoami"),
    ("GET", "capabilities"),
    ("GET", "devices"),
    ("GET", "devices/PHONE"),
    ("PUT", "devices/PHONE"),
    ("DELETE", "devices/PHONE"),
    ("GET", "account/3pid"),
];

/// `POST`s that take one; their bodies are refused.
const POSTED: [&str; 8] = [
    "delete_devices",
    "account/password",
    "account/deactivate",
    "account/3pid",
    "account/3pid/add",
    "account/3pid/bind",
    "account/3pid/delete",
    "account/3pid/unbind",
];

async fn log_in(house: &House, device: &str) -> Value {
    let mut body = login_of("alice", PASSWORD);
    body["device_id"] = device.into();
    house.post(LOGIN, &body).await.ok()
}

/// A token that nobody has used yet.
async fn fresh(house: &House, device: &str) -> String {
    let pair = log_in(house, device).await;
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let next = house.post("/_matrix/client/v3/refresh", &body).await.ok();
    text(&next, "access_token").to_owned()
}

/// All networks together have guessed as often as they may.
pub(super) fn forbid_guesses(house: &House, key: &str) {
    let config = house.local.config();
    let hash = config.keys.hash(Purpose::LimitKey, key.as_bytes());
    let far = (house.local.clock().now().0 + 1_000_000_000).to_string();
    house.past_the_functions(
        "PutItem",
        &json!({
            "TableName": format!("{}-limits", config.tables),
            "Item": { "pk": { "S": format!("account-guess#{hash}") }, "tat": { "N": far } },
        }),
    );
}

/// Where a password is asked of somebody without a token, and guesses are over for all networks
/// together, it is looked whether this one is known.
async fn guess_where_guesses_are_over(house: &House) {
    house.advance(Duration::from_hours(1));
    forbid_guesses(house, "alice");
    log_in(house, "PHONE").await;
    let auth = password_of("alice", "wrong", None);
    let attempt = house.post(END, &json!({ "auth": auth })).await;
    attempt.error(429, "M_LIMIT_EXCEEDED");
    let challenge = house.post(END, &json!({})).await.challenge();
    let session = text(&challenge, "session");
    let path = page(PREFIXES[1], "m.login.password", session);
    submit(house, &path, "user=alice&password=wrong").await;
}

pub(super) async fn walk() -> BTreeSet<Use> {
    let addresses = (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity m.login.msisdn",
    );
    let directory = tempfile::tempdir().unwrap();
    let limits = ("GATEHOUSE_LIMITS", "on");
    let house = House::in_directory(&[addresses, limits], directory.path()).await;
    house.sign_up("alice").await;
    drop(house);
    let cost = ("GATEHOUSE_ARGON2", "m=16,t=1,p=1");
    let house = House::in_directory(&[addresses, limits, cost], directory.path()).await;
    start_every_function(&house).await;
    let by_address = json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "medium": "email", "address": "nobody@example.org" },
    });
    house
        .post(LOGIN, &by_address)
        .await
        .error(403, "M_FORBIDDEN");
    for (method, path) in GUARDED {
        let token = fresh(&house, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body: &[u8] = if method == "PUT" {
            b"{\"display_name\":\"x\"}"
        } else {
            b""
        };
        house.send(request(method, &path, &headers, body)).await;
    }
    for path in POSTED {
        let token = fresh(&house, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        post_as(&house, &token, &path, &json!({})).await;
    }
    guess_where_guesses_are_over(&house).await;
    house.advance(Duration::from_hours(1));
    for path in ["logout", "logout/all"] {
        let token = fresh(&house, "PHONE").await;
        let path = format!("/_matrix/client/v3/{path}");
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        house.send(request.body(Vec::new()).unwrap()).await.ok();
    }
    house.deliver().await;
    house.local.tap().used()
}
