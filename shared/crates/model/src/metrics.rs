//! Metrics of one request or event: counted while the request or event is handled, and then written in one log
//! line.
//!
//! Code that records a metric calls `count`, `stage`, `user` and so on. A task-local variable assigns the counts to
//! the current request; outside of a request, counts are dropped. The line (`line`) is the log entry and, in
//! CloudWatch's embedded metric format, also the source of the metrics. The stack's dashboard and alarms use the
//! names in [`Metric`]. No value that a client chooses becomes a dimension, and the line contains only a keyed hash
//! of the user. This module depends on no higher layer.

mod line;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use line::{InvocationInfo, LINE_TARGET, Lines};

use crate::{
    clock::{Clock, Timestamp, millis},
    ids::Localpart,
};

/// A metric. Each has the dimension `Stack`; [`Metric::Errors5xx`] also has the dimension `Operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Requests with a response.
    Requests,
    /// Responses with a 5xx status: 0 or 1 for each request, so that the average is the error rate.
    Errors5xx,
    /// The duration of a request, in milliseconds.
    Duration,
    /// Responses with status 429.
    Limited,
    /// Calls that `DynamoDB` still throttled after all repetitions, and throttled transactions.
    TableThrottles,
    /// Password hashes, computed for a new password or for a comparison.
    Hashes,
    /// Registrations that received a UIA challenge: the first step of the funnel.
    SignUpsBegun,
    /// Stages completed in registrations: the second step of the funnel.
    SignUpStages,
    /// Accounts created by users, without guests and application services: the last step of the funnel.
    Registrations,
    /// Logins that returned a token.
    Logins,
    /// Wrong passwords, including those for accounts that do not exist.
    LoginsFailed,
    /// Messages added to the outbox.
    MessagesQueued,
    /// Messages that a provider accepted.
    MessagesSent,
    /// Delivery attempts that will be repeated.
    MessagesRetried,
    /// Messages that no provider will ever accept, or that an earlier attempt may already have sent.
    MessagesFailed,
    /// Messages that could not be sent before they became useless, or that exceeded the limit of a day.
    MessagesGivenUp,
    /// Messages that were dropped because a quota of the recipient, the block of numbers or the country was exhausted.
    MessagesLimited,
    /// Requests that the captcha provider rejected because of this server, for example because of a wrong secret key.
    CaptchaErrors,
    /// The age of the oldest due row of the outbox since it became due, in seconds.
    OutboxOldestAge,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 19] = [
        Self::Requests,
        Self::Errors5xx,
        Self::Duration,
        Self::Limited,
        Self::TableThrottles,
        Self::Hashes,
        Self::SignUpsBegun,
        Self::SignUpStages,
        Self::Registrations,
        Self::Logins,
        Self::LoginsFailed,
        Self::MessagesQueued,
        Self::MessagesSent,
        Self::MessagesRetried,
        Self::MessagesFailed,
        Self::MessagesGivenUp,
        Self::MessagesLimited,
        Self::CaptchaErrors,
        Self::OutboxOldestAge,
    ];

    /// The name in CloudWatch.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// The CloudWatch unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Duration => "Milliseconds",
            Self::OutboxOldestAge => "Seconds",
            _ => "Count",
        }
    }
}

/// The counters of one request or event.
#[derive(Debug)]
pub struct Meter {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    trace: Option<String>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Clone, Default)]
struct Tally {
    metrics: BTreeMap<Metric, f64>,
    calls: Calls,
    hash_ms: i64,
    scores: u32,
    score_ms: i64,
    stages: Vec<&'static str>,
    user: Option<Localpart>,
}

impl Tally {
    fn count(&mut self, metric: Metric) {
        *self.metrics.entry(metric).or_default() += 1.0;
    }
}

/// Calls to DynamoDB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    /// The number of calls, including retries.
    pub number: u32,
    /// Consumed read capacity units, as far as the responses contain them.
    pub read_units: f64,
    /// Consumed write capacity units, as far as the responses contain them.
    pub write_units: f64,
    /// The total duration of the calls, in milliseconds. Some calls are concurrent.
    pub ms: i64,
}

tokio::task_local! {
    static METER: Arc<Meter>;
}

impl Meter {
    /// Starts a meter at the current time. `trace` is the ID of the X-Ray trace.
    pub fn new(clock: Arc<dyn Clock>, trace: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            started: clock.now(),
            clock,
            trace,
            tally: Mutex::default(),
        })
    }

    /// Runs `work` and records its counts in this meter.
    pub async fn measure<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        METER.scope(Arc::clone(self), work).await
    }

    /// The time since the start, in milliseconds.
    fn ms(&self) -> i64 {
        since(&*self.clock, self.started)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(clock: &dyn Clock, started: Timestamp) -> i64 {
    millis(clock.now().since(started))
}

/// Changes the counters of the current request, if there is one.
fn note(change: impl FnOnce(&mut Tally)) {
    let _ = METER.try_with(|meter| change(&mut meter.tally()));
}

/// Increments a metric by one.
pub fn count(metric: Metric) {
    note(|tally| tally.count(metric));
}

/// Sets a metric to a value.
pub fn gauge(metric: Metric, value: f64) {
    note(|tally| {
        tally.metrics.insert(metric, value);
    });
}

/// Records that a UIA stage was completed.
pub fn stage(name: &'static str) {
    note(|tally| tally.stages.push(name));
}

/// Records the user of the request, once the user is authenticated.
pub fn user(name: &Localpart) {
    note(|tally| tally.user = Some(name.clone()));
}

/// Counts a password hash and measures its duration.
pub async fn hashing<T>(work: impl Future<Output = T>) -> T {
    let timer = Timer::start();
    let done = work.await;
    note(|tally| {
        tally.count(Metric::Hashes);
        tally.hash_ms += timer.ms();
    });
    done
}

/// Counts a score of a password's strength and measures its duration.
pub fn scoring<T>(work: impl FnOnce() -> T) -> T {
    let timer = Timer::start();
    let done = work();
    note(|tally| {
        tally.scores += 1;
        tally.score_ms += timer.ms();
    });
    done
}

/// Adds `calls` to the counters, with the time since `timer` started.
pub fn called(timer: &Timer, calls: Calls) {
    note(|tally| {
        let sum = &mut tally.calls;
        sum.number += calls.number;
        sum.read_units += calls.read_units;
        sum.write_units += calls.write_units;
        sum.ms += timer.ms();
    });
}

/// The X-Ray trace ID of the current request.
pub fn trace() -> Option<String> {
    METER.try_with(|meter| meter.trace.clone()).ok().flatten()
}

/// Measures a part of the current request.
#[derive(Debug, Clone)]
pub struct Timer(Option<(Arc<Meter>, Timestamp)>);

impl Timer {
    /// Starts the timer.
    pub fn start() -> Self {
        let meter = METER.try_with(Arc::clone).ok();
        Self(meter.map(|meter| {
            let now = meter.clock.now();
            (meter, now)
        }))
    }

    fn ms(&self) -> i64 {
        self.0
            .as_ref()
            .map_or(0, |(meter, started)| since(&*meter.clock, *started))
    }
}

/// The trace ID in the header of X-Ray, `Root=1-…;Parent=…;Sampled=0`. A client can choose this header, so a
/// value without the form of an AWS trace ID is ignored.
pub fn trace_id(header: &str) -> Option<String> {
    let root = header
        .split(';')
        .find_map(|part| part.trim().strip_prefix("Root="))?;
    let mut parts = root.split('-');
    let hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    let is_valid = parts.next() == Some("1")
        && hex(parts.next(), 8)
        && hex(parts.next(), 24)
        && parts.next().is_none();
    is_valid.then(|| root.to_owned())
}

#[cfg(test)]
mod tests;
