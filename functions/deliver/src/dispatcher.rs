//! The delivery of one outbox row: lease it, resolve its `content`, send the message, save the
//! outcome.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use shared::{
    app::App,
    aws::Aws,
    clock::{Timestamp, millis},
    metrics::{self, Metric},
    outbox::{Content, DeliveryResult, Leased},
    threepids::Medium,
};
use tokio::sync::Semaphore;

use crate::{
    content::{self, OutgoingMessage},
    outcome::Outcome,
    providers::Providers,
    purge::purge,
    send_error::SendError,
};

/// The lease of a row. It must be longer than the timeout of the function.
const LEASE: Duration = Duration::from_mins(2);
/// The wait before the first retry. It doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait before a retry.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// How far the clock of the function that wrote a row may be ahead of the clock of `deliver`.
const CLOCK_SKEW: Duration = Duration::from_secs(2);
/// The number of rows that are processed concurrently.
const CONCURRENCY: usize = 8;
/// The number of rows that may wait for identity servers concurrently. It is lower than `CONCURRENCY`, so that slow
/// identity servers do not block the other rows.
const UNBIND_CONCURRENCY: usize = CONCURRENCY / 2;
/// No row is started later than this after the start of the invocation.
const START_WITHIN: Duration = Duration::from_secs(20);
/// No message is sent later than this after the start of the invocation. Sending and unbinding take up to eight
/// seconds each, and up to two calls of eight seconds save the outcome. All these calls must end within the
/// function's timeout of sixty seconds.
const SEND_WITHIN: Duration = Duration::from_secs(35);
/// The maximum number of attempts to save the outcome of a row. If all fail, the row is due again when its lease
/// ends.
const SAVE_ATTEMPTS: u32 = 2;

/// Delivers outbox rows, for one event.
pub(crate) struct Dispatcher<'a> {
    app: &'a App,
    providers: Providers<'a>,
    started: Timestamp,
    unbind_permits: Semaphore,
}

impl<'a> Dispatcher<'a> {
    pub(crate) fn new(app: &'a App, aws: &'a Aws) -> Self {
        Self {
            app,
            providers: Providers::new(aws, &app.config),
            started: app.clock.now(),
            unbind_permits: Semaphore::new(UNBIND_CONCURRENCY),
        }
    }

    /// Whether it is too late to start another row.
    pub(crate) fn is_late(&self) -> bool {
        self.is_past(START_WITHIN)
    }

    fn is_past(&self, within: Duration) -> bool {
        self.app.clock.now().since(self.started) >= within
    }

    /// Delivers these rows concurrently.
    pub(crate) async fn deliver_all(&self, ids: &[String]) {
        stream::iter(ids)
            .for_each_concurrent(CONCURRENCY, |id| self.deliver(id))
            .await;
    }

    async fn deliver(&self, id: &str) {
        // The schedule processes the row later.
        if self.is_late() {
            return;
        }
        let now = self.app.clock.now();
        let lease = self
            .app
            .store
            .lease_message(id, now.plus(CLOCK_SKEW), now.plus(LEASE));
        let leased = match lease.await {
            Ok(Some(leased)) => leased,
            // Another invocation has leased the row, or the row is finished.
            Ok(None) => return,
            Err(error) => {
                let error = error.to_string();
                tracing::error!(
                    outbox.id = id,
                    error,
                    "an outbox row could not be leased; the schedule will try again"
                );
                return;
            }
        };
        let resolved = match &leased.content {
            Content::Purge { user } => {
                let is_late = || self.is_past(SEND_WITHIN);
                Err(purge(self.app, &leased, user, is_late, &self.unbind_permits).await)
            }
            _ => content::resolve(self.app, &leased, now).await,
        };
        let mut charged = leased.may_be_charged();
        let (labels, outcome) = match resolved {
            Ok(outgoing) => {
                let labels = (outgoing.to.medium.as_str(), outgoing.message.kind());
                (labels, self.send(&leased, &outgoing, &mut charged).await)
            }
            Err(outcome) => (("none", "none"), outcome),
        };
        log(&leased, labels, &outcome);
        count(&leased, &outcome);
        self.save(&leased, &outcome, charged).await;
    }

    /// Charges the limits and sends the message. `charged` becomes true when the limits are charged.
    async fn send(
        &self,
        leased: &Leased,
        outgoing: &OutgoingMessage,
        charged: &mut bool,
    ) -> Outcome {
        let medium = outgoing.to.medium;
        if medium == Medium::Msisdn && leased.interrupted {
            return Outcome::failed(
                "an interrupted attempt may have sent the text message, so it is not sent again",
            );
        }
        if self.is_past(SEND_WITHIN) {
            return Outcome::retry("the invocation had no time left");
        }
        if let Err(outcome) = outgoing.charges.consume(self.app, leased, medium).await {
            return outcome;
        }
        *charged = true;
        let sent = self
            .providers
            .send(&outgoing.to.address, &outgoing.message)
            .await;
        match (sent, medium) {
            (Ok(id), _) => Outcome::Done(DeliveryResult::Sent, id),
            (Err(SendError::Permanent(reason)), _) => Outcome::failed(&reason),
            (Err(SendError::Temporary(reason)), _) => Outcome::Retry(reason),
            (Err(SendError::Unknown), Medium::Email) => {
                Outcome::retry("SES did not respond, so the e-mail may arrive twice")
            }
            (Err(SendError::Unknown), Medium::Msisdn) => {
                Outcome::failed("SNS did not respond, and a text message is never sent twice")
            }
        }
    }

    async fn save(&self, leased: &Leased, outcome: &Outcome, charged: bool) {
        let (store, now) = (&self.app.store, self.app.clock.now());
        let wait = self.wait(leased.attempts);
        for attempt in 1..=SAVE_ATTEMPTS {
            let saved = match outcome {
                Outcome::Done(result, _) => store.end_message(leased, *result, now).await,
                Outcome::Retry(_) => {
                    let due = now.plus(wait);
                    store.requeue_message(leased, due, charged).await
                }
            };
            match saved {
                Ok(true) => return,
                Ok(false) => {
                    tracing::error!(
                        outbox.id = leased.id,
                        "the lease of an outbox row ended before its outcome was saved; the row is processed again"
                    );
                    return;
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(
                        outbox.id = leased.id,
                        attempt,
                        error,
                        "the outcome of an outbox row could not be saved"
                    );
                }
            }
        }
    }

    /// The wait before attempt number `attempts + 1`: a random time in the upper half of a bound that
    /// doubles, so that rows that failed at the same time are not retried at the same time.
    fn wait(&self, attempts: i64) -> Duration {
        let bound = longest_wait(attempts);
        let half = u32::try_from(millis(bound) / 2).unwrap_or(u32::MAX);
        let random = self.app.rng.below(half + 1);
        bound / 2 + Duration::from_millis(u64::from(random))
    }
}

fn longest_wait(attempts: i64) -> Duration {
    let doublings = u32::try_from((attempts - 1).clamp(0, 10)).unwrap_or(0);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

/// Counts the outcome in the metrics. A purge is not a message and is not counted.
fn count(leased: &Leased, outcome: &Outcome) {
    if matches!(leased.content, Content::Purge { .. }) {
        return;
    }
    match outcome {
        Outcome::Done(DeliveryResult::Sent, _) => metrics::count(Metric::MessagesSent),
        Outcome::Done(DeliveryResult::Failed, _) => metrics::count(Metric::MessagesFailed),
        Outcome::Done(DeliveryResult::Expired, _) => metrics::count(Metric::MessagesGivenUp),
        Outcome::Done(DeliveryResult::Skipped, _) => {}
        Outcome::Retry(_) => metrics::count(Metric::MessagesRetried),
    }
}

/// Writes one log line for a row. It must not contain the address, the session, the code or the link.
fn log(leased: &Leased, (medium, kind): (&str, &str), outcome: &Outcome) {
    let (id, attempt) = (leased.id.as_str(), leased.attempts);
    macro_rules! line {
        ($level:ident, $field:ident = $value:expr, $text:literal) => {
            tracing::$level!(
                outbox.id = id,
                trace.id = leased.trace,
                message.medium = medium,
                message.kind = kind,
                message.attempt = attempt,
                $field = $value,
                $text
            )
        };
    }
    match outcome {
        Outcome::Done(DeliveryResult::Sent, provider_id) => {
            line!(info, provider_id = provider_id, "sent");
        }
        Outcome::Done(DeliveryResult::Skipped, why) => line!(info, why = why, "nothing to send"),
        Outcome::Done(DeliveryResult::Failed, why) => {
            line!(warn, why = why, "failed permanently");
        }
        Outcome::Done(DeliveryResult::Expired, why) => {
            line!(error, why = why, "given up");
        }
        Outcome::Retry(why) => line!(warn, why = why, "attempt failed; it will be retried"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_30_seconds_to_15_minutes() {
        let seconds: Vec<_> = (1..=8)
            .map(|attempt| longest_wait(attempt).as_secs())
            .collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(longest_wait(0), FIRST_WAIT);
        assert_eq!(longest_wait(i64::MAX), LONGEST_WAIT);
    }

    #[test]
    fn the_lease_and_the_last_calls_fit_the_function_timeout() {
        let function = Duration::from_mins(1);
        let call = Duration::from_secs(8);
        assert!(LEASE > function);
        // One call sends the message, and the other calls save the outcome.
        assert!(SEND_WITHIN + call + call * SAVE_ATTEMPTS <= function);
        assert!(START_WITHIN < SEND_WITHIN);
    }
}
