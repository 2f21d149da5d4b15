//! The function `deliver`: sends the messages of the outbox through SES and SNS (3PID-17).
//!
//! The stream of the outbox invokes the function for each new row. A schedule finds the rows whose attempt failed or
//! was interrupted. A row is processed under a lease (`dispatcher`), so several events may name the same row. Two
//! kinds of rows have no message: a purge, which deletes unused rows and unbinds the addresses of a deactivated account
//! at identity servers (`purge`), and an update of a user at the homeserver (`homeserver_updates`).
//!
//! # Delivery guarantees
//!
//! - An e-mail is sent at least once. An e-mail is sent twice only if the process ends, the provider's response is
//!   lost or DynamoDB fails after the provider has accepted the e-mail and before the outcome is saved. The second
//!   e-mail is made from the same row and session. It has the same text, unless the address has been added to an
//!   account in between.
//! - A text message is sent at most once, because it costs money and its code can be requested again. If
//!   an attempt was interrupted, the text message is not sent again.
//! - A message does not wait for another message.
//! - A message that exceeds a limit that all clients share is dropped, except a security notification, which waits
//!   (`charges`).
//! - The function never reports a failure to Lambda. A failed row is due again later. After a day the function
//!   drops the row and logs an error.

mod charges;
mod content;
mod dispatcher;
mod homeserver_updates;
mod messages;
mod outcome;
mod providers;
mod purge;
mod send_error;
mod ses;
mod sns;

use std::sync::Arc;

use serde_json::Value;
use shared::{
    app::App,
    aws::Aws,
    lambda::Worker,
    metrics::{self, Metric},
    store::user_of_update,
};

use dispatcher::Dispatcher;

/// The maximum number of pages of due rows that one event processes.
const MAX_PAGES: u32 = 20;

/// The worker of the outbox.
#[derive(Debug)]
pub struct Deliver {
    app: Arc<App>,
    aws: Aws,
}

impl Deliver {
    /// Creates the worker without opening a connection.
    pub fn new(app: Arc<App>, aws: &Aws) -> Self {
        Self {
            app,
            aws: aws.clone(),
        }
    }

    /// Processes the due rows, page by page, until it is too late to start another row.
    async fn deliver_due(&self, dispatcher: &Dispatcher<'_>) {
        let mut page = None;
        for number in 0..MAX_PAGES {
            let now = self.app.clock.now();
            let due = match self.app.store.due_messages(now, page).await {
                Ok(due) => due,
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(
                        error,
                        "the due rows of the outbox could not be read; the schedule will try again"
                    );
                    return;
                }
            };
            // A metric without a value costs nothing, so the age is recorded only while a row is due.
            if number == 0
                && let Some(oldest) = due.oldest
            {
                metrics::gauge(Metric::OutboxOldestAge, now.since(oldest).as_secs_f64());
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
        if let Some(ids) = new_rows(&event) {
            dispatcher.deliver_all(&ids).await;
        } else {
            self.deliver_due(&dispatcher).await;
            homeserver_updates::update_due(&self.app, &dispatcher).await;
        }
    }
}

/// The new rows of a stream event; `None` for any other event. If the stream has no event filter, it
/// also reports changes and deletions of rows, which are ignored.
fn new_rows(event: &Value) -> Option<Vec<String>> {
    let records = event.get("Records")?.as_array()?;
    let new = records
        .iter()
        .filter(|record| record["eventName"] == "INSERT");
    let ids = new.filter_map(|record| record["dynamodb"]["Keys"]["pk"]["S"].as_str());
    // The process that wrote the row of an update has the lease on it.
    let ids = ids.filter(|id| user_of_update(id).is_none());
    Some(ids.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_event_names_new_rows_and_a_schedule_event_none() {
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
                record("INSERT", "homeserver#alice"),
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
