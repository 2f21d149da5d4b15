//! `deliver`: what waits in the outbox goes to SES and SNS (3PID-17).
//!
//! The outbox's stream is a doorbell: each new row is tried at once. A schedule finds what could
//! not be sent then, and what was being sent when a process ended. Both name rows; a row is worked
//! on under a lease (`dispatcher`), so that it does not matter who names it, or how often. One kind of row
//! sends nothing: it asks for dead rows to be removed, and what a user who has gone has bound at identity
//! servers to be undone (`purge`).
//!
//! The guarantee. A mail is sent at least once. It is sent twice only if the process ends, or the
//! provider's answer or the tables are lost, between the provider's taking it and the row's saying so; the
//! second is then made of the same row and session and reads the same, word for word (unless the
//! address has come to belong to somebody in between). A text message, which costs money and carries a
//! code that can be asked for again, is sent at most once: who finds that it was being sent does not
//! send it. Neither holds up any other, and Lambda is never told of a failure: what fails is due again
//! later, and after a day is given up, as an error in the log.

mod content;
mod dispatcher;
mod format_date;
mod messages;
mod providers;
mod purge;
mod ses;
mod sns;

use std::sync::Arc;

use serde_json::Value;
use shared::{
    app::App,
    aws::Aws,
    lambda::Worker,
    metrics::{self, Metric},
};

use dispatcher::Dispatcher;

/// How many pages of what is due one event works on at most.
const PAGES: u32 = 20;

/// The worker.
#[derive(Debug)]
pub struct Deliver {
    app: Arc<App>,
    aws: Aws,
}

impl Deliver {
    /// Opens no connection.
    pub fn new(app: Arc<App>, aws: &Aws) -> Self {
        Self {
            app,
            aws: aws.clone(),
        }
    }

    /// Works on what is due, page by page, while there is time.
    async fn work_off(&self, dispatcher: &Dispatcher<'_>) {
        let mut page = None;
        for number in 0..PAGES {
            let now = self.app.clock.now();
            let due = match self.app.store.due_messages(now, page).await {
                Ok(due) => due,
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(error, "what is due could not be read");
                    return;
                }
            };
            if number == 0 {
                let age = due.oldest.map(|oldest| now.since(oldest));
                let age = age.unwrap_or_default().as_secs_f64();
                metrics::gauge(Metric::OutboxOldestAge, age);
            }
            dispatcher.deliver_all(&due.ids).await;
            page = due.next;
            if page.is_none() || dispatcher.is_late() {
                return;
            }
        }
    }
}

impl Worker for Deliver {
    async fn handle(&self, event: Value) {
        let dispatcher = Dispatcher::new(&self.app, &self.aws);
        match new_rows(&event) {
            Some(ids) => dispatcher.deliver_all(&ids).await,
            None => self.work_off(&dispatcher).await,
        }
    }
}

/// The rows that the stream names; `None` if it is not the stream that rings. What became of a
/// row afterwards rings too, if nothing filters it, and is no news.
fn new_rows(event: &Value) -> Option<Vec<String>> {
    let records = event.get("Records")?.as_array()?;
    let new = records
        .iter()
        .filter(|record| record["eventName"] == "INSERT");
    let ids = new.filter_map(|record| record["dynamodb"]["Keys"]["pk"]["S"].as_str());
    Some(ids.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_stream_names_new_rows_and_the_schedule_names_none() {
        let record = |name: &str, id: &str| {
            json!({
                "eventName": name,
                "eventSource": "aws:dynamodb",
                "dynamodb": { "Keys": { "pk": { "S": id } }, "StreamViewType": "KEYS_ONLY" },
            })
        };
        let stream = json!({
            "Records": [
                record("INSERT", "a"),
                record("MODIFY", "b"),
                record("REMOVE", "c"),
                json!({ "eventName": "INSERT" }),
                record("INSERT", "d"),
            ],
        });
        assert_eq!(
            new_rows(&stream),
            Some(vec!["a".to_owned(), "d".to_owned()])
        );
        assert_eq!(new_rows(&json!({ "source": "aws.events" })), None);
        assert_eq!(new_rows(&json!({ "Records": "all of them" })), None);
        assert_eq!(new_rows(&Value::Null), None);
    }
}
