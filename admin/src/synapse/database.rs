//! Reads Synapse's tables from SQLite or PostgreSQL. Every value is read as text, so that both have one form.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::config::DatabaseSource;
use crate::environment::Environment;

/// The time in which PostgreSQL must accept the connection, and SQLite must release a lock.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The directory of PostgreSQL's socket on Debian, which libpq uses there if the host is not set.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// A connection in a transaction that only reads, so that all tables have the state of one point in time.
pub(super) enum Database {
    Sqlite(Connection),
    Postgres(Client),
}

impl Database {
    pub(super) async fn open(
        source: &DatabaseSource,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        match source {
            DatabaseSource::Sqlite(path) => open_sqlite(path)
                .with_context(|| format!("cannot open the database {}", path.display())),
            DatabaseSource::Postgres(config) => {
                let mut config = config.as_ref().clone();
                config.connect_timeout(TIMEOUT);
                if config.get_hosts().is_empty() {
                    config.host_path(SOCKET_DIRECTORY);
                }
                if let (None, Some(password)) =
                    (config.get_password(), environment.get("PGPASSWORD"))
                {
                    config.password(password);
                }
                open_postgres(&config).await.context(
                    "cannot connect to PostgreSQL; this command uses no TLS, so it must run on the same machine or through \
                     a tunnel",
                )
            }
        }
    }

    /// The rows of a table. A column that the table does not have is read as NULL, and a table that does not exist has no
    /// rows: older versions of Synapse lack some.
    pub(super) async fn read<const N: usize>(
        &mut self,
        table: &str,
        columns: [&str; N],
    ) -> anyhow::Result<Vec<[Option<String>; N]>> {
        let existing = self.columns(table).await?;
        if existing.is_empty() {
            return Ok(Vec::new());
        }
        let list = columns.map(|column| {
            if existing.contains(column) {
                column
            } else {
                "NULL"
            }
        });
        let query = format!("SELECT {} FROM {table}", list.join(", "));
        self.query(&query).await
    }

    /// Whether the table exists.
    pub(super) async fn has_table(&mut self, table: &str) -> anyhow::Result<bool> {
        Ok(!self.columns(table).await?.is_empty())
    }

    async fn columns(&mut self, table: &str) -> anyhow::Result<BTreeSet<String>> {
        let query = match self {
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Self::Postgres(_) => format!(
                "SELECT column_name FROM information_schema.columns \
                 WHERE table_name = '{table}' AND table_schema = ANY (current_schemas(false))"
            ),
        };
        let rows = self.query(&query).await?;
        Ok(rows.into_iter().filter_map(|[name]| name).collect())
    }

    async fn query<const N: usize>(
        &mut self,
        query: &str,
    ) -> anyhow::Result<Vec<[Option<String>; N]>> {
        match self {
            Self::Sqlite(connection) => Ok(query_sqlite(connection, query)?),
            Self::Postgres(client) => {
                let messages = client.simple_query(query).await?;
                let rows = messages.into_iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                });
                let cells = |row: tokio_postgres::SimpleQueryRow| {
                    std::array::from_fn(|column| row.get(column).map(str::to_owned))
                };
                Ok(rows.map(cells).collect())
            }
        }
    }
}

fn open_sqlite(path: &Path) -> rusqlite::Result<Database> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(TIMEOUT)?;
    connection.execute_batch("BEGIN")?;
    Ok(Database::Sqlite(connection))
}

async fn open_postgres(config: &tokio_postgres::Config) -> anyhow::Result<Database> {
    let (client, connection) = config.connect(NoTls).await?;
    // An error of the connection is also an error of the query that waits for it.
    tokio::spawn(connection);
    client
        .batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    Ok(Database::Postgres(client))
}

fn query_sqlite<const N: usize>(
    connection: &Connection,
    query: &str,
) -> rusqlite::Result<Vec<[Option<String>; N]>> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map([], |row| {
        let mut cells = [const { None }; N];
        for (column, cell) in cells.iter_mut().enumerate() {
            *cell = match row.get_ref(column)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string()),
                ValueRef::Real(number) => Some(number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            };
        }
        Ok(cells)
    })?;
    rows.collect()
}
