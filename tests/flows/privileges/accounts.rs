//! The scenario with every operation that changes or deactivates an account or its devices.

use std::collections::BTreeSet;

use gatehouse_local::dynamodb::proxy::Use;
use http::Request;
use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::start_every_function;
use crate::flows::support::{
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, PASSWORD_PATH, log_in,
        password_of, request_reset_token, sign_up_with, with_auth,
    },
    page, submit,
    threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER},
};

/// The password stage in a session. It identifies the user by an address, so that the owner of the
/// address is looked up.
fn by_address(session: Option<&str>) -> serde_json::Value {
    json!({
        "type": "m.login.password", "password": PASSWORD, "session": session,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": ALICE },
    })
}

/// Deletes a device by its path.
async fn delete(server: &TestServer, caller: &Device, id: &str) {
    let path = format!("{}/devices/{id}", PREFIXES[1]);
    let bearer = format!("Bearer {}", caller.token);
    let send = |body: String| {
        let request = Request::delete(&path).header("authorization", &bearer);
        server.send(request.body(body.into_bytes()).unwrap())
    };
    let challenge = send(String::new()).await.challenge();
    let auth = by_address(challenge["session"].as_str());
    send(json!({ "auth": auth }).to_string()).await.ok();
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&settings).await;
    start_every_function(&server).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let third = log_in(&server, "alice", PASSWORD).await;
    delete(&server, &alice, &second.id).await;
    let parameters = json!({ "devices": [third.id] });
    let (_, session) = alice.begin(&server, DELETE_DEVICES_PATH, &parameters).await;
    let last = with_auth(parameters, by_address(Some(&session)));
    alice.post(&server, DELETE_DEVICES_PATH, &last).await.ok();

    let parameters = json!({ "new_password": PASSWORD });
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &parameters).await;
    let path = page(PREFIXES[1], "m.login.password", &session);
    submit(&server, &path, "password=ostrich+lamp+8+quarrel").await;
    let last = json!({ "auth": { "session": session } });
    alice.post(&server, PASSWORD_PATH, &last).await.ok();
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let mut body = validation.attempt(None);
    body["new_password"] = PASSWORD.into();
    server.post(PASSWORD_PATH, &body).await.ok();

    let wrong = json!({
        "type": "m.login.password", "password": "wrong",
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": ALICE },
    });
    let refused = server
        .post(DEACTIVATE_PATH, &json!({ "auth": wrong }))
        .await;
    refused.refused("M_FORBIDDEN");
    let challenge = server.post(DEACTIVATE_PATH, &json!({})).await.challenge();
    let path = page(
        PREFIXES[1],
        "m.login.password",
        challenge["session"].as_str().unwrap(),
    );
    submit(&server, &path, "user=alice&password=ostrich+lamp+8+quarrel").await;
    let last = json!({ "auth": { "session": challenge["session"] } });
    server.post(DEACTIVATE_PATH, &last).await.ok();
    let bob = sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    let (_, session) = bob.begin(&server, DEACTIVATE_PATH, &json!({})).await;
    let last = with_auth(json!({}), password_of("bob", PASSWORD, Some(&session)));
    bob.post(&server, DEACTIVATE_PATH, &last).await.ok();
    // If the token is invalid, each function looks for the stored response to a duplicate.
    let late = json!({ "devices": [], "auth": { "session": session } });
    for path in [DEACTIVATE_PATH, PASSWORD_PATH, DELETE_DEVICES_PATH] {
        let reply = bob.post(&server, path, &late).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
    }
    let path = format!("{}/devices/{}", PREFIXES[1], bob.id);
    let request = Request::delete(path).header("authorization", format!("Bearer {}", bob.token));
    let reply = server.send(request.body(late.to_string().into_bytes()).unwrap());
    reply.await.error(401, "M_UNKNOWN_TOKEN");
    server.deliver().await;
    server.local.proxy().used()
}
