//! The cost of registration, of UIA sessions and of the read-only endpoints.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use http::Request;
use serde_json::json;
use test_support::{PREFIXES, TestServer};

use crate::flows::{
    cost::CostTable,
    support::{
        DUMMY, flows, hash_counting::HashCountingServer, new_token, page, registration, stage,
        submit, token_stage, with,
    },
};

const SETTINGS: [(&str, &str); 2] = [
    (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.registration_token",
    ),
    ("GATEHOUSE_GUESTS", "true"),
];

/// A server after its first requests.
async fn warm(limits: &str) -> TestServer {
    let mut settings = SETTINGS.to_vec();
    settings.push(("GATEHOUSE_LIMITS", limits));
    let server = TestServer::with(&settings).await;
    server.sign_up("taken").await;
    let available = format!("{}/register/available?username=x", PREFIXES[1]);
    server.get(&available).await.ok();
    // After this time the quotas are full again.
    server.advance(Duration::from_secs(30));
    server
}

/// Measures all operations, each group on a new server.
async fn all(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    costs.extend(reads(limits).await);
    costs.extend(Box::pin(sign_ups(limits)).await);
    costs.extend(Box::pin(sessions(limits)).await);
    costs.extend(others(limits).await);
    costs
}

async fn reads(limits: &str) -> CostTable {
    let server = warm(limits).await;
    let token = new_token(&server, &["--uses", "20"]).await;
    let mut costs = CostTable::default();
    let available = |name: &str| format!("{}/register/available?username={name}", PREFIXES[1]);
    let reply = costs
        .measure("available, free", &server, server.get(&available("alice")))
        .await;
    assert_eq!(reply.status, 200);
    server.advance(Duration::from_secs(30));
    let reply = costs
        .measure("available, taken", &server, server.get(&available("taken")))
        .await;
    assert_eq!(reply.status, 400);
    let answer = server.sign_up("bob").await;
    let path = format!("{}/account/whoami", PREFIXES[1]);
    let token_of_bob = answer["access_token"].as_str().unwrap();
    let reply = costs
        .measure("whoami", &server, server.get_as(token_of_bob, &path))
        .await;
    reply.ok();
    let reply = costs
        .measure(
            "whoami, invalid token",
            &server,
            server.get_as("junk", &path),
        )
        .await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    let validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";
    for (what, token) in [
        ("validity, good", &*token),
        ("validity, unknown", "unknown-token"),
    ] {
        server.advance(Duration::from_mins(10));
        let reply = costs
            .measure(what, &server, server.get(&format!("{validity}{token}")))
            .await;
        reply.ok();
    }
    let _ = costs
        .measure("versions", &server, server.get("/_matrix/client/versions"))
        .await;
    costs
}

async fn sign_ups(limits: &str) -> CostTable {
    let dummy = json!({ "auth": { "type": DUMMY } });
    let mut costs = CostTable::default();
    let server = warm(limits).await;
    costs
        .register("challenge, empty", &server, &json!({}), 401)
        .await;
    let server = warm(limits).await;
    costs
        .register(
            "challenge, with a name",
            &server,
            &registration("alice"),
            401,
        )
        .await;
    let server = warm(limits).await;
    costs
        .register("rejected, name taken", &server, &registration("taken"), 400)
        .await;
    let server = warm(limits).await;
    costs
        .register(
            "one request, dummy",
            &server,
            &with(registration("alice"), &dummy),
            200,
        )
        .await;
    for (what, arguments) in [
        ("one request, limited token", &["--uses", "20"][..]),
        ("one request, unlimited token", &[]),
    ] {
        let server = warm(limits).await;
        let token = new_token(&server, arguments).await;
        let body = with(registration("alice"), &token_stage(&token, None));
        costs.register(what, &server, &body, 200).await;
    }
    let server = warm(limits).await;
    let body = with(registration("alice"), &token_stage("unknown-token", None));
    costs
        .register("one request, unknown token", &server, &body, 401)
        .await;
    let server = warm(limits).await;
    let path = format!("{}/register?kind=guest", PREFIXES[1]);
    let reply = costs
        .measure("guest", &server, server.post(&path, &json!({})))
        .await;
    reply.ok();
    costs
}

async fn sessions(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let server = warm(limits).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.advance(Duration::from_secs(30));
    let last = with(registration("alice"), &stage(DUMMY, &session));
    costs
        .register("final, all in the request", &server, &last, 200)
        .await;
    server.advance(Duration::from_secs(30));
    costs.register("final, repeated", &server, &last, 200).await;
    let server = warm(limits).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.advance(Duration::from_secs(30));
    let poll = json!({ "auth": { "session": session } });
    costs.register("poll", &server, &poll, 401).await;
    server.advance(Duration::from_secs(30));
    costs
        .register("final, remembered", &server, &stage(DUMMY, &session), 200)
        .await;
    let server = warm(limits).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.advance(Duration::from_secs(30));
    let path = page(PREFIXES[1], DUMMY, &session);
    let _ = costs.measure("page", &server, server.get(&path)).await;
    server.advance(Duration::from_secs(30));
    let _ = costs
        .measure("page, submitted", &server, submit(&server, &path, ""))
        .await;
    let poll = json!({ "auth": { "session": session } });
    costs
        .register("final, session only", &server, &poll, 200)
        .await;
    costs
}

async fn others(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let settings = [
        flows("m.login.registration_token+m.login.dummy"),
        ("GATEHOUSE_LIMITS", limits),
    ];
    let server = TestServer::with(&settings).await;
    let token = new_token(&server, &["--uses", "20"]).await;
    costs
        .register(
            "challenge, first of a process",
            &server,
            &registration("alice"),
            401,
        )
        .await;
    let (_, session) = server.begin(&registration("alice")).await;
    server.advance(Duration::from_secs(30));
    let body = token_stage(&token, Some(&session));
    costs
        .register("token, first of two stages", &server, &body, 401)
        .await;
    server.advance(Duration::from_secs(30));
    let last = with(registration("alice"), &stage(DUMMY, &session));
    costs.register("token, final", &server, &last, 200).await;
    costs
}

/// Round trips: available 1, whoami 1, challenge 2, final request of a registration 2, or 3 if a
/// registration token of an earlier request has to be looked up again.
#[tokio::test]
async fn registration_and_reads_have_their_known_cost() {
    Box::pin(all("off")).await.assert(WITHOUT_LIMITS);
}

/// Rate limits add a round trip in three cases: the refund of a successful attempt, in parallel with
/// the password hash; a hash or a session that cannot be predicted from the request; and a guest
/// registration, which has no first read.
#[tokio::test]
async fn limits_run_beside_the_first_read_without_a_round_trip() {
    Box::pin(all("on")).await.assert(WITH_LIMITS);
}

const WITHOUT_LIMITS: &str = "
    available, free: BatchGetItem Accounts = 1r 0w
    available, taken: BatchGetItem Accounts = 2r 0w
    whoami: BatchGetItem Accounts = 2r 0w
    whoami, invalid token: BatchGetItem Accounts = 1r 0w
    validity, good: Query Accounts = 1r 0w
    validity, unknown: Query Accounts = 1r 0w
    versions: nothing
    challenge, empty: PutItem UiaSessions = 0r 1w
    challenge, with a name: BatchGetItem Accounts > PutItem UiaSessions = 1r 1w
    rejected, name taken: BatchGetItem Accounts = 1r 0w
    one request, dummy: BatchGetItem Accounts > TransactWriteItems Accounts = 1r 6w
    one request, limited token: BatchGetItem Accounts + Query Accounts > TransactWriteItems Accounts = 2r 8w
    one request, unlimited token: BatchGetItem Accounts + Query Accounts > TransactWriteItems Accounts = 2r 6w
    one request, unknown token: BatchGetItem Accounts + Query Accounts > PutItem UiaSessions = 2r 1w
    guest: TransactWriteItems Accounts = 0r 4w
    final, all in the request: BatchGetItem Accounts&UiaSessions > TransactWriteItems Accounts&UiaSessions = 3r 8w
    final, repeated: BatchGetItem Accounts&UiaSessions > BatchGetItem Accounts = 4r 0w
    poll: BatchGetItem Accounts&UiaSessions = 2r 0w
    final, remembered: BatchGetItem UiaSessions > TransactWriteItems Accounts&UiaSessions = 1r 8w
    page: BatchGetItem UiaSessions = 1r 0w
    page, submitted: BatchGetItem UiaSessions > PutItem UiaSessions = 1r 1w
    final, session only: BatchGetItem Accounts&UiaSessions > TransactWriteItems Accounts&UiaSessions = 2r 8w
    challenge, first of a process: BatchGetItem Accounts > PutItem UiaSessions = 2r 1w
    token, first of two stages: BatchGetItem UiaSessions + Query Accounts > PutItem UiaSessions = 2r 1w
    token, final: BatchGetItem Accounts&UiaSessions > Query Accounts > TransactWriteItems Accounts&UiaSessions = 4r 10w
";

const WITH_LIMITS: &str = "
    available, free: BatchGetItem Accounts + UpdateItem Limits = 1r 1w
    available, taken: BatchGetItem Accounts + UpdateItem Limits = 2r 1w
    whoami: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits = 2r 2w
    whoami, invalid token: BatchGetItem Accounts + UpdateItem Limits > UpdateItem Limits = 1r 1w
    validity, good: Query Accounts + UpdateItem Limits > UpdateItem Limits = 1r 2w
    validity, unknown: Query Accounts + UpdateItem Limits = 1r 1w
    versions: nothing
    challenge, empty: UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 0r 3w
    challenge, with a name: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 1r 3w
    rejected, name taken: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits = 1r 2w
    one request, dummy: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Accounts > UpdateItem Limits = 1r 9w
    one request, limited token: BatchGetItem Accounts + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts > UpdateItem Limits = 2r 13w
    one request, unlimited token: BatchGetItem Accounts + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts > UpdateItem Limits = 2r 11w
    one request, unknown token: BatchGetItem Accounts + Query Accounts + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > PutItem UiaSessions = 2r 5w
    guest: UpdateItem Limits > TransactWriteItems Accounts = 0r 5w
    final, all in the request: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Accounts&UiaSessions > UpdateItem Limits = 3r 11w
    final, repeated: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts = 4r 2w
    poll: BatchGetItem Accounts&UiaSessions + UpdateItem Limits = 2r 1w
    final, remembered: BatchGetItem UiaSessions + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Accounts&UiaSessions > UpdateItem Limits = 1r 11w
    page: BatchGetItem UiaSessions > UpdateItem Limits = 1r 1w
    page, submitted: BatchGetItem UiaSessions + UpdateItem Limits > PutItem UiaSessions = 1r 2w
    final, session only: BatchGetItem Accounts&UiaSessions + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&UiaSessions > UpdateItem Limits = 2r 11w
    challenge, first of a process: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 2r 3w
    token, first of two stages: BatchGetItem UiaSessions + Query Accounts + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions + UpdateItem Limits = 2r 4w
    token, final: BatchGetItem Accounts&UiaSessions + UpdateItem Limits + UpdateItem Limits > Query Accounts > TransactWriteItems Accounts&UiaSessions > UpdateItem Limits = 4r 13w
";

/// UIA-19: a password is hashed when the account is created and at no other time.
#[tokio::test]
async fn only_a_finished_registration_hashes_a_password() {
    let server = HashCountingServer::start(&SETTINGS);
    let (status, challenge) = server.register(&registration("alice")).await;
    assert_eq!(
        (status, server.hashes()),
        (401, 0),
        "a challenge hashes nothing"
    );
    let session = challenge["session"].as_str().unwrap();
    for (body, status) in [
        (json!({ "auth": { "session": session } }), 401),
        (stage("m.login.terms", session), 401),
        (token_stage("unknown-token", Some(session)), 401),
        (with(registration("b@d"), &stage(DUMMY, session)), 400),
    ] {
        assert_eq!(server.register(&body).await.0, status);
        assert_eq!(server.hashes(), 0, "{body}");
    }
    assert_eq!(server.register(&stage(DUMMY, session)).await.0, 200);
    assert_eq!(server.hashes(), 1);
    assert_eq!(server.register(&stage(DUMMY, session)).await.0, 200);
    assert_eq!(server.hashes(), 1, "a replay hashes nothing");
    let taken = with(registration("alice"), &json!({ "auth": { "type": DUMMY } }));
    assert_eq!(server.register(&taken).await.0, 400);
    assert_eq!(
        server.hashes(),
        1,
        "a name that is known to be taken hashes nothing"
    );
    let no_password = json!({ "username": "bob", "auth": { "type": DUMMY } });
    assert_eq!(server.register(&no_password).await.0, 400);
    assert_eq!(server.hashes(), 1);
    let guest = Request::post(format!("{}/register?kind=guest", PREFIXES[1]));
    assert_eq!(
        server.send(guest.body(b"{}".to_vec()).unwrap()).await.0,
        200
    );
    assert_eq!(server.hashes(), 1, "a guest has no password");
    let bob = with(registration("bob"), &json!({ "auth": { "type": DUMMY } }));
    assert_eq!(server.register(&bob).await.0, 200);
    assert_eq!(server.hashes(), 2);
}
