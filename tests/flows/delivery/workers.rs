//! Two of `deliver` at once: a row is worked on by one of them.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{sync::Arc, time::Duration};

use deliver::Deliver;
use gatehouse_local::tap::{Fault, Kind};
use kit::House;
use serde_json::{Value, json};
use shared::lambda::Worker;

use super::{MINUTE, arrived, ends::same_content};
use crate::flows::{
    mailbox::{ask, house, mail_to, stand, statuses, text_to, ticks},
    support::process_of,
};

/// Another instance of the function.
fn another(house: &House) -> Deliver {
    let name = "Deliver";
    Deliver::new(process_of(house, name), &house.local.aws(name))
}

/// The stream's event of every row there is.
fn doorbell(house: &House) -> Value {
    let rows = house.local.engine().table("Outbox").unwrap();
    let records = rows.iter().map(
        |row| json!({ "eventName": "INSERT", "dynamodb": { "Keys": { "pk": row["pk"].clone() } } }),
    );
    json!({ "Records": records.collect::<Vec<_>>() })
}

#[tokio::test]
async fn _3pid_17_two_workers_on_the_same_rows_send_each_message_once() {
    for (round, kinds) in [&[][..], &[Kind::Delay(Duration::from_millis(3))]]
        .into_iter()
        .enumerate()
    {
        let house = house(&[]).await;
        for number in 10..25 {
            let mail = mail_to(&format!("user{number}@example.org"), "secret", 1);
            ask(&house, &mail).await.ok();
            let text = text_to(&format!("4474001234{number}"), "secret", 1);
            ask(&house, &text).await.ok();
        }
        assert_eq!(house.local.skip_stream().await.unwrap(), 30);
        house.local.tap().chaos(5, 400, kinds);
        let workers = [another(&house), another(&house), another(&house)];
        let (bell, schedule) = (doorbell(&house), json!({ "source": "aws.events" }));
        tokio::join!(
            workers[0].handle(bell.clone()),
            workers[1].handle(bell),
            workers[2].handle(schedule),
        );
        let arrived = arrived(&house);
        assert_eq!(arrived.len(), 30, "round {round}");
        assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        assert_eq!(statuses(&house), stand(&[("sent", 30)]));
    }
}

/// One worker hangs in the provider's call for longer than its lease; a second one finds the row
/// before the first goes on. Returns what became of it in the end.
async fn outlived(operation: &str, body: &Value) -> House {
    let house = Arc::new(house(&[]).await);
    ask(&house, body).await.ok();
    let hold = Kind::Delay(Duration::from_millis(800));
    let sinks = house.local.sinks();
    sinks.inject(Fault::new(hold).on(operation));
    let own = Arc::clone(&house);
    let slow = tokio::spawn(async move { own.deliver().await });
    while sinks.pending_faults() > 0 {
        tokio::task::yield_now().await;
    }
    ticks(&house, 1, MINUTE).await;
    assert_eq!(sinks.calls().len(), 0, "the lease holds");
    ticks(&house, 3, MINUTE).await;
    assert!(!slow.is_finished());
    slow.await.unwrap();
    ticks(&house, 3, 10 * MINUTE).await;
    Arc::into_inner(house).unwrap()
}

#[tokio::test]
async fn _3pid_17_a_mail_is_sent_again_when_its_lease_runs_out_and_reads_the_same() {
    let house = outlived("SendEmail", &mail_to("a@example.org", "secret", 1)).await;
    assert_eq!(house.messages().len(), 2);
    assert!(same_content(&house.messages()));
    assert_eq!(statuses(&house), stand(&[("sent", 1)]));
}

#[tokio::test]
async fn _3pid_17_a_text_message_is_not_sent_again_when_its_lease_runs_out() {
    let house = outlived("Publish", &text_to("447400123456", "secret", 1)).await;
    assert_eq!(house.messages().len(), 1);
    assert_eq!(statuses(&house), stand(&[("failed", 1)]));
}
