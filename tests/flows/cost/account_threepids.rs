//! The cost of operations on the addresses of an account.

use std::time::Duration;

use serde_json::json;
use test_support::TestServer;

use crate::{
    api::{
        account_threepids::{
            ADD, LIST, add, add_threepid, remove, user_token, validated_credentials, with_password,
        },
        support::post_as,
    },
    flows::{
        account_threepids::test_server,
        cost::CostTable,
        support::{threepid_helpers::ALICE, with},
    },
};

const SECOND: &str = "second@example.org";
const THIRD: &str = "third@example.org";

/// A server after its first requests, with an account that has an address.
async fn warm(limits: &str) -> (TestServer, String) {
    let server = test_server(&[("GATEHOUSE_LIMITS", limits)]).await;
    let token = user_token(&server, "alice").await;
    add_threepid(&server, &token, ALICE).await;
    rest(&server);
    (server, token)
}

/// Advances the clock until every rate limit has its full quota again.
fn rest(server: &TestServer) {
    server.advance(Duration::from_hours(2));
}

async fn deprecated(limits: &str) -> CostTable {
    let (server, token) = warm(limits).await;
    let mut costs = CostTable::default();
    let reply = costs
        .measure("list", &server, server.get_as(&token, LIST))
        .await;
    reply.ok();
    let creds = validated_credentials(&server, SECOND, "secret").await;
    for what in ["add", "add, repeated"] {
        let reply = costs
            .measure(what, &server, add(&server, &token, &creds))
            .await;
        reply.ok();
        rest(&server);
    }
    let reply = costs
        .measure("add, invalid token", &server, add(&server, "junk", &creds))
        .await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    rest(&server);
    let other = json!({ "sid": "unknown", "client_secret": "secret" });
    let reply = costs
        .measure("add, not validated", &server, add(&server, &token, &other))
        .await;
    reply.error(403, "M_THREEPID_AUTH_FAILED");
    for what in ["remove", "remove, not there"] {
        rest(&server);
        let reply = costs
            .measure(what, &server, remove(&server, &token, SECOND))
            .await;
        reply.ok();
    }
    costs
}

async fn uia_request(limits: &str) -> CostTable {
    let (server, token) = warm(limits).await;
    let mut costs = CostTable::default();
    let creds = validated_credentials(&server, SECOND, "secret").await;
    rest(&server);
    let reply = costs
        .measure(
            "add, challenge",
            &server,
            post_as(&server, &token, ADD, &creds),
        )
        .await;
    let challenge = reply.challenge();
    let auth = with_password("alice", &creds)["auth"].clone();
    let auth = with(auth, &json!({ "session": challenge["session"] }));
    rest(&server);
    for what in ["add, in a session", "add, in a session, repeated"] {
        let body = json!({ "auth": auth });
        let reply = costs
            .measure(what, &server, post_as(&server, &token, ADD, &body))
            .await;
        reply.ok();
        // The stored response is replayed for ten minutes.
        server.advance(Duration::from_mins(2));
    }
    let creds = validated_credentials(&server, THIRD, "secret").await;
    rest(&server);
    let body = with_password("alice", &creds);
    let reply = costs
        .measure(
            "add, in one request",
            &server,
            post_as(&server, &token, ADD, &body),
        )
        .await;
    reply.ok();
    costs
}

async fn all(limits: &str) -> CostTable {
    let mut costs = deprecated(limits).await;
    costs.extend(uia_request(limits).await);
    costs
}

/// Round trips: a list 2; an addition 3 (the account is read before its addresses, and both before
/// the write); an addition in a session that stores its parameters 4; a removal 4, the last one for
/// bindings on identity servers.
#[tokio::test]
async fn account_threepid_operations_have_their_known_cost() {
    all("off").await.assert(WITHOUT_LIMITS);
}

/// Rate limits add a round trip in two cases: the limit on additions is consumed immediately before
/// the write, and the limit on password attempts includes a refund.
#[tokio::test]
async fn account_threepid_operations_with_limits_have_known_cost() {
    all("on").await.assert(WITH_LIMITS);
}

const WITHOUT_LIMITS: &str = "
    list: BatchGetItem Accounts > Query Accounts = 3r 0w
    add: BatchGetItem Accounts + GetItem Proofs > GetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&Proofs = 5r 14w
    add, repeated: BatchGetItem Accounts + GetItem Proofs > GetItem Accounts = 4r 0w
    add, invalid token: BatchGetItem Accounts + GetItem Proofs = 2r 0w
    add, not validated: BatchGetItem Accounts + GetItem Proofs = 3r 0w
    remove: BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts&Outbox > Query Accounts = 4r 12w
    remove, not there: BatchGetItem Accounts > Query Accounts > Query Accounts = 4r 0w
    add, challenge: BatchGetItem Accounts + GetItem Proofs > PutItem UiaSessions = 4r 1w
    add, in a session: BatchGetItem Accounts&UiaSessions > GetItem Proofs > GetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&Proofs&UiaSessions = 7r 18w
    add, in a session, repeated: BatchGetItem Accounts&UiaSessions = 4r 0w
    add, in one request: BatchGetItem Accounts + GetItem Proofs > GetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&Proofs = 6r 19w
";

const WITH_LIMITS: &str = "
    list: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > Query Accounts = 3r 2w
    add: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits > GetItem Accounts + Query Accounts > UpdateItem Limits > TransactWriteItems Accounts&Outbox&Proofs = 5r 17w
    add, repeated: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits > GetItem Accounts = 4r 2w
    add, invalid token: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits = 2r 1w
    add, not validated: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits = 3r 2w
    remove: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > Query Accounts > TransactWriteItems Accounts&Outbox > Query Accounts = 4r 14w
    remove, not there: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > Query Accounts > Query Accounts = 4r 2w
    add, challenge: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 4r 4w
    add, in a session: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > GetItem Proofs > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > GetItem Accounts + Query Accounts > UpdateItem Limits > TransactWriteItems Accounts&Outbox&Proofs&UiaSessions = 7r 26w
    add, in a session, repeated: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 4r 6w
    add, in one request: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > GetItem Accounts + Query Accounts > UpdateItem Limits > TransactWriteItems Accounts&Outbox&Proofs = 6r 27w
";
