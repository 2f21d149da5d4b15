//! The embedded `DynamoDB`: the tables of the template, served over the real protocol on a loopback port.
//!
//! The calls of the engine (dynoxide) block, so the engine has its own thread. The engine has no latency, conflicts or
//! throttling. The proxy injects them. The engine does not authenticate callers, so only the proxy may call it.

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

/// The time that a shutdown waits for running requests.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// The number of random addresses that are tried before a fixed address.
const ATTEMPTS: usize = 16;

/// A running database. Dropping it stops it.
pub struct EmbeddedDynamoDb {
    engine: Database,
    address: SocketAddr,
    template: Arc<Template>,
    prefix: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedDynamoDb {
    /// Starts the database in memory, or with a file in `data`. It has the tables of the template, with names that
    /// start with `prefix`.
    pub fn start(data: Option<&Path>, template: Arc<Template>, prefix: &str) -> Result<Self> {
        let engine = match data {
            None => Database::memory(),
            Some(directory) => {
                let file = directory.join("gatehouse.sqlite");
                create_private(&file).with_context(|| file.display().to_string())?;
                Database::new(
                    file.to_str()
                        .context("the path of the data directory is not UTF-8")?,
                )
            }
        }
        .map_err(engine_error)?;
        let listener = bind_unguessable(&SystemRng)
            .context("cannot listen on any port for the embedded DynamoDB")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = serve(engine.clone(), listener, stopped)?;
        let database = Self {
            engine,
            address,
            template,
            prefix: prefix.to_owned(),
            stop: Some(stop),
            thread: Some(thread),
        };
        for table in &database.template.tables {
            database
                .create_table(table)
                .with_context(|| format!("table {}", table.id))?;
        }
        Ok(database)
    }

    /// The address that the database listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Deletes the rows whose time to live has passed at `now`, and returns their number.
    ///
    /// The engine can also delete these rows, but only by the system's clock.
    pub fn delete_expired(&self, now: Timestamp) -> Result<usize> {
        let mut deleted = 0;
        for table in &self.template.tables {
            let Some(attribute) = &table.ttl else {
                continue;
            };
            let name = self.table_name(table);
            let expired = json!({
                "ExpressionAttributeNames": { "#ttl": attribute },
                "ExpressionAttributeValues": { ":now": { "N": now.0.div_euclid(1000).to_string() } },
            });
            for row in self.rows(&name, "FilterExpression", &expired)? {
                let key: Map<String, Value> = table
                    .keys
                    .iter()
                    .map(|key| (key.clone(), row[key].clone()))
                    .collect();
                let mut request = expired.clone();
                request["TableName"] = json!(name);
                request["Key"] = Value::Object(key);
                request["ConditionExpression"] = json!(IS_EXPIRED);
                match self.engine.delete_item(serde_json::from_value(request)?) {
                    Ok(_) => deleted += 1,
                    // The row was renewed after it had been read.
                    Err(DynoxideError::ConditionalCheckFailedException(..)) => {}
                    Err(error) => return Err(engine_error(error)),
                }
            }
        }
        Ok(deleted)
    }

    /// Every row of every table, by the table's name. Tests search it for secrets that must not be stored.
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

    /// The rows of a table. If `filter` names a parameter of the scan, only the rows whose time to live has passed.
    fn rows(&self, name: &str, filter: &str, values: &Value) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let mut request = values.clone();
            request["TableName"] = json!(name);
            if !filter.is_empty() {
                request[filter] = json!(IS_EXPIRED);
            }
            if let Some(start) = start {
                request["ExclusiveStartKey"] = start;
            }
            let answer = self
                .engine
                .scan(serde_json::from_value(request)?)
                .map_err(engine_error)?;
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

    /// Creates the table unless it exists from an earlier run.
    fn create_table(&self, table: &Table) -> Result<()> {
        let name = self.table_name(table);
        let request = json!({ "TableName": name });
        match self.engine.describe_table(serde_json::from_value(request)?) {
            Ok(_) => return Ok(()),
            Err(DynoxideError::ResourceNotFoundException(_)) => {}
            Err(error) => return Err(engine_error(error)),
        }
        let mut request = Value::Object(table.definition.clone());
        request["TableName"] = json!(name);
        self.engine
            .create_table(serde_json::from_value(request)?)
            .map_err(engine_error)?;
        if let Some(attribute) = &table.ttl {
            let request = json!({
                "TableName": name,
                "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
            });
            self.engine
                .update_time_to_live(serde_json::from_value(request)?)
                .map_err(engine_error)?;
        }
        Ok(())
    }
}

/// The condition that the time to live of a row has passed.
const IS_EXPIRED: &str = "#ttl <= :now";

impl Drop for EmbeddedDynamoDb {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the server has already stopped.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Debug for EmbeddedDynamoDb {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EmbeddedDynamoDb")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Creates the database file with access only for its owner, unless it exists. SQLite gives its journal files the same
/// mode.
fn create_private(file: &Path) -> io::Result<()> {
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

/// A listener at an address that cannot be guessed.
///
/// The engine checks no signature and sends CORS headers for every origin. A web page in a browser on this machine
/// could therefore read and write every table without the proxy if it had the address and the port. A page can scan
/// 127.0.0.1 within seconds, but not 24 random bits of address and 16 random bits of port.
fn bind_unguessable(rng: &dyn Rng) -> io::Result<TcpListener> {
    for _ in 0..ATTEMPTS {
        let [a, b, c, high, low] = rng.bytes();
        let port = u16::from_be_bytes([high, low]);
        // Lower ports may be reserved, and the last address is the broadcast address.
        if port < 1024 || [a, b, c] == [255; 3] {
            continue;
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, a, b, c), port)) {
            return Ok(listener);
        }
    }
    // Only Linux accepts all of 127.0.0.0/8. On other systems the system chooses a port.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

fn serve(
    engine: Database,
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
            let (stopping, shutdown_started) = oneshot::channel::<()>();
            let shutdown = async move {
                // A dropped sender also stops the server.
                let _ = stopped.await;
                drop(stopping);
            };
            tokio::select! {
                served = dynoxide::server::serve_with_shutdown(listener, engine, shutdown) => served,
                () = async { let _ = shutdown_started.await; tokio::time::sleep(SHUTDOWN_GRACE).await; } => Ok(()),
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

/// The engine's error as text, because its type does not fit into an error chain.
#[expect(
    clippy::needless_pass_by_value,
    reason = "`map_err` passes the error by value"
)]
fn engine_error(error: DynoxideError) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests;
