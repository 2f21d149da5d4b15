//! Refunds of rate limits after a lost response: a charge is refunded at most once, and only if nothing was counted.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::BTreeMap;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::Value;
use shared::{clock::Clock, limits::Limit};
use test_support::TestServer;

use crate::flows::support::mail_helpers::{
    LIMITED, MAIL_STAGE, mail_to, request_message, test_server,
};

const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity?token=";

/// The levels of the buckets in milliseconds, by the name of the limit.
fn levels(server: &TestServer) -> BTreeMap<String, i64> {
    let now = server.local.clock().now().0;
    let rows = server.local.dynamodb().table("Limits").unwrap();
    let level = |row: &Value| {
        let arrival: i64 = row["tat"]["N"].as_str().unwrap().parse().unwrap();
        let (name, _) = row["pk"]["S"].as_str().unwrap().split_once('#').unwrap();
        (name.to_owned(), arrival - now)
    };
    rows.iter().map(level).collect()
}

fn interval(limit: Limit) -> i64 {
    i64::try_from(limit.quota().interval.as_millis()).unwrap()
}

/// The write of a message has no response, but may have happened: the message is sent, and its charge is kept.
#[tokio::test]
async fn threepid_16_a_write_of_unknown_outcome_keeps_its_charge() {
    let server = test_server(&[LIMITED, ("GATEHOUSE_REGISTRATION_FLOWS", MAIL_STAGE)]).await;
    server.expect_faults();
    let lost = Fault::new(FaultKind::LostAnswer).on("TransactWriteItems");
    server.local.proxy().inject(lost.times(u64::MAX));
    let body = mail_to("alice@example.org", "secret", 1);
    let reply = request_message(&server, &body).await;
    assert!(reply.status.is_server_error(), "{}", reply.text());
    server.local.proxy().clear_faults();
    server.deliver().await;
    assert_eq!(server.messages().len(), 1);
    let levels = levels(&server);
    for (name, limit) in [
        ("message", Limit::Message),
        ("mail-address", Limit::MailAddress),
        ("mail-from-network", Limit::MailFromNetwork),
    ] {
        assert_eq!(levels[name], interval(limit), "{name}");
    }
}

/// The response to a refund is lost, and the SDK repeats the call.
#[tokio::test]
async fn http_19_a_repeated_refund_has_no_further_effect() {
    let server = test_server(&[LIMITED]).await;
    let token = server.registration_token(&[]).await;
    for _ in 0..5 {
        server.get(&format!("{VALIDITY}nobody")).await.ok();
    }
    let before = levels(&server);
    let expected = 5 * interval(Limit::RegistrationToken);
    assert_eq!(before["registration-token"], expected);
    // The charge takes two calls.
    let lost = Fault::new(FaultKind::LostAnswer)
        .on("UpdateItem")
        .at("Limits")
        .nth(3);
    server.local.proxy().inject(lost);
    let (reply, calls) = server
        .calls_of(server.get(&format!("{VALIDITY}{token}")))
        .await;
    assert_eq!(reply.ok()["valid"], true);
    let writes = calls.iter().filter(|call| call.operation == "UpdateItem");
    assert_eq!(writes.count(), 4);
    assert_eq!(levels(&server), before);
}
