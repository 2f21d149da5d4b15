//! What a message for an account costs, as in `budgets`: the request, as much as one for a sign-up; and
//! what `deliver` does about it.

use std::time::Duration;

use test_support::TestServer;

use crate::flows::{
    cost::CostTable,
    support::mail_helpers::{
        ADD, LIMITED, RESET, create_owner, mail_to, request_token_for, test_server, text_to,
    },
};

/// A house in which everything is read once already, every limit is empty, and alice has both kinds
/// of address.
async fn warm(settings: &[(&str, &str)]) -> TestServer {
    let server = test_server(settings).await;
    create_owner(&server, "alice", &mail_to("alice@example.org", "owner", 1)).await;
    create_owner(&server, "bob", &text_to("447400123456", "owner", 1)).await;
    server.advance(Duration::from_hours(48));
    server
}

async fn requests(settings: &[(&str, &str)]) -> CostTable {
    let tell = ("GATEHOUSE_THREEPID_PRIVACY", "tell");
    let quiet = warm(settings).await;
    let tell = warm(&[settings, &[tell]].concat()).await;
    let alice = |attempt| mail_to("alice@example.org", "secret", attempt);
    let number = |attempt| text_to("447400123456", "secret", attempt);
    let mut costs = CostTable::default();
    for (what, server, purpose, body, status) in [
        ("reset mail", &quiet, RESET, alice(1), 200),
        ("reset mail, repeated", &quiet, RESET, alice(1), 200),
        ("reset text", &quiet, RESET, number(1), 200),
        (
            "reset mail, where strangers are told",
            &tell,
            RESET,
            alice(1),
            200,
        ),
        (
            "reset mail, where nobody has it",
            &tell,
            RESET,
            mail_to("a@example.org", "s", 1),
            400,
        ),
        ("mail to add", &quiet, ADD, alice(1), 200),
        ("text to add", &quiet, ADD, number(1), 200),
        (
            "mail to add, where somebody has it",
            &tell,
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
        ("reset, an owner's", RESET, "alice@example.org"),
        ("reset, nobody's", RESET, "nobody@example.org"),
        ("add, nobody's", ADD, "nobody@example.org"),
        ("add, an owner's", ADD, "alice@example.org"),
        ("add, an owner's again", ADD, "alice@example.org"),
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

/// Two round trips, whoever has the address.
#[tokio::test]
async fn what_a_message_for_an_account_costs() {
    requests(&[]).await.assert(WITHOUT_LIMITS);
}

#[tokio::test]
async fn what_a_message_for_an_account_costs_with_limits() {
    requests(&[LIMITED]).await.assert(WITH_LIMITS);
}

#[tokio::test]
async fn what_the_delivery_of_a_message_for_an_account_costs() {
    Box::pin(deliveries()).await.assert(DELIVERIES);
}

const WITHOUT_LIMITS: &str = "
    reset mail: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    reset mail, repeated: GetItem Proofs = 1r 0w
    reset text: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    reset mail, where strangers are told: GetItem Accounts + GetItem Proofs > TransactWriteItems Outbox&Proofs = 2r 5w
    reset mail, where nobody has it: GetItem Accounts + GetItem Proofs = 2r 0w
    mail to add: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    text to add: GetItem Proofs > TransactWriteItems Outbox&Proofs = 1r 5w
    mail to add, where somebody has it: GetItem Accounts + GetItem Proofs = 2r 0w
";

const WITH_LIMITS: &str = "
    reset mail: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 9w
    reset mail, repeated: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 1r 7w
    reset text: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 11w
    reset mail, where strangers are told: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 2r 9w
    reset mail, where nobody has it: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 2r 7w
    mail to add: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 9w
    text to add: GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 1r 11w
    mail to add, where somebody has it: GetItem Accounts + GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 2r 7w
";

const DELIVERIES: &str = "
    reset, an owner's: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > BatchGetItem Accounts > UpdateItem Outbox = 3r 5w
    reset, nobody's: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Proofs > UpdateItem Outbox = 2r 6w
    add, nobody's: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Outbox = 2r 5w
    add, an owner's: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Proofs > UpdateItem Limits > UpdateItem Outbox = 2r 7w
    add, an owner's again: UpdateItem Outbox > GetItem Proofs > GetItem Accounts > UpdateItem Proofs > UpdateItem Limits > UpdateItem Outbox = 2r 6w
";
