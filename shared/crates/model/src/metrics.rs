//! What a request or an event does, counted while it is done and told in one line at its end.
//!
//! Whoever does something worth counting says so (`count`, `stage`, `user` …) and need not know to
//! whom: the counts belong to the request under way, and outside of one they are nobody's. The line
//! (`line`) is the log's and, in CloudWatch's embedded metric format, the metrics' too. The names
//! in [`Metric`] are what the stack's dashboard and alarms ask for. Nothing that a client chooses
//! becomes a dimension, and of a user the line has a keyed hash alone. Knows no room above it.

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

/// A metric. Each is told for the whole stack; [`Metric::Errors5xx`] for its operation as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Requests that were answered.
    Requests,
    /// Those of them that were answered with a 5xx: 0 or 1 for each, so that the average is a rate.
    Errors5xx,
    /// How long they took.
    Duration,
    /// Those that were answered with 429.
    Limited,
    /// Password hashes, made or compared.
    Hashes,
    /// Sign-ups that were asked for proof: the first step of the funnel.
    SignUpsBegun,
    /// Stages that were completed in sign-ups: its second.
    SignUpStages,
    /// Accounts that people made, guests and application services not counted: its last.
    Registrations,
    /// Logins that gave a token.
    Logins,
    /// Passwords that were not the account's, of nobody's account too.
    LoginsFailed,
    /// Messages that were put into the outbox.
    MessagesQueued,
    /// Messages that a provider has taken.
    MessagesSent,
    /// Tries that are to be repeated.
    MessagesRetried,
    /// Messages that no provider will ever take, or that may have been sent before.
    MessagesFailed,
    /// Messages that could not be sent while they were worth anything.
    MessagesGivenUp,
    /// For how long the oldest row of the outbox that is due has been due.
    OutboxOldestAge,
}

impl Metric {
    /// Every one.
    pub const ALL: [Self; 16] = [
        Self::Requests,
        Self::Errors5xx,
        Self::Duration,
        Self::Limited,
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
        Self::OutboxOldestAge,
    ];

    /// Its name in CloudWatch.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Its unit, in CloudWatch's words.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Duration => "Milliseconds",
            Self::OutboxOldestAge => "Seconds",
            _ => "Count",
        }
    }
}

/// What has been counted of one request or event.
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
    stages: Vec<&'static str>,
    user: Option<Localpart>,
}

impl Tally {
    fn count(&mut self, metric: Metric) {
        *self.metrics.entry(metric).or_default() += 1.0;
    }
}

/// What the tables were asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    /// How often, repeats included.
    pub number: u32,
    /// Read capacity units that were consumed, as far as the answers say.
    pub read_units: f64,
    /// Write capacity units.
    pub write_units: f64,
    /// How long the calls took, added up; some of them go out together.
    pub ms: i64,
}

tokio::task_local! {
    static METER: Arc<Meter>;
}

impl Meter {
    /// Begins to count, at this time and within this trace.
    pub fn new(clock: Arc<dyn Clock>, trace: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            started: clock.now(),
            clock,
            trace,
            tally: Mutex::default(),
        })
    }

    /// Counts here what `work` does.
    pub async fn measure<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        METER.scope(Arc::clone(self), work).await
    }

    /// How long it has been, in milliseconds.
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

/// Changes the tally of the request under way, if there is one.
fn note(change: impl FnOnce(&mut Tally)) {
    let _ = METER.try_with(|meter| change(&mut meter.tally()));
}

/// Counts one more.
pub fn count(metric: Metric) {
    note(|tally| tally.count(metric));
}

/// Says how great something is.
pub fn gauge(metric: Metric, value: f64) {
    note(|tally| {
        tally.metrics.insert(metric, value);
    });
}

/// Says that a stage of UIA has been completed.
pub fn stage(name: &'static str) {
    note(|tally| tally.stages.push(name));
}

/// Says on whose behalf it is, once that is certain.
pub fn user(name: &Localpart) {
    note(|tally| tally.user = Some(name.clone()));
}

/// Times a password hash.
pub async fn hashing<T>(work: impl Future<Output = T>) -> T {
    let timer = Timer::start();
    let done = work.await;
    note(|tally| {
        tally.count(Metric::Hashes);
        tally.hash_ms += timer.ms();
    });
    done
}

/// Counts a call to the tables: what `calls` says, and the time since `timer` began.
pub fn called(timer: &Timer, calls: Calls) {
    note(|tally| {
        let sum = &mut tally.calls;
        sum.number += calls.number;
        sum.read_units += calls.read_units;
        sum.write_units += calls.write_units;
        sum.ms += timer.ms();
    });
}

/// The trace that the request under way belongs to.
pub fn trace() -> Option<String> {
    METER.try_with(|meter| meter.trace.clone()).ok().flatten()
}

/// Takes the time of something that the request under way does.
#[derive(Debug, Clone)]
pub struct Timer(Option<(Arc<Meter>, Timestamp)>);

impl Timer {
    /// Begins.
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

/// The id of a trace in what Lambda hands on of it, `Root=1-…;Parent=…;Sampled=0`. A client can choose
/// that header: what is not of the form that AWS gives such ids is none.
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
