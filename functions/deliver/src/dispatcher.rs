//! What is done with one row: lease, look (`content`), send, write down.

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
    content::{self, Outcome, OutgoingMessage},
    providers::{Providers, SendError},
    purge::purge,
};

/// How long a row is nobody else's: longer than the function may run.
const LEASE: Duration = Duration::from_mins(2);
/// The first wait before another try; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// How far the clock of whoever wrote a row may be ahead of ours.
const SKEW: Duration = Duration::from_secs(2);
/// How many rows are worked on at once.
const AT_ONCE: usize = 8;
/// How many of them may wait for identity servers: the others go on, however long those take.
const UNBINDING_AT_ONCE: usize = AT_ONCE / 2;
/// When no more rows are begun, and when no more messages are sent, after the beginning: a call
/// takes up to eight seconds, as does unbinding, and at the end there are two, within the function's sixty.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
const SEND_WITHIN: Duration = Duration::from_secs(35);
/// How often the end of a row is written down before the lease has to tell it.
const MARKS: u32 = 2;

/// What delivers, for one event.
pub(crate) struct Dispatcher<'a> {
    app: &'a App,
    providers: Providers<'a>,
    began: Timestamp,
    unbinding: Semaphore,
}

impl<'a> Dispatcher<'a> {
    pub(crate) fn new(app: &'a App, aws: &'a Aws) -> Self {
        Self {
            app,
            providers: Providers::new(aws, &app.config),
            began: app.clock.now(),
            unbinding: Semaphore::new(UNBINDING_AT_ONCE),
        }
    }

    /// Whether it is too late to begin with another row.
    pub(crate) fn is_late(&self) -> bool {
        self.is_past(BEGIN_WITHIN)
    }

    fn is_past(&self, within: Duration) -> bool {
        self.app.clock.now().since(self.began) >= within
    }

    /// Delivers what these rows call for, some at a time.
    pub(crate) async fn deliver_all(&self, ids: &[String]) {
        stream::iter(ids)
            .for_each_concurrent(AT_ONCE, |id| self.deliver(id))
            .await;
    }

    async fn deliver(&self, id: &str) {
        // The schedule names it again.
        if self.is_late() {
            return;
        }
        let now = self.app.clock.now();
        let lease = self
            .app
            .store
            .lease_message(id, now.plus(SKEW), now.plus(LEASE));
        let leased = match lease.await {
            Ok(Some(leased)) => leased,
            // Somebody has it, or it is over.
            Ok(None) => return,
            Err(error) => {
                let error = error.to_string();
                tracing::error!(outbox.id = id, error, "a message could not be leased");
                return;
            }
        };
        let parcel = match &leased.content {
            Content::Purge { user } => {
                let is_late = || self.is_past(SEND_WITHIN);
                Err(purge(self.app, &leased, user, is_late, &self.unbinding).await)
            }
            _ => content::of(self.app, &leased, now).await,
        };
        let (labels, outcome) = match parcel {
            Ok(parcel) => {
                let labels = (parcel.to.medium.as_str(), parcel.message.kind());
                (labels, self.send(&leased, &parcel).await)
            }
            Err(outcome) => (("none", "none"), outcome),
        };
        log(&leased, labels, &outcome);
        count(&leased, &outcome);
        self.mark(&leased, &outcome).await;
    }

    async fn send(&self, leased: &Leased, parcel: &OutgoingMessage) -> Outcome {
        let medium = parcel.to.medium;
        let failed = |why: &str| Outcome::Over(DeliveryResult::Failed, why.to_owned());
        if medium == Medium::Msisdn && leased.interrupted {
            return failed("it may have been sent before");
        }
        if self.is_past(SEND_WITHIN) {
            return Outcome::Again("there was no time left".to_owned());
        }
        let sent = self
            .providers
            .send(&parcel.to.address, &parcel.message)
            .await;
        match (sent, medium) {
            (Ok(id), _) => Outcome::Over(DeliveryResult::Sent, id),
            (Err(SendError::Never(code)), _) => failed(&code),
            (Err(SendError::NotNow(code)), _) => Outcome::Again(code),
            (Err(SendError::Unsure), Medium::Email) => Outcome::Again("no answer".to_owned()),
            (Err(SendError::Unsure), Medium::Msisdn) => failed("no answer"),
        }
    }

    async fn mark(&self, leased: &Leased, outcome: &Outcome) {
        let (store, now) = (&self.app.store, self.app.clock.now());
        let wait = self.wait(leased.attempts);
        for attempt in 1..=MARKS {
            let marked = match outcome {
                Outcome::Over(end, _) => store.end_message(leased, *end, now).await,
                Outcome::Again(_) => store.requeue_message(leased, now.plus(wait)).await,
            };
            match marked {
                Ok(true) => return,
                Ok(false) => {
                    tracing::error!(outbox.id = leased.id, "a lease ended too early");
                    return;
                }
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(
                        outbox.id = leased.id,
                        attempt,
                        error,
                        "a row was not marked"
                    );
                }
            }
        }
    }

    /// How long to wait before attempt number `attempts + 1`: a random time in the upper half of a
    /// bound that doubles, so that what failed together is not tried again together.
    fn wait(&self, attempts: i64) -> Duration {
        let bound = bound(attempts);
        let half = u32::try_from(millis(bound) / 2).unwrap_or(u32::MAX);
        let random = self.app.rng.below(half + 1);
        bound / 2 + Duration::from_millis(u64::from(random))
    }
}

fn bound(attempts: i64) -> Duration {
    let doublings = u32::try_from((attempts - 1).clamp(0, 10)).unwrap_or(0);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

/// A purge is no message.
fn count(leased: &Leased, outcome: &Outcome) {
    if matches!(leased.content, Content::Purge { .. }) {
        return;
    }
    match outcome {
        Outcome::Over(DeliveryResult::Sent, _) => metrics::count(Metric::MessagesSent),
        Outcome::Over(DeliveryResult::Failed, _) => metrics::count(Metric::MessagesFailed),
        Outcome::Over(DeliveryResult::Expired, _) => metrics::count(Metric::MessagesGivenUp),
        Outcome::Over(DeliveryResult::Skipped, _) => {}
        Outcome::Again(_) => metrics::count(Metric::MessagesRetried),
    }
}

/// One line a row, without address, session, code or link.
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
        Outcome::Over(DeliveryResult::Sent, provider_id) => {
            line!(info, provider_id = provider_id, "sent")
        }
        Outcome::Over(DeliveryResult::Skipped, why) => line!(info, why = why, "nothing to be sent"),
        Outcome::Over(DeliveryResult::Failed, why) => {
            line!(warn, why = why, "not sent, and never will be")
        }
        Outcome::Over(DeliveryResult::Expired, why) => line!(error, why = why, "given up"),
        Outcome::Again(why) => line!(warn, why = why, "not sent yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_half_a_minute_to_a_quarter_of_an_hour() {
        let seconds: Vec<_> = (1..=8).map(|tries| bound(tries).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(bound(0), FIRST_WAIT);
        assert_eq!(bound(i64::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_lease_outlives_the_function_and_the_last_calls_fit_into_its_time() {
        let function = Duration::from_mins(1);
        let call = Duration::from_secs(8);
        assert!(LEASE > function);
        // To send, and to write it down.
        assert!(SEND_WITHIN + call + call * MARKS <= function);
        assert!(BEGIN_WITHIN < SEND_WITHIN);
    }
}
