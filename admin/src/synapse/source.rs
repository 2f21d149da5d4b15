//! Synapse's configuration and database, as the arguments of a command name them.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::{
    config::{DatabaseSource, HomeserverConfig},
    database::Database,
};
use crate::Admin;

/// The arguments of a command that reads the database. The command declares the group `source`.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// Synapse's configuration: a file, or a directory of `.yaml` files. May be repeated, as for Synapse
    #[arg(long, value_name = "PATH", group = "source")]
    homeserver_config: Vec<PathBuf>,
    /// The path of Synapse's SQLite database, or the `postgresql://` URL of its database. Default: the database in the
    /// configuration
    #[arg(long, value_name = "PATH_OR_URL", group = "source")]
    database: Option<String>,
}

impl Source {
    /// Whether the arguments name a configuration or a database.
    pub(super) const fn is_given(&self) -> bool {
        !self.homeserver_config.is_empty() || self.database.is_some()
    }

    /// Synapse's configuration. It is empty if only the database is named.
    pub(super) fn config(&self) -> anyhow::Result<HomeserverConfig> {
        if self.homeserver_config.is_empty() {
            return Ok(HomeserverConfig::default());
        }
        HomeserverConfig::read(&self.homeserver_config)
    }

    /// Opens the database, which must be one of Synapse.
    pub(super) async fn open(
        &self,
        admin: &Admin,
        config: &HomeserverConfig,
    ) -> anyhow::Result<Database> {
        let parsed;
        let source = if let Some(text) = &self.database {
            parsed = DatabaseSource::parse(text)?;
            &parsed
        } else {
            config.database.as_ref().context(
                "the configuration of Synapse names no database; use --database with its path or URL",
            )?
        };
        let mut database = Database::open(source, &admin.environment).await?;
        ensure!(
            database.has_table("users").await?,
            "the database has no table `users`, so it is not a database of Synapse"
        );
        Ok(database)
    }
}
