//! The cost of validating an address: the request for a message, the validation and the sign-up
//! with it.

use std::time::Duration;

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use crate::flows::{
    cost::CostTable,
    support::{
        page, registration, submit,
        threepid_helpers::{
            ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, code_to, confirm, form_of, link_to, mail_to,
            path_of, request_mail, request_text, request_token, text_to,
        },
        with,
    },
};

/// A server after its first requests, with full quotas.
async fn warm(limits: &str, more: &[(&str, &str)]) -> TestServer {
    let offered = (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity m.login.msisdn",
    );
    let own = [offered, MAIL, SMS, ("GATEHOUSE_LIMITS", limits)];
    let server = TestServer::with(&[&own, more].concat()).await;
    server.sign_up("taken").await;
    rest(&server);
    server
}

/// Advances the clock until every rate limit has its full quota again.
fn rest(server: &TestServer) {
    server.advance(Duration::from_secs(30));
}

async fn requests(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let hiding = warm(limits, &[]).await;
    let disclosing = [("GATEHOUSE_THREEPID_PRIVACY", "tell")];
    let disclosing = warm(limits, &disclosing).await;
    for (what, server, attempt) in [
        ("mail", &hiding, 1),
        ("mail, repeated", &hiding, 1),
        ("mail, next attempt", &hiding, 2),
        ("mail, ownership disclosed", &disclosing, 1),
    ] {
        server.advance(Duration::from_hours(1));
        let body = mail_to(ALICE, "secret", attempt);
        let path = request_token(PREFIXES[1], EMAIL);
        let reply = costs.measure(what, server, server.post(&path, &body)).await;
        reply.ok();
    }
    for (what, server, attempt) in [
        ("text", &hiding, 1),
        ("text, repeated", &hiding, 1),
        ("text, next attempt", &hiding, 2),
        ("text, ownership disclosed", &disclosing, 1),
    ] {
        server.advance(Duration::from_hours(1));
        let body = text_to(NUMBER.0, "secret", attempt);
        let path = request_token(PREFIXES[1], MSISDN);
        let reply = costs.measure(what, server, server.post(&path, &body)).await;
        reply.ok();
    }
    costs
}

async fn validations(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let server = warm(limits, &[]).await;
    request_mail(&server, ALICE, "secret").await;
    server.deliver().await;
    let link = link_to(&server, ALICE);
    let (path, form) = form_of(&server, &link).await;
    rest(&server);
    let _ = costs
        .measure("link, opened", &server, server.get(path_of(&link)))
        .await;
    for what in ["link, confirmed", "link, confirmed again"] {
        rest(&server);
        let reply = costs
            .measure(what, &server, submit(&server, &path, &form))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    request_mail(&server, "bob@example.org", "secret").await;
    server.deliver().await;
    let (path, form) = form_of(&server, &link_to(&server, "bob@example.org")).await;
    rest(&server);
    let refuse = format!("{form}&action=refuse");
    let _ = costs
        .measure("link, rejected", &server, submit(&server, &path, &refuse))
        .await;
    let validation = request_text(&server, NUMBER.0, "secret").await;
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for (what, code, status) in [
        ("code, wrong", wrong, 400),
        ("code, right", &*code, 200),
        ("code, right again", &*code, 200),
    ] {
        rest(&server);
        let reply = costs
            .measure(what, &server, validation.enter(&server, code))
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    costs
}

async fn sign_ups(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let server = warm(limits, &[]).await;
    let validation = request_mail(&server, ALICE, "secret").await;
    let in_one_request = with(registration("alice"), &validation.attempt(None));
    costs
        .register(
            "not validated yet, without a session",
            &server,
            &in_one_request,
            401,
        )
        .await;
    validation.validate(&server).await;
    rest(&server);
    costs
        .register("one request, address", &server, &in_one_request, 200)
        .await;
    for session_only in [false, true] {
        let server = warm(limits, &[]).await;
        let validation = request_mail(&server, ALICE, "secret").await;
        let (_, session) = server.begin(&registration("alice")).await;
        let attempt = validation.attempt(Some(&session));
        let poll = json!({ "auth": { "session": session } });
        for (what, body) in [
            ("not validated yet, for the first time", &attempt),
            ("not validated yet", &attempt),
            ("not validated yet, session only", &poll),
        ] {
            rest(&server);
            if session_only {
                server.register(body).await.challenge();
            } else {
                costs.register(what, &server, body, 401).await;
            }
        }
        validation.validate(&server).await;
        rest(&server);
        if session_only {
            costs
                .register("address, final, session only", &server, &poll, 200)
                .await;
        } else {
            costs
                .register(
                    "address, final, all in the request",
                    &server,
                    &with(registration("alice"), &attempt),
                    200,
                )
                .await;
        }
    }
    costs
}

async fn pages(limits: &str) -> CostTable {
    let mut costs = CostTable::default();
    let server = warm(limits, &[]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    for (kind, form, sent, waiting) in [
        (
            EMAIL,
            "email=alice%40example.org",
            "page, mail sent",
            "page, waiting for the link",
        ),
        (
            MSISDN,
            "country=GB&phone_number=07400123456",
            "page, text sent",
            "page, waiting for the code",
        ),
    ] {
        let path = page(PREFIXES[1], kind, &session);
        rest(&server);
        let reply = costs
            .measure(sent, &server, submit(&server, &path, form))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        rest(&server);
        let reply = costs.measure(waiting, &server, server.get(&path)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    server.deliver().await;
    let (code, link) = (code_to(&server, NUMBER.1), link_to(&server, ALICE));
    confirm(&server, &link).await;
    for (what, kind, form) in [
        ("page, link confirmed", EMAIL, "action=check".to_owned()),
        (
            "page, code entered",
            MSISDN,
            format!("action=check&code={code}"),
        ),
    ] {
        rest(&server);
        let path = page(PREFIXES[1], kind, &session);
        let reply = costs
            .measure(what, &server, submit(&server, &path, &form))
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    costs
}

async fn all(limits: &str) -> CostTable {
    let mut costs = requests(limits).await;
    costs.extend(validations(limits).await);
    costs.extend(Box::pin(sign_ups(limits)).await);
    costs.extend(pages(limits).await);
    costs
}

/// Round trips: a request for a message 2, the page of a link 1, its button 2, a code 3 (an attempt
/// is counted before the code is compared), a poll 1, the creation of the account 2 if the request
/// contains the credentials and 3 if it does not.
#[tokio::test]
async fn validation_has_its_known_cost() {
    Box::pin(all("off")).await.assert(WITHOUT_LIMITS);
}

/// Rate limits add a round trip in two cases: the refund of a message that is not sent; and the
/// password hash of a final request, because a poll can look the same and must not consume the quota
/// of hashes (UIA-26). They add two for a code, and one more for each quota that is not full: the quotas of the
/// network are charged before the quota of the number, and both before the attempt is counted in the session.
#[tokio::test]
async fn validation_with_limits_has_its_known_cost() {
    Box::pin(all("on")).await.assert(WITH_LIMITS);
}

const WITHOUT_LIMITS: &str = "
    mail: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    mail, repeated: GetItem Proofs = 1r 0w
    mail, next attempt: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    mail, ownership disclosed: GetItem Accounts + GetItem Proofs > TransactWriteItems Outbox&Proofs = 2r 5w
    text: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    text, repeated: GetItem Proofs = 1r 0w
    text, next attempt: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    text, ownership disclosed: GetItem Accounts + GetItem Proofs > TransactWriteItems Outbox&Proofs = 2r 5w
    link, opened: GetItem Proofs = 1r 0w
    link, confirmed: GetItem Proofs > UpdateItem Proofs = 1r 1w
    link, confirmed again: GetItem Proofs = 1r 0w
    link, rejected: GetItem Proofs > UpdateItem Proofs = 1r 1w
    code, wrong: GetItem Proofs > UpdateItem Proofs = 1r 1w
    code, right: GetItem Proofs > UpdateItem Proofs > UpdateItem Proofs = 1r 2w
    code, right again: GetItem Proofs > UpdateItem Proofs > UpdateItem Proofs = 1r 2w
    not validated yet, without a session: BatchGetItem Accounts + GetItem Proofs > PutItem UiaSessions = 2r 1w
    one request, address: BatchGetItem Accounts + GetItem Proofs > TransactWriteItems Accounts&Proofs = 3r 12w
    not validated yet, for the first time: BatchGetItem Accounts&UiaSessions + GetItem Proofs > PutItem UiaSessions = 3r 1w
    not validated yet: BatchGetItem UiaSessions + GetItem Proofs = 2r 0w
    not validated yet, session only: BatchGetItem Accounts&UiaSessions > GetItem Proofs = 3r 0w
    address, final, all in the request: BatchGetItem Accounts&UiaSessions + GetItem Proofs > TransactWriteItems Accounts&Proofs&UiaSessions = 3r 14w
    address, final, session only: BatchGetItem UiaSessions > GetItem Proofs > TransactWriteItems Accounts&Proofs&UiaSessions = 2r 14w
    page, mail sent: BatchGetItem UiaSessions > GetItem Proofs > TransactWriteItems Outbox&Proofs > PutItem UiaSessions = 2r 6w
    page, waiting for the link: BatchGetItem UiaSessions > GetItem Proofs = 2r 0w
    page, text sent: BatchGetItem UiaSessions > GetItem Proofs > TransactWriteItems Outbox&Proofs > PutItem UiaSessions = 2r 6w
    page, waiting for the code: BatchGetItem UiaSessions > GetItem Proofs = 2r 0w
    page, link confirmed: BatchGetItem UiaSessions > GetItem Proofs > PutItem UiaSessions = 2r 1w
    page, code entered: BatchGetItem UiaSessions > GetItem Proofs > UpdateItem Proofs > UpdateItem Proofs > GetItem Proofs > PutItem UiaSessions = 3r 4w
";

const WITH_LIMITS: &str = "
    mail: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 8w
    mail, repeated: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 1r 5w
    mail, next attempt: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 8w
    mail, ownership disclosed: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 2r 8w
    text: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 10w
    text, repeated: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 1r 9w
    text, next attempt: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 10w
    text, ownership disclosed: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 2r 10w
    link, opened: GetItem Proofs + UpdateItem Limits = 1r 1w
    link, confirmed: GetItem Proofs + UpdateItem Limits > UpdateItem Proofs = 1r 2w
    link, confirmed again: GetItem Proofs + UpdateItem Limits = 1r 1w
    link, rejected: GetItem Proofs + UpdateItem Limits > UpdateItem Proofs = 1r 2w
    code, wrong: GetItem Proofs + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Proofs = 1r 5w
    code, right: GetItem Proofs + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Proofs > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Proofs = 1r 9w
    code, right again: GetItem Proofs + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Proofs > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Proofs = 1r 9w
    not validated yet, without a session: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits > PutItem UiaSessions = 2r 3w
    one request, address: BatchGetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&Proofs > UpdateItem Limits = 3r 16w
    not validated yet, for the first time: BatchGetItem Accounts&UiaSessions + GetItem Proofs + UpdateItem Limits > PutItem UiaSessions = 3r 2w
    not validated yet: BatchGetItem UiaSessions + GetItem Proofs + UpdateItem Limits = 2r 1w
    not validated yet, session only: BatchGetItem Accounts&UiaSessions + UpdateItem Limits > GetItem Proofs = 3r 1w
    address, final, all in the request: BatchGetItem Accounts&UiaSessions + GetItem Proofs + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&Proofs&UiaSessions > UpdateItem Limits = 3r 17w
    address, final, session only: BatchGetItem UiaSessions + UpdateItem Limits > GetItem Proofs > UpdateItem Limits > TransactWriteItems Accounts&Proofs&UiaSessions > UpdateItem Limits = 2r 17w
    page, mail sent: BatchGetItem UiaSessions + UpdateItem Limits > GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs > PutItem UiaSessions = 2r 10w
    page, waiting for the link: BatchGetItem UiaSessions > UpdateItem Limits > GetItem Proofs = 2r 1w
    page, text sent: BatchGetItem UiaSessions + UpdateItem Limits > GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs > PutItem UiaSessions = 2r 12w
    page, waiting for the code: BatchGetItem UiaSessions > UpdateItem Limits > GetItem Proofs = 2r 1w
    page, link confirmed: BatchGetItem UiaSessions + UpdateItem Limits > GetItem Proofs > PutItem UiaSessions = 2r 2w
    page, code entered: BatchGetItem UiaSessions + UpdateItem Limits > GetItem Proofs + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > UpdateItem Proofs > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Proofs > GetItem Proofs > PutItem UiaSessions = 3r 12w
";
