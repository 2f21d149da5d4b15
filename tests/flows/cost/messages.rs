//! The cost of a message for an account: the cost of the request, which equals the cost of a request
//! for a sign-up, and the cost of the delivery.

use std::time::Duration;

use test_support::TestServer;

use crate::flows::{
    cost::CostTable,
    support::mail_helpers::{
        ADD, LIMITED, RESET, create_owner, mail_to, request_token_for, test_server, text_to,
    },
};

/// A server after its first requests, with full quotas, where alice has an e-mail address and bob
/// has a phone number.
async fn warm(settings: &[(&str, &str)]) -> TestServer {
    let server = test_server(settings).await;
    create_owner(&server, "alice", &mail_to("alice@example.org", "owner", 1)).await;
    create_owner(&server, "bob", &text_to("447400123456", "owner", 1)).await;
    server.advance(Duration::from_hours(48));
    server
}

async fn requests(settings: &[(&str, &str)]) -> CostTable {
    let disclosing = ("GATEHOUSE_THREEPID_PRIVACY", "tell");
    let hiding = warm(settings).await;
    let disclosing = warm(&[settings, &[disclosing]].concat()).await;
    let alice = |attempt| mail_to("alice@example.org", "secret", attempt);
    let number = |attempt| text_to("447400123456", "secret", attempt);
    let mut costs = CostTable::default();
    for (what, server, purpose, body, status) in [
        ("reset mail", &hiding, RESET, alice(1), 200),
        ("reset mail, repeated", &hiding, RESET, alice(1), 200),
        ("reset text", &hiding, RESET, number(1), 200),
        (
            "reset mail, ownership disclosed",
            &disclosing,
            RESET,
            alice(1),
            200,
        ),
        (
            "reset mail, disclosed as free",
            &disclosing,
            RESET,
            mail_to("a@example.org", "s", 1),
            400,
        ),
        ("mail to add", &hiding, ADD, alice(1), 200),
        ("text to add", &hiding, ADD, number(1), 200),
        (
            "mail to add, disclosed as taken",
            &disclosing,
            ADD,
            alice(1),
            400,
        ),
    ] {
        server.advance(Duration::from_hours(1));
        let reply = costs
            .measure(what, server, request_token_for(server, purpose, &body))
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    costs
}

async fn deliveries() -> CostTable {
    let server = warm(&[LIMITED]).await;
    let mut costs = CostTable::default();
    for (what, purpose, address) in [
        ("reset, address with an account", RESET, "alice@example.org"),
        ("reset, free address", RESET, "nobody@example.org"),
        ("add, free address", ADD, "nobody@example.org"),
        ("add, address with an account", ADD, "alice@example.org"),
        (
            "add, address with an account again",
            ADD,
            "alice@example.org",
        ),
    ] {
        let secret = format!("secret-{what}").replace([' ', ',', '\''], "");
        request_token_for(&server, purpose, &mail_to(address, &secret, 1))
            .await
            .ok();
        let _ = costs
            .measure(what, &server, Box::pin(server.deliver()))
            .await;
    }
    costs
}

/// A request takes two round trips, independent of the owner of the address.
#[tokio::test]
async fn a_message_for_an_account_has_its_known_cost() {
    requests(&[]).await.assert(WITHOUT_LIMITS);
}

#[tokio::test]
async fn a_message_for_an_account_with_limits_has_its_known_cost() {
    requests(&[LIMITED]).await.assert(WITH_LIMITS);
}

#[tokio::test]
async fn delivery_of_a_message_for_an_account_has_its_known_cost() {
    Box::pin(deliveries()).await.assert(DELIVERIES);
}

const WITHOUT_LIMITS: &str = "
    reset mail: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    reset mail, repeated: GetItem Proofs = 1r 0w
    reset text: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    reset mail, ownership disclosed: GetItem Accounts + GetItem Proofs > TransactWriteItems Outbox&Proofs = 2r 5w
    reset mail, disclosed as free: GetItem Accounts + GetItem Proofs = 2r 0w
    mail to add: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    text to add: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    mail to add, disclosed as taken: GetItem Accounts + GetItem Proofs = 2r 0w
";

const WITH_LIMITS: &str = "
    reset mail: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 8w
    reset mail, repeated: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 1r 5w
    reset text: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 10w
    reset mail, ownership disclosed: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 2r 8w
    reset mail, disclosed as free: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 5w
    mail to add: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 8w
    text to add: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 10w
    mail to add, disclosed as taken: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 5w
";

const DELIVERIES: &str = "
    reset, address with an account: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > BatchGetItem Accounts > GetItem Limits > UpdateItem Proofs > UpdateItem Limits > UpdateItem Outbox = 4r 7w
    reset, free address: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Proofs > UpdateItem Outbox = 2r 6w
    add, free address: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Outbox = 2r 7w
    add, address with an account: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > BatchGetItem Accounts > GetItem Limits > UpdateItem Proofs > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Outbox = 4r 8w
    add, address with an account again: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > BatchGetItem Accounts > GetItem Limits > UpdateItem Proofs > UpdateItem Limits > UpdateItem Outbox = 4r 6w
";
