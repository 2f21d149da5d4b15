//! The cost of changing a password and of deactivating an account. It is the same with one device
//! and with ten thousand.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::WHOAMI,
    flows::{
        cost::{CostTable, measure},
        support::{
            account_helpers::{
                ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, OTHER_PASSWORD,
                PASSWORD_PATH, log_in, password_of, request_reset_token, rows_of, sign_up_with,
                with_auth,
            },
            threepid_helpers::{ALICE, EMAIL},
        },
    },
};

/// A server after its first requests, with an account that has two devices, and with full quotas.
async fn warm(limits: &str) -> (TestServer, Device, Device) {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", limits)]].concat();
    let server = TestServer::with(&settings).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let second = log_in(&server, "alice", PASSWORD).await;
    server.advance(Duration::from_hours(1));
    (server, alice, second)
}

/// Advances the clock until every rate limit has its full quota again.
fn rest(server: &TestServer) {
    server.advance(Duration::from_mins(9));
}

fn by_password(body: Value, session: Option<&str>) -> Value {
    with_auth(body, password_of("alice", PASSWORD, session))
}

async fn costs(limits: &str) -> CostTable {
    let mut costs = Box::pin(changes_in_a_session(limits)).await;
    costs.extend(Box::pin(changes_in_one_request(limits)).await);
    costs.extend(Box::pin(deactivations(limits)).await);
    costs
}

async fn changes_in_a_session(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let change = json!({ "new_password": OTHER_PASSWORD });
    let (server, alice, _) = warm(limits).await;
    rest(&server);
    let reply = costs
        .measure(
            "change, challenge",
            &server,
            alice.post(&server, PASSWORD_PATH, &change),
        )
        .await;
    let challenge = reply.challenge();
    let session = challenge["session"].as_str();
    let wrong = with_auth(change.clone(), password_of("alice", "wrong", session));
    rest(&server);
    let reply = costs
        .measure(
            "change, wrong password",
            &server,
            alice.post(&server, PASSWORD_PATH, &wrong),
        )
        .await;
    reply.refused("M_FORBIDDEN");
    let others = with_auth(change.clone(), password_of("bob", PASSWORD, session));
    rest(&server);
    let reply = costs
        .measure(
            "change, another user's",
            &server,
            alice.post(&server, PASSWORD_PATH, &others),
        )
        .await;
    reply.error(403, "M_FORBIDDEN");
    let last = by_password(change.clone(), session);
    rest(&server);
    let reply = costs
        .measure(
            "change, final",
            &server,
            alice.post(&server, PASSWORD_PATH, &last),
        )
        .await;
    reply.ok();
    rest(&server);
    let reply = costs
        .measure(
            "change, repeated",
            &server,
            alice.post(&server, PASSWORD_PATH, &last),
        )
        .await;
    reply.ok();

    costs
}

async fn changes_in_one_request(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let change = json!({ "new_password": OTHER_PASSWORD });
    let (server, alice, _) = warm(limits).await;
    let once = by_password(change.clone(), None);
    rest(&server);
    let reply = costs
        .measure(
            "change, one request",
            &server,
            alice.post(&server, PASSWORD_PATH, &once),
        )
        .await;
    reply.ok();

    let (server, _, _) = warm(limits).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    rest(&server);
    let reply = costs
        .measure(
            "reset, one request",
            &server,
            server.post(PASSWORD_PATH, &body),
        )
        .await;
    reply.ok();

    costs
}

async fn deactivations(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let (server, alice, _) = warm(limits).await;
    let (_, session) = alice.begin(&server, DEACTIVATE_PATH, &json!({})).await;
    let last = by_password(json!({}), Some(&session));
    rest(&server);
    let reply = costs
        .measure(
            "deactivate, final",
            &server,
            alice.post(&server, DEACTIVATE_PATH, &last),
        )
        .await;
    reply.ok();
    rest(&server);
    let reply = costs
        .measure(
            "deactivate, repeated",
            &server,
            alice.post(&server, DEACTIVATE_PATH, &last),
        )
        .await;
    reply.ok();

    let (server, _, _) = warm(limits).await;
    let last = by_password(json!({}), None);
    rest(&server);
    let reply = costs
        .measure(
            "deactivate without a token",
            &server,
            server.post(DEACTIVATE_PATH, &last),
        )
        .await;
    reply.ok();

    let (server, alice, second) = warm(limits).await;
    let last = by_password(json!({ "devices": [second.id] }), None);
    rest(&server);
    let reply = costs
        .measure(
            "delete devices, one request",
            &server,
            alice.post(&server, DELETE_DEVICES_PATH, &last),
        )
        .await;
    reply.ok();

    costs
}

/// Round trips: a challenge 2, a change 2, a reset 4, a deactivation 3; a deactivation without a
/// token 4, because the account has to be looked up first.
#[tokio::test]
async fn password_change_and_deactivation_have_their_known_cost() {
    Box::pin(costs("off")).await.assert(WITHOUT_LIMITS);
}

/// Rate limits add a round trip in three cases: the limit on notifications of the owner, consumed in
/// parallel with the hash; without a token the limit on requests, because no first read runs in
/// parallel; and without a token the limit on attempts at the account, consumed in parallel with the hash.
#[tokio::test]
async fn password_change_with_limits_has_its_known_cost() {
    Box::pin(costs("on")).await.assert(WITH_LIMITS);
}

/// Adds `number` devices to an account, as logins would.
fn devices(server: &TestServer, name: &str, number: usize) {
    let (_, row) = rows_of(server, name)
        .into_iter()
        .find(|(sk, _)| sk.starts_with("DEV#"))
        .unwrap();
    let table = format!("{}-accounts", server.local.config().tables);
    let all: Vec<usize> = (0..number).collect();
    for chunk in all.chunks(25) {
        let puts: Vec<Value> = chunk
            .iter()
            .map(|id| {
                let mut row = row.clone();
                row["sk"]["S"] = format!("DEV#MANY{id}").into();
                json!({ "PutRequest": { "Item": row } })
            })
            .collect();
        let body = json!({ "RequestItems": { &table: puts } });
        server.raw_dynamodb("BatchWriteItem", &body);
    }
}

/// PWD-08, DEACT-03: one write logs out ten thousand devices. Their rows are removed later, see
/// `purge`.
#[tokio::test]
async fn pwd_08_ten_thousand_devices_cost_no_more_than_two() {
    for (path, body, what) in [
        (
            PASSWORD_PATH,
            json!({ "new_password": OTHER_PASSWORD }),
            "change, final",
        ),
        (DEACTIVATE_PATH, json!({}), "deactivate, final"),
    ] {
        let (server, alice, second) = warm("off").await;
        devices(&server, "alice", 10_000);
        let (_, session) = alice.begin(&server, path, &body).await;
        let last = by_password(body, Some(&session));
        rest(&server);
        let (reply, cost) = measure(&server, alice.post(&server, path, &last)).await;
        reply.ok();
        let expected = format!("{what}: {cost}");
        assert!(
            WITHOUT_LIMITS.lines().any(|line| line.trim() == expected),
            "{expected}"
        );
        assert!(!second.is_valid(&server).await);
        let reply = server.get_as(&alice.token, WHOAMI).await;
        assert_eq!(reply.status == 200, path == PASSWORD_PATH);
    }
}

const WITHOUT_LIMITS: &str = "
    change, challenge: BatchGetItem Accounts > PutItem UiaSessions = 3r 1w
    change, wrong password: BatchGetItem Accounts&UiaSessions + Query Accounts = 5r 0w
    change, another user's: BatchGetItem Accounts&UiaSessions + Query Accounts = 5r 0w
    change, final: BatchGetItem Accounts&UiaSessions + Query Accounts > TransactWriteItems Accounts&Outbox&UiaSessions = 5r 14w
    change, repeated: BatchGetItem Accounts&UiaSessions + Query Accounts = 5r 0w
    change, one request: BatchGetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox = 4r 12w
    reset, one request: GetItem Proofs > GetItem Accounts > BatchGetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&Proofs = 4r 14w
    deactivate, final: BatchGetItem Accounts&UiaSessions > Query Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&UiaSessions = 6r 16w
    deactivate, repeated: BatchGetItem Accounts&UiaSessions = 4r 0w
    deactivate without a token: BatchGetItem Accounts > BatchGetItem Accounts > Query Accounts + Query Accounts > TransactWriteItems Accounts&Outbox = 6r 14w
    delete devices, one request: BatchGetItem Accounts > TransactWriteItems Accounts = 3r 4w
";

const WITH_LIMITS: &str = "
    change, challenge: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 3r 4w
    change, wrong password: BatchGetItem Accounts&UiaSessions + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 5r 5w
    change, another user's: BatchGetItem Accounts&UiaSessions + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 5r 4w
    change, final: BatchGetItem Accounts&UiaSessions + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > TransactWriteItems Accounts&Outbox&UiaSessions + UpdateItem Limits = 5r 24w
    change, repeated: BatchGetItem Accounts&UiaSessions + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 5r 6w
    change, one request: BatchGetItem Accounts + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > TransactWriteItems Accounts&Outbox + UpdateItem Limits = 4r 22w
    reset, one request: GetItem Proofs + UpdateItem Limits + UpdateItem Limits > GetItem Accounts > BatchGetItem Accounts + Query Accounts + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&Outbox&Proofs + UpdateItem Limits = 4r 19w
    deactivate, final: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > Query Accounts + Query Accounts + UpdateItem Limits > TransactWriteItems Accounts&Outbox&UiaSessions = 6r 23w
    deactivate, repeated: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 4r 6w
    deactivate without a token: UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > Query Accounts + Query Accounts > TransactWriteItems Accounts&Outbox = 8r 21w
    delete devices, one request: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts = 3r 11w
";
