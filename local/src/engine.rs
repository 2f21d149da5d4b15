//! The embedded `DynamoDB`: the template's tables, served over the real protocol on a loopback port.
//!
//! The engine's calls block, so it has a thread of its own. It knows no latency, conflict or throttle;
//! those are the tap's to add. Nor does it know its callers: it is for the tap alone.

mod stream;

use std::{
    fmt::Debug,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use dynoxide::{Database, DynoxideError};
use serde_json::{Map, Value, json};
use shared::{
    clock::Timestamp,
    rng::{Rng, SystemRng},
};
use tokio::sync::oneshot;

pub use self::stream::Stream;
use crate::template::{Table, Template};

/// How long a stop waits for requests that are under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a place to listen is drawn.
const ATTEMPTS: usize = 16;

/// A running engine. Dropping it stops it.
pub struct Engine {
    database: Database,
    address: SocketAddr,
    template: Arc<Template>,
    prefix: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the engine in memory, or over a file in `data`, with the template's tables, their names
    /// beginning with `prefix`.
    pub fn start(data: Option<&Path>, template: Arc<Template>, prefix: &str) -> Result<Self> {
        let database = match data {
            None => Database::memory(),
            Some(directory) => {
                let file = directory.join("gatehouse.sqlite");
                make(&file).with_context(|| file.display().to_string())?;
                Database::new(
                    file.to_str()
                        .context("the data directory's name is not UTF-8")?,
                )
            }
        }
        .map_err(fault)?;
        let listener = hidden(&SystemRng).context("no port for the engine")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = serve(database.clone(), listener, stopped)?;
        let engine = Self {
            database,
            address,
            template,
            prefix: prefix.to_owned(),
            stop: Some(stop),
            thread: Some(thread),
        };
        for table in &engine.template.tables {
            engine
                .ensure(table)
                .with_context(|| format!("table {}", table.id))?;
        }
        Ok(engine)
    }

    /// Where the engine listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deletes the rows whose time to live has passed at `now` and says how many there were.
    ///
    /// The engine can do so itself, but only by the machine's clock.
    pub fn sweep(&self, now: Timestamp) -> Result<usize> {
        let mut swept = 0;
        for table in &self.template.tables {
            let Some(attribute) = &table.ttl else {
                continue;
            };
            let name = self.table_name(table);
            let passed = json!({
                "ExpressionAttributeNames": { "#ttl": attribute },
                "ExpressionAttributeValues": { ":now": { "N": now.0.div_euclid(1000).to_string() } },
            });
            for row in self.rows(&name, "FilterExpression", &passed)? {
                let key: Map<String, Value> = table
                    .keys
                    .iter()
                    .map(|key| (key.clone(), row[key].clone()))
                    .collect();
                let mut request = passed.clone();
                request["TableName"] = json!(name);
                request["Key"] = Value::Object(key);
                request["ConditionExpression"] = json!(PASSED);
                match self.database.delete_item(serde_json::from_value(request)?) {
                    Ok(_) => swept += 1,
                    // Renewed since it was read.
                    Err(DynoxideError::ConditionalCheckFailedException(..)) => {}
                    Err(error) => return Err(fault(error)),
                }
            }
        }
        Ok(swept)
    }

    /// Every row of every table, by the table's name: what somebody who steals the tables would hold.
    pub fn dump(&self) -> Result<Value> {
        let mut dump = Map::new();
        for table in &self.template.tables {
            let name = self.table_name(table);
            let rows = self.rows(&name, "", &json!({}))?;
            dump.insert(name, Value::Array(rows));
        }
        Ok(Value::Object(dump))
    }

    /// The rows of one table, by its logical id.
    pub fn table(&self, id: &str) -> Result<Vec<Value>> {
        let table = self.template.tables.iter().find(|table| table.id == id);
        let table = table.with_context(|| format!("there is no table {id}"))?;
        self.rows(&self.table_name(table), "", &json!({}))
    }

    fn table_name(&self, table: &Table) -> String {
        format!("{}{}", self.prefix, table.suffix)
    }

    /// The rows of a table, those alone whose time has passed if `filter` names a filter.
    fn rows(&self, name: &str, filter: &str, values: &Value) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let mut request = values.clone();
            request["TableName"] = json!(name);
            if !filter.is_empty() {
                request[filter] = json!(PASSED);
            }
            if let Some(start) = start {
                request["ExclusiveStartKey"] = start;
            }
            let answer = self
                .database
                .scan(serde_json::from_value(request)?)
                .map_err(fault)?;
            let mut answer = serde_json::to_value(answer)?;
            if let Value::Array(items) = answer["Items"].take() {
                rows.extend(items);
            }
            start = match answer["LastEvaluatedKey"].take() {
                Value::Null => return Ok(rows),
                key => Some(key),
            };
        }
    }

    /// Creates the table unless an earlier run did.
    fn ensure(&self, table: &Table) -> Result<()> {
        let name = self.table_name(table);
        let request = json!({ "TableName": name });
        match self
            .database
            .describe_table(serde_json::from_value(request)?)
        {
            Ok(_) => return Ok(()),
            Err(DynoxideError::ResourceNotFoundException(_)) => {}
            Err(error) => return Err(fault(error)),
        }
        let mut request = Value::Object(table.definition.clone());
        request["TableName"] = json!(name);
        self.database
            .create_table(serde_json::from_value(request)?)
            .map_err(fault)?;
        if let Some(attribute) = &table.ttl {
            let request = json!({
                "TableName": name,
                "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
            });
            self.database
                .update_time_to_live(serde_json::from_value(request)?)
                .map_err(fault)?;
        }
        Ok(())
    }
}

/// True of a row whose time to live has passed.
const PASSED: &str = "#ttl <= :now";

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A failure means that it has stopped already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Makes the database's file for its owner alone, unless it is there. What SQLite puts beside it has the same
/// mode.
fn make(file: &Path) -> io::Result<()> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A listener where no guess finds it.
///
/// The engine checks no signature and lets every web page read its answers, so a page in a browser on this
/// machine that knew the port could read and write every table past the tap. A scan of 127.0.0.1 takes a
/// page seconds; an address and a port drawn from 24 and 16 bits it does not find.
fn hidden(rng: &dyn Rng) -> io::Result<TcpListener> {
    for _ in 0..ATTEMPTS {
        let [a, b, c, high, low] = rng.bytes();
        let port = u16::from_be_bytes([high, low]);
        // The lower ports may be reserved, and the last address is for broadcasts.
        if port < 1024 || [a, b, c] == [255; 3] {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, a, b, c), port)) {
            return Ok(listener);
        }
    }
    // Only Linux has all of 127.0.0.0/8; elsewhere there is a port that the system chooses.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn serve(
    database: Database,
    listener: TcpListener,
    stopped: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let run = move || {
        let served = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            let (stopping, patience) = oneshot::channel::<()>();
            let shutdown = async move {
                // The sender's end is the same as its word.
                let _ = stopped.await;
                drop(stopping);
            };
            tokio::select! {
                served = dynoxide::server::serve_with_shutdown(listener, database, shutdown) => served,
                () = async { let _ = patience.await; tokio::time::sleep(PATIENCE).await; } => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!(%error, "the embedded DynamoDB stopped");
        }
    };
    Ok(std::thread::Builder::new()
        .name("dynamodb".to_owned())
        .spawn(run)?)
}

/// The engine's errors, in words: they hold more than an error chain can.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn fault(error: DynoxideError) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests;
