//! The event source of the worker: it polls the stream of the outbox table and runs the schedule, as Lambda and
//! EventBridge do on AWS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use deliver::Deliver;
use serde_json::{Value, json};
use shared::{
    app::App,
    clock::{Clock, Timestamp},
    config::Config,
    lambda::{Observed, Worker},
    rng::Rng,
};
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinSet,
};

use crate::{
    dynamodb::embedded::Stream,
    functions,
    runtime::{
        clock::{MovableClock, iso},
        services::{REGION, Services},
    },
    template::{Source, Template},
};

/// The time between two polls of the stream.
const INTERVAL: Duration = Duration::from_millis(100);

/// The time until the next poll after an error.
const BACKOFF: Duration = Duration::from_secs(5);

/// The time that a stop waits for the running poll.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The time between two events of the schedule, in milliseconds.
const MINUTE: i64 = 60_000;

/// The AWS account in the events.
const ACCOUNT: &str = "123456789012";

/// The logical id of the only worker in the template.
const DELIVER: &str = "Deliver";

/// A worker with its event sources.
#[derive(Debug)]
pub struct EventPoller<W = Observed<Deliver>> {
    worker: W,
    /// The lock is held while records are handled, because the batches of a shard are handled one after another.
    stream: Mutex<Stream>,
    batch: usize,
    clock: Arc<MovableClock>,
    /// The time of the schedule's next event.
    next: AtomicI64,
}

impl EventPoller {
    /// The worker of the template, with these services.
    pub fn new(services: &Services, config: &Arc<Config>, rng: &Arc<dyn Rng>) -> Result<Self> {
        let aws = services.aws(DELIVER);
        let clock = Arc::clone(services.clock());
        let app = App::new(
            Arc::clone(config),
            &aws,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(rng),
        );
        let template = Template::ours()?;
        let sources = match template.workers.iter().collect::<Vec<_>>()[..] {
            [(id, sources)] if id == DELIVER => sources,
            ref others => {
                bail!("the workers of the template are {others:?}, but only {DELIVER} is supported")
            }
        };
        let rows = sources.iter().find_map(|source| match source {
            Source::NewRows { table, batch } => Some((table, *batch)),
            Source::EachMinute => None,
        });
        let (table, batch) = rows.context("the worker has no stream in the template")?;
        let stream = services.dynamodb().stream(table)?;
        Ok(Self::with_worker(
            functions::deliver(app, &aws),
            stream,
            batch,
            clock,
        ))
    }
}

impl<W: Worker> EventPoller<W> {
    /// A poller that calls `worker` with up to `batch` new rows of `stream` at a time.
    pub(crate) fn with_worker(
        worker: W,
        stream: Stream,
        batch: usize,
        clock: Arc<MovableClock>,
    ) -> Self {
        Self {
            worker,
            stream: Mutex::new(stream),
            batch,
            next: AtomicI64::new(clock.now().0),
            clock,
        }
    }

    /// Calls the worker with every new row since the last poll, until there is no new row. Returns the number of rows.
    pub async fn deliver(&self) -> Result<usize> {
        let mut stream = self.stream.lock().await;
        let source = arn("dynamodb", &stream.resource());
        let mut delivered = 0;
        loop {
            let Some(rows) = new_rows(&mut stream).await? else {
                return Ok(delivered);
            };
            for batch in rows.chunks(self.batch) {
                let records: Vec<Value> = batch.iter().map(|row| record(row, &source)).collect();
                self.worker.handle(json!({ "Records": records })).await;
                delivered += batch.len();
            }
        }
    }

    /// Drops the records that `deliver` would handle now. Returns the number of new rows among them.
    pub async fn drop_records(&self) -> Result<usize> {
        let mut stream = self.stream.lock().await;
        let mut skipped = 0;
        while let Some(rows) = new_rows(&mut stream).await? {
            skipped += rows.len();
        }
        Ok(skipped)
    }

    /// Calls the worker with the event of the schedule.
    pub async fn run_schedule(&self) {
        let now = self.clock.now();
        self.next
            .store(now.0.saturating_add(MINUTE), Ordering::Relaxed);
        self.worker.handle(scheduled(now)).await;
    }

    /// Polls in the background until the returned handle is stopped. Call it within a Tokio runtime.
    pub fn run(self: &Arc<Self>) -> Running {
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(self).poll_until_stopped(stopped));
        Running { stop, task }
    }

    async fn poll_until_stopped(self: Arc<Self>, mut stopped: oneshot::Receiver<()>) {
        // Each poll is a separate task, so that a panic of the worker ends only its event, as on Lambda.
        let mut task = JoinSet::new();
        loop {
            let event_poller = Arc::clone(&self);
            task.spawn(async move { event_poller.poll().await });
            let poll = task.join_next().await.unwrap_or(Ok(Ok(())));
            let pause = match poll.map_err(anyhow::Error::from).flatten() {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "cannot poll the outbox stream; retrying"
                    );
                    BACKOFF
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut stopped => return,
            }
        }
    }

    async fn poll(&self) -> Result<()> {
        self.deliver().await?;
        if self.clock.now().0 >= self.next.load(Ordering::Relaxed) {
            self.run_schedule().await;
        }
        Ok(())
    }
}

/// A poller that runs in the background. Dropping it aborts the running poll.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl Running {
    /// Stops the poller after the running poll, because the worker needs the services until its end. A poll that
    /// takes too long is aborted.
    pub async fn stop(mut self) {
        drop(self.stop);
        if tokio::time::timeout(SHUTDOWN_GRACE, self.task.join_next())
            .await
            .is_err()
        {
            tracing::warn!("stopped while `deliver` was running");
        }
    }
}

/// The records of new rows among the next records of the stream. Returns `None` if the stream has no further record.
async fn new_rows(stream: &mut Stream) -> Result<Option<Vec<Value>>> {
    let mut reader = stream.clone();
    let (reader, records) = tokio::task::spawn_blocking(move || {
        let records = reader.read();
        (reader, records)
    })
    .await?;
    *stream = reader;
    let records = records?;
    if records.is_empty() {
        return Ok(None);
    }
    let is_new = |record: &Value| record["eventName"] == "INSERT";
    Ok(Some(records.into_iter().filter(is_new).collect()))
}

/// The record in the form of a Lambda event.
fn record(row: &Value, source: &str) -> Value {
    let mut record = row.clone();
    record["awsRegion"] = json!(REGION);
    record["eventSourceARN"] = json!(source);
    record
}

/// The event of an EventBridge schedule.
fn scheduled(now: Timestamp) -> Value {
    json!({
        "version": "0",
        "id": "00000000-0000-0000-0000-000000000000",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": iso(now),
        "region": REGION,
        "resources": [arn("events", "rule/each-minute")],
        "detail": {},
    })
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

#[cfg(test)]
mod tests;
