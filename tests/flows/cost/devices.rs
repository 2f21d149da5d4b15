//! The cost of logins and of operations on devices and tokens. A login needs at most three
//! sequential calls.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::{
    api::support::{add_appservice, post_as, register_as, request, text},
    flows::{
        cost::CostTable,
        support::{
            account_helpers::{LOGIN, OTHER_PASSWORD, login_of, sign_up_with},
            synapse::Synapse,
            threepid_helpers::{EMAIL, MAIL},
        },
    },
};

const ADDRESS: &str = "alice@example.org";

/// A server after its first requests, with alice's account.
async fn warm(limits: &str) -> TestServer {
    let flows = (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity",
    );
    let server = TestServer::with(&[flows, MAIL, ("GATEHOUSE_LIMITS", limits)]).await;
    let token = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &token, "irc_alice").await.ok();
    sign_up_with(&server, "alice", EMAIL, ADDRESS).await;
    server.deliver().await;
    server.advance(Duration::from_hours(1));
    server
}

fn by_address(password: &str) -> Value {
    json!({
        "type": "m.login.password", "password": password,
        "identifier": { "medium": "email", "address": ADDRESS },
    })
}

async fn logins(limits: &str) -> CostTable {
    let server = warm(limits).await;
    let mut costs = CostTable::default();
    let mut service = login_of("irc_alice", "");
    service["type"] = "m.login.application_service".into();
    for (what, body, status) in [
        ("login", login_of("alice", PASSWORD), 200),
        ("login, wrong", login_of("alice", OTHER_PASSWORD), 403),
        ("login, nobody", login_of("nobody", OTHER_PASSWORD), 403),
        ("login by address", by_address(PASSWORD), 200),
        ("login by address, wrong", by_address(OTHER_PASSWORD), 403),
    ] {
        server.advance(Duration::from_hours(1));
        let reply = costs
            .measure(what, &server, server.post(LOGIN, &body))
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    server.advance(Duration::from_hours(1));
    let login = post_as(&server, "irc-as-token", LOGIN, &service);
    let reply = costs
        .measure(
            "login by application service, first in a minute",
            &server,
            login,
        )
        .await;
    reply.ok();
    costs
}

async fn tokens(limits: &str) -> CostTable {
    let server = warm(limits).await;
    let mut costs = CostTable::default();
    let pair = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    let path = "/_matrix/client/v3/refresh";
    let body = json!({ "refresh_token": pair["refresh_token"] });
    let mut next = Value::Null;
    for what in ["refresh", "refresh, repeated"] {
        server.advance(Duration::from_hours(1));
        let reply = costs.measure(what, &server, server.post(path, &body)).await;
        next = reply.ok();
    }
    let token = text(&next, "access_token");
    let device = text(&pair, "device_id").to_owned();
    let device = format!("devices/{device}");
    for (what, method, path, body) in [
        ("whoami, first use", "GET", "account/whoami", ""),
        ("whoami", "GET", "account/whoami", ""),
        ("capabilities", "GET", "capabilities", ""),
        ("devices", "GET", "devices", ""),
        ("device", "GET", device.as_str(), ""),
        ("device, named", "PUT", &device, "{\"display_name\":\"x\"}"),
    ] {
        let path = format!("{}/{path}", PREFIXES[1]);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let request = request(method, &path, &headers, body.as_bytes());
        let reply = costs.measure(what, &server, server.send(request)).await;
        reply.ok();
    }
    let other = server.post(LOGIN, &login_of("alice", PASSWORD)).await.ok();
    for (what, path, token) in [
        ("logout", "logout", token),
        (
            "logout everywhere",
            "logout/all",
            text(&other, "access_token"),
        ),
    ] {
        let path = format!("{}/{path}", PREFIXES[1]);
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let reply = costs
            .measure(
                what,
                &server,
                server.send(request.body(Vec::new()).unwrap()),
            )
            .await;
        reply.ok();
    }
    costs
}

#[tokio::test]
async fn device_operations_have_their_known_cost() {
    let mut costs = logins("off").await;
    costs.extend(tokens("off").await);
    costs.assert(WITHOUT_LIMITS);
}

/// A login reads the bucket of the account and the row of the known network with the account, so that its calls do not
/// depend on their state. It charges the bucket in parallel with the hash.
#[tokio::test]
async fn device_operations_with_limits_have_their_known_cost() {
    let mut costs = logins("on").await;
    costs.extend(tokens("on").await);
    costs.assert(WITH_LIMITS);
}

/// HS-21: the device of an imported token is known only after the first read.
#[tokio::test]
async fn hs_21_imported_tokens_cost_one_more_read() {
    let synapse = Synapse::new();
    synapse.user("alice", None);
    synapse.device("alice", "PHONE");
    let pair = synapse.pair("alice", "PHONE", None, None);
    let server = TestServer::new().await;
    synapse.import_all(&server).await;
    let mut costs = CostTable::default();
    let path = format!("{}/refresh", PREFIXES[1]);
    let body = json!({ "refresh_token": pair.refresh });
    for what in ["refresh", "refresh, repeated"] {
        let reply = costs
            .measure(what, &server, server.post(&path, &body))
            .await;
        reply.ok();
    }
    let unknown = synapse.token("syt", "alice");
    for (what, token, status) in [
        ("whoami", &pair.access, 200),
        ("whoami, unknown", &unknown, 401),
    ] {
        costs
            .expect(what, &server, server.whoami(token), status)
            .await;
    }
    let request = Request::post(format!("{}/logout", PREFIXES[1]));
    let request = request.header("authorization", format!("Bearer {}", pair.access));
    let request = request.body(Vec::new()).unwrap();
    costs
        .expect("logout", &server, server.send(request), 200)
        .await;
    costs.assert(IMPORTED);
}

const IMPORTED: &str = "
    refresh: BatchGetItem Accounts > BatchGetItem Accounts > UpdateItem Accounts = 3r 1w
    refresh, repeated: BatchGetItem Accounts > BatchGetItem Accounts = 3r 0w
    whoami: BatchGetItem Accounts > BatchGetItem Accounts = 3r 0w
    whoami, unknown: BatchGetItem Accounts = 2r 0w
    logout: BatchGetItem Accounts > BatchGetItem Accounts > DeleteItem Accounts = 3r 1w
";

const WITHOUT_LIMITS: &str = "
    login: BatchGetItem Accounts > TransactWriteItems Accounts = 2r 4w
    login, wrong: BatchGetItem Accounts = 2r 0w
    login, nobody: BatchGetItem Accounts = 2r 0w
    login by address: GetItem Accounts > BatchGetItem Accounts > TransactWriteItems Accounts = 3r 4w
    login by address, wrong: GetItem Accounts > BatchGetItem Accounts = 3r 0w
    login by application service, first in a minute: BatchGetItem Accounts > BatchGetItem Accounts > TransactWriteItems Accounts = 2r 4w
    refresh: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
    refresh, repeated: BatchGetItem Accounts = 2r 0w
    whoami, first use: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
    whoami: BatchGetItem Accounts = 2r 0w
    capabilities: BatchGetItem Accounts = 2r 0w
    devices: BatchGetItem Accounts > Query Accounts = 3r 0w
    device: BatchGetItem Accounts > GetItem Accounts = 3r 0w
    device, named: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
    logout: BatchGetItem Accounts > DeleteItem Accounts = 2r 1w
    logout everywhere: BatchGetItem Accounts > TransactWriteItems Accounts&Outbox = 2r 5w
";

const WITH_LIMITS: &str = "
    login: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 4r 11w
    login, wrong: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 4r 4w
    login, nobody: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 4r 4w
    login by address: GetItem Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts&Limits > UpdateItem Limits > TransactWriteItems Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 5r 11w
    login by address, wrong: GetItem Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts&Limits > UpdateItem Limits = 5r 4w
    login by application service, first in a minute: BatchGetItem Accounts > BatchGetItem Accounts + UpdateItem Limits > TransactWriteItems Accounts = 2r 5w
    refresh: BatchGetItem Accounts + UpdateItem Limits > UpdateItem Limits > UpdateItem Accounts = 2r 3w
    refresh, repeated: BatchGetItem Accounts + UpdateItem Limits > UpdateItem Limits = 2r 2w
    whoami, first use: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Accounts = 2r 3w
    whoami: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 2w
    capabilities: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 2w
    devices: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > Query Accounts = 3r 2w
    device: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > GetItem Accounts = 3r 2w
    device, named: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Accounts = 2r 3w
    logout: BatchGetItem Accounts + UpdateItem Limits > DeleteItem Accounts = 2r 2w
    logout everywhere: BatchGetItem Accounts + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&Outbox = 2r 6w
";
