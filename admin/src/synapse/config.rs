//! Synapse's configuration: the name of the homeserver, the pepper of its password hashes, and its database.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use shared::{ids::ServerName, secrets::Secret, threepids::trim};

/// The settings that the import uses.
#[derive(Debug, Default)]
pub(super) struct HomeserverConfig {
    pub(super) server_name: Option<ServerName>,
    /// The pepper that Synapse appends to each password, if there is one.
    pub(super) pepper: Option<Secret>,
    pub(super) database: Option<DatabaseSource>,
}

/// The place of a database.
#[derive(Debug)]
pub(super) enum DatabaseSource {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server. The configuration contains the password.
    Postgres(Box<tokio_postgres::Config>),
}

impl DatabaseSource {
    /// Parses a `postgresql://` URL, or the path of an SQLite file.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            // The error must not contain the URL, which may contain the password.
            let config = text
                .parse()
                .context("the URL of the database is not valid")?;
            return Ok(Self::Postgres(Box::new(config)));
        }
        Ok(Self::Sqlite(PathBuf::from(text)))
    }
}

impl HomeserverConfig {
    /// Reads files, and the `.yaml` files of directories in the order of their names. As in Synapse, a section of a later
    /// file replaces the section of an earlier file.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut all = Map::new();
        for path in paths {
            for file in files(path)? {
                let shown = file.display();
                let yaml =
                    fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
                let sections: Option<Map<String, Value>> = serde_yaml_ng::from_str(&yaml)
                    .with_context(|| format!("{shown} is not a configuration of Synapse"))?;
                all.extend(sections.unwrap_or_default());
            }
        }
        Self::of(&all)
    }

    fn of(all: &Map<String, Value>) -> anyhow::Result<Self> {
        let name = all.get("server_name").and_then(Value::as_str);
        let name = name.context("the configuration of Synapse has no `server_name`")?;
        let pepper = all
            .get("password_config")
            .and_then(|passwords| passwords.get("pepper"));
        let pepper = match pepper {
            None | Some(Value::Null) => None,
            Some(Value::String(pepper)) => Some(pepper.clone()).filter(|text| !text.is_empty()),
            Some(_) => bail!("`password_config.pepper` is not a string"),
        };
        ensure!(
            pepper.as_ref().is_none_or(|pepper| trim(pepper) == pepper),
            "`password_config.pepper` begins or ends with white space, which the setting GATEHOUSE_IMPORTED_PEPPER cannot \
             have"
        );
        Ok(Self {
            server_name: Some(
                ServerName::parse(name)
                    .with_context(|| format!("`server_name` is not valid: {name}"))?,
            ),
            pepper: pepper.map(Secret::new),
            database: database(all)?,
        })
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let shown = path.display();
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {shown}"))? {
        let file = entry?.path();
        if file.is_file() && file.extension().is_some_and(|end| end == "yaml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The database with the accounts. Synapse can divide its tables among several databases.
fn database(all: &Map<String, Value>) -> anyhow::Result<Option<DatabaseSource>> {
    if let Some(path) = all.get("database_path").and_then(Value::as_str) {
        return Ok(Some(DatabaseSource::Sqlite(PathBuf::from(path))));
    }
    let has_accounts = |database: &&Value| {
        let stores = database.get("data_stores").and_then(Value::as_array);
        stores.is_none_or(|stores| stores.iter().any(|store| store == "main"))
    };
    let several = all.get("databases").and_then(Value::as_object);
    let several = several.into_iter().flat_map(Map::values);
    let Some(database) = all
        .get("database")
        .into_iter()
        .chain(several)
        .find(has_accounts)
    else {
        return Ok(None);
    };
    let no_arguments = Map::new();
    let arguments = database.get("args").and_then(Value::as_object);
    let arguments = arguments.unwrap_or(&no_arguments);
    match database.get("name").and_then(Value::as_str) {
        None | Some("sqlite3") => {
            let path = arguments.get("database").and_then(Value::as_str);
            let path = path.context("the configuration of the database has no `database`")?;
            Ok(Some(DatabaseSource::Sqlite(PathBuf::from(path))))
        }
        Some("psycopg2") => Ok(Some(DatabaseSource::Postgres(Box::new(postgres(
            arguments,
        )?)))),
        Some(name) => bail!("databases of the type `{name}` are not supported"),
    }
}

/// The connection with the parameters of libpq, from which Synapse takes its parameters.
fn postgres(arguments: &Map<String, Value>) -> anyhow::Result<tokio_postgres::Config> {
    for name in ["passfile", "service", "dsn"] {
        ensure!(
            !arguments.contains_key(name),
            "the configuration of the database has `{name}`, which this command does not read; use --database with a \
             `postgresql://` URL"
        );
    }
    let mut text = String::new();
    for (name, parameter) in [
        ("user", "user"),
        ("password", "password"),
        ("dbname", "dbname"),
        ("database", "dbname"),
        ("host", "host"),
        ("hostaddr", "hostaddr"),
        ("port", "port"),
        ("options", "options"),
        ("sslmode", "sslmode"),
    ] {
        let value = match arguments.get(name) {
            Some(Value::String(value)) => value.clone(),
            Some(Value::Number(value)) => value.to_string(),
            _ => continue,
        };
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        // Writing to a string cannot fail.
        let _ = write!(text, "{parameter}='{value}' ");
    }
    // The error must not contain the text, which may contain the password.
    text.parse()
        .context("the configuration of the database is not valid")
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn read(yaml: &str) -> anyhow::Result<HomeserverConfig> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("homeserver.yaml"), yaml).unwrap();
        HomeserverConfig::read(&[directory.path().to_owned()])
    }

    fn postgres(yaml: &str) -> tokio_postgres::Config {
        match read(yaml).unwrap().database {
            Some(DatabaseSource::Postgres(config)) => *config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_configuration_of_sqlite_and_the_pepper_are_read() {
        let config = read(
            "server_name: example.org\ndatabase:\n  name: sqlite3\n  args:\n    database: /data/homeserver.db\n\
             password_config:\n  pepper: \"a 'pepper'\"\n",
        )
        .unwrap();
        assert_eq!(config.server_name.unwrap().as_str(), "example.org");
        assert_eq!(config.pepper.unwrap().reveal(), "a 'pepper'");
        let Some(DatabaseSource::Sqlite(path)) = config.database else {
            panic!("another database");
        };
        assert_eq!(path, Path::new("/data/homeserver.db"));
    }

    #[test]
    fn the_configuration_of_postgresql_is_read() {
        let config = postgres(
            "server_name: example.org\ndatabase:\n  name: psycopg2\n  txn_limit: 10000\n  args:\n    user: synapse\n    \
             password: \"it's a \\\\ \\\"secret\\\"\"\n    dbname: matrix\n    host: db.example.org\n    port: 5433\n    \
             cp_min: 5\n    cp_max: 10\n",
        );
        assert_eq!(config.get_user(), Some("synapse"));
        assert_eq!(
            config.get_password(),
            Some(br#"it's a \ "secret""#.as_slice())
        );
        assert_eq!(config.get_dbname(), Some("matrix"));
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example.org".to_owned())]);
        assert_eq!(config.get_ports(), [5433]);
    }

    #[test]
    fn of_several_databases_the_one_with_the_accounts_is_read() {
        let config = postgres(
            "server_name: example.org\ndatabases:\n  a:\n    name: psycopg2\n    data_stores: [state]\n    args: {database: \
             state}\n  b:\n    name: psycopg2\n    data_stores: [main]\n    args: {database: main, host: /run/pg}\n",
        );
        assert_eq!(config.get_dbname(), Some("main"));
        assert_eq!(config.get_hosts(), [Host::Unix(PathBuf::from("/run/pg"))]);
    }

    #[test]
    fn a_later_file_replaces_sections_of_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, yaml: &str| fs::write(directory.path().join(name), yaml).unwrap();
        write(
            "a.yaml",
            "server_name: a.example\npassword_config:\n  pepper: x\n",
        );
        write("b.yaml", "server_name: b.example\npassword_config: {}\n");
        write("c.yaml", "# empty\n");
        write("d.txt", "server_name: d.example\n");
        let config = HomeserverConfig::read(&[directory.path().to_owned()]).unwrap();
        assert_eq!(config.server_name.unwrap().as_str(), "b.example");
        assert!(config.pepper.is_none() && config.database.is_none());
    }

    #[test]
    fn an_unusable_configuration_is_an_error_without_the_password() {
        let database = "server_name: a\ndatabase: {name: psycopg2, args: {password: hunter2, ";
        for (yaml, reason) in [
            ("database: {}\n".to_owned(), "server_name"),
            ("- x\n".to_owned(), "not a configuration"),
            (
                "server_name: a\ndatabase: {name: mysql}\n".to_owned(),
                "mysql",
            ),
            (
                "server_name: a\npassword_config: {pepper: ' x'}\n".to_owned(),
                "white space",
            ),
            (
                "server_name: a\npassword_config: {pepper: 5}\n".to_owned(),
                "not a string",
            ),
            (format!("{database}passfile: x}}}}\n"), "--database"),
            (format!("{database}port: many}}}}\n"), "not valid"),
        ] {
            let error = format!("{:#}", read(&yaml).unwrap_err());
            assert!(error.contains(reason), "{yaml}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = DatabaseSource::parse("postgresql://u:hunter2@h:port/x").unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}
