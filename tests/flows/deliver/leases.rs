//! Concurrent deliveries: only one of them processes a row.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{sync::Arc, time::Duration};

use deliver::Deliver;
use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use shared::lambda::Worker;
use test_support::TestServer;

use crate::flows::{
    deliver::{
        crash_points::same_content,
        failures::{MINUTE, arrived},
    },
    support::{
        mail_helpers::{
            expected_statuses, mail_to, request_message, run_schedules, statuses, test_server,
            text_to,
        },
        process_of,
    },
};

/// Another instance of the function.
fn another(server: &TestServer) -> Deliver {
    let name = "Deliver";
    Deliver::new(process_of(server, name), &server.local.aws(name))
}

/// A stream event with every row of the outbox.
fn stream_event(server: &TestServer) -> Value {
    let rows = server.local.dynamodb().table("Outbox").unwrap();
    let records = rows.iter().map(
        |row| json!({ "eventName": "INSERT", "dynamodb": { "Keys": { "pk": row["pk"].clone() } } }),
    );
    json!({ "Records": records.collect::<Vec<_>>() })
}

#[tokio::test]
async fn threepid_17_two_workers_send_each_message_once() {
    for (round, kinds) in [&[][..], &[FaultKind::Delay(Duration::from_millis(3))]]
        .into_iter()
        .enumerate()
    {
        let server = test_server(&[]).await;
        for number in 10..25 {
            let mail = mail_to(&format!("user{number}@example.org"), "secret", 1);
            request_message(&server, &mail).await.ok();
            let text = text_to(&format!("4474001234{number}"), "secret", 1);
            request_message(&server, &text).await.ok();
        }
        assert_eq!(server.local.drop_stream_records().await.unwrap(), 30);
        server.local.proxy().random_faults(5, 400, kinds);
        let workers = [another(&server), another(&server), another(&server)];
        let (event, schedule) = (stream_event(&server), json!({ "source": "aws.events" }));
        tokio::join!(
            workers[0].handle(event.clone()),
            workers[1].handle(event),
            workers[2].handle(schedule),
        );
        let arrived = arrived(&server);
        assert_eq!(arrived.len(), 30, "round {round}");
        assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        assert_eq!(statuses(&server), expected_statuses(&[("sent", 30)]));
    }
}

/// One worker waits for the provider for longer than its lease, and a second worker processes the
/// row before the first continues. Returns the server in its final state.
async fn outlast_lease(operation: &str, body: &Value) -> TestServer {
    let server = Arc::new(test_server(&[]).await);
    request_message(&server, body).await.ok();
    let delay = FaultKind::Delay(Duration::from_millis(800));
    let aws_fakes = server.local.aws_fakes();
    aws_fakes.inject(Fault::new(delay).on(operation));
    let own = Arc::clone(&server);
    let slow = tokio::spawn(async move { own.deliver().await });
    while aws_fakes.pending_faults() > 0 {
        tokio::task::yield_now().await;
    }
    run_schedules(&server, 1, MINUTE).await;
    assert_eq!(aws_fakes.calls().len(), 0, "the lease holds");
    run_schedules(&server, 3, MINUTE).await;
    assert!(!slow.is_finished());
    slow.await.unwrap();
    run_schedules(&server, 3, 10 * MINUTE).await;
    Arc::into_inner(server).unwrap()
}

#[tokio::test]
async fn threepid_17_an_expired_lease_sends_the_same_mail_again() {
    let server = outlast_lease("SendEmail", &mail_to("a@example.org", "secret", 1)).await;
    assert_eq!(server.messages().len(), 2);
    assert!(same_content(&server.messages()));
    assert_eq!(statuses(&server), expected_statuses(&[("sent", 1)]));
}

#[tokio::test]
async fn threepid_17_an_expired_lease_sends_no_text_message_again() {
    let server = outlast_lease("Publish", &text_to("447400123456", "secret", 1)).await;
    assert_eq!(server.messages().len(), 1);
    assert_eq!(statuses(&server), expected_statuses(&[("failed", 1)]));
}
