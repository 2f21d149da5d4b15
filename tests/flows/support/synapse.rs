//! A database of Synapse, with the tables that Synapse creates, and its import.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{cell::Cell, fs, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use rusqlite::{Connection, ToSql, types::Null};
use serde_json::Value;
use tempfile::TempDir;
use test_support::{NOW, TestServer};

use super::run_operator;

const TABLES: &str = include_str!("../../fixtures/synapse.sql");

/// A database of Synapse in a directory, for the homeserver `localhost`.
pub(crate) struct Synapse {
    directory: TempDir,
    database: Connection,
    /// The ID of the last token.
    last: Cell<i64>,
}

/// A pair of tokens that Synapse has issued.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// The ID of the refresh token.
    pub(crate) id: i64,
}

impl Synapse {
    /// A database without users.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Connection::open(directory.path().join("homeserver.db")).unwrap();
        // The tests need no protection against a power failure.
        database
            .execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
            .unwrap();
        database.execute_batch(TABLES).unwrap();
        Self {
            directory,
            database,
            last: Cell::new(0),
        }
    }

    /// Runs a statement.
    pub(crate) fn execute(&self, sql: &str, parameters: &[&dyn ToSql]) {
        self.database.execute(sql, parameters).unwrap();
    }

    /// Adds a user with this password hash.
    pub(crate) fn user(&self, name: &str, hash: Option<&str>) {
        self.execute(
            "INSERT INTO users (name, password_hash, creation_ts) VALUES (?1, ?2, 1500000000)",
            &[&id_of(name), &hash],
        );
    }

    /// Sets a column of a user.
    pub(crate) fn set(&self, name: &str, column: &str, value: &dyn ToSql) {
        let sql = format!("UPDATE users SET {column} = ?1 WHERE name = ?2");
        self.execute(&sql, &[value, &id_of(name)]);
    }

    /// Adds a 3PID that was validated at this time, unless a user has the same spelling of it, as Synapse does.
    pub(crate) fn address(&self, name: &str, medium: &str, address: &str, validated: i64) {
        self.execute(
            "INSERT OR IGNORE INTO user_threepids VALUES (?1, ?2, ?3, ?4, ?4)",
            &[&id_of(name), &medium, &address, &validated],
        );
    }

    /// The addresses of a user.
    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        let sql = "SELECT address FROM user_threepids WHERE user_id = ?1";
        let mut query = self.database.prepare(sql).unwrap();
        let rows = query.query_map([id_of(name)], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Adds a device with the display name `<device> of <name>`.
    pub(crate) fn device(&self, name: &str, device: &str) {
        self.execute(
            "INSERT INTO devices (user_id, device_id, display_name, hidden) VALUES (?1, ?2, ?3, 0)",
            &[&id_of(name), &device, &format!("{device} of {name}")],
        );
    }

    /// Adds an access token that was used.
    pub(crate) fn access(&self, name: &str, device: &str, valid_until: Option<i64>) -> String {
        let token = self.token("syt", name);
        self.add_access(name, &token, &device, valid_until, None);
        token
    }

    /// Adds a row of an access token.
    pub(crate) fn add_access(
        &self,
        name: &str,
        token: &str,
        device: &dyn ToSql,
        valid_until: Option<i64>,
        refresh: Option<i64>,
    ) {
        self.execute(
            "INSERT INTO access_tokens (id, user_id, device_id, token, valid_until_ms, refresh_token_id, used) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
            &[&self.next(), &id_of(name), device, &token, &valid_until, &refresh],
        );
    }

    /// Adds a pair of tokens, which was issued for the refresh token of `before`, if there is one.
    pub(crate) fn pair(
        &self,
        name: &str,
        device: &str,
        valid_until: Option<i64>,
        before: Option<&Pair>,
    ) -> Pair {
        let (access, refresh) = (self.token("syt", name), self.token("syr", name));
        let id = self.next();
        self.execute(
            "INSERT INTO refresh_tokens (id, user_id, device_id, token) VALUES (?1, ?2, ?3, ?4)",
            &[&id, &id_of(name), &device, &refresh],
        );
        self.add_access(name, &access, &device, valid_until, Some(id));
        if let Some(before) = before {
            self.execute(
                "UPDATE refresh_tokens SET next_token_id = ?1 WHERE id = ?2",
                &[&id, &before.id],
            );
        }
        Pair {
            access,
            refresh,
            id,
        }
    }

    /// Records that an access token has not been used.
    pub(crate) fn set_unused(&self, token: &str) {
        self.execute(
            "UPDATE access_tokens SET used = ?1 WHERE token = ?2",
            &[&Null, &token],
        );
    }

    /// Whether Synapse accepts the token, by the queries with which Synapse looks up tokens. Synapse also accepts an access
    /// token until it expires if a refresh has replaced it and the new tokens were used; here it does not count.
    pub(crate) fn accepts(&self, token: &str) -> bool {
        let sql = "SELECT EXISTS (
              SELECT 1 FROM access_tokens own
                LEFT JOIN refresh_tokens rt ON own.refresh_token_id = rt.id
                LEFT JOIN refresh_tokens nrt ON rt.next_token_id = nrt.id
                LEFT JOIN access_tokens at ON at.refresh_token_id = nrt.id
              WHERE own.token = ?1 AND COALESCE(own.valid_until_ms, ?2) >= ?2
                AND nrt.next_token_id IS NULL AND NOT COALESCE(at.used, 0)
            ) OR EXISTS (
              SELECT 1 FROM refresh_tokens rt
                LEFT JOIN refresh_tokens nrt ON rt.next_token_id = nrt.id
                LEFT JOIN access_tokens at ON at.refresh_token_id = nrt.id
              WHERE rt.token = ?1 AND nrt.next_token_id IS NULL AND NOT COALESCE(at.used, 0)
                AND COALESCE(rt.expiry_ts, ?2) >= ?2
            )";
        let row = self.database.query_row(sql, (token, NOW), |row| row.get(0));
        row.unwrap()
    }

    /// Writes a configuration of Synapse with these further lines, and returns its path.
    pub(crate) fn config(&self, lines: &str) -> PathBuf {
        let path = self.directory.path().join("homeserver.yaml");
        let database = self.directory.path().join("homeserver.db");
        let database = database.display();
        let yaml = format!(
            "server_name: localhost\ndatabase:\n  name: sqlite3\n  args: {{database: {database}}}\n{lines}\n"
        );
        fs::write(&path, yaml).unwrap();
        path
    }

    /// The file of the report.
    pub(crate) fn report(&self) -> PathBuf {
        self.directory.path().join("report.csv")
    }

    /// The arguments of the import with these further arguments.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<String> {
        let (config, report) = (self.directory.path().join("homeserver.yaml"), self.report());
        if !config.exists() {
            self.config("");
        }
        let own = ["import", "synapse", "--homeserver-config"].map(str::to_owned);
        let paths = [config, report].map(|path| path.to_str().unwrap().to_owned());
        let [config, report] = paths;
        let more = more.iter().map(|text| (*text).to_owned());
        let report = ["--report".to_owned(), report];
        own.into_iter()
            .chain([config])
            .chain(report)
            .chain(more)
            .collect()
    }

    /// Imports the database. Returns the JSON of the report, and whether the command succeeded.
    pub(crate) async fn import(
        &self,
        server: &TestServer,
        more: &[&str],
    ) -> anyhow::Result<(Value, bool)> {
        let arguments = self.arguments(more);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let report = run_operator(server, &arguments).await?;
        Ok((report.json, !report.failed))
    }

    /// Imports the database, which must succeed, and returns the JSON of the report.
    pub(crate) async fn import_all(&self, server: &TestServer) -> Value {
        let (report, is_success) = self.import(server, &[]).await.unwrap();
        assert!(is_success, "{report}");
        report
    }

    /// A token with this prefix that Synapse could have issued to the user.
    pub(crate) fn token(&self, prefix: &str, name: &str) -> String {
        let encoded = BASE64_STANDARD_NO_PAD.encode(name);
        let body = format!("{prefix}_{encoded}_{:020}", self.next());
        format!("{body}_{}", checksum(&body))
    }

    fn next(&self) -> i64 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }
}

/// The user ID for a localpart, or for a text that is not a localpart, that text.
fn id_of(name: &str) -> String {
    match name.strip_prefix('!') {
        Some(id) => id.to_owned(),
        None => format!("@{name}:localhost"),
    }
}

/// `base62_encode(crc32(body), minwidth=6)` of Synapse.
fn checksum(body: &str) -> String {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut number = !crc;
    let mut text = Vec::new();
    for _ in 0..6 {
        text.insert(0, digits[usize::try_from(number % 62).unwrap()]);
        number /= 62;
    }
    String::from_utf8(text).unwrap()
}

/// The pairs of user and finding in a report.
pub(crate) fn findings(report: &Value) -> Vec<(String, String)> {
    let all = report["findings"].as_array().unwrap().iter();
    let pair = |finding: &Value| {
        let part = |name: &str| finding[name].as_str().unwrap().to_owned();
        (part("user"), part("finding"))
    };
    all.map(pair).collect()
}
