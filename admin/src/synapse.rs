//! Import of the accounts of a Synapse from its database, with passwords, addresses, devices and tokens.
//!
//! The database is only read. Everything that is not imported, or that changes, is in the report (HS-22). Each user is
//! written in one transaction, or in several if the user has many devices, so the import may be interrupted at any time
//! and run again.

mod account;
mod config;
mod database;
mod devices;
mod findings;
mod listing;
mod report;
mod sessions;
mod source;
mod tables;
mod users;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use shared::{config::read_imported_pepper, ids::ServerName, passwords::Pepper, secrets::Secret};

pub(crate) use self::listing::{ListedUser, Listing};
pub use self::source::Source;
use self::{
    account::Mapping,
    config::HomeserverConfig,
    devices::Context,
    report::{ReportFile, Summary},
    users::import_all,
};
use crate::{Admin, Report};

/// The homeservers whose accounts can be imported.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Import the accounts of a Synapse, with passwords, addresses, devices and tokens; see docs/importing.md
    Synapse(Synapse),
}

/// The arguments of the import.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).multiple(true)))]
pub struct Synapse {
    #[command(flatten)]
    source: Source,
    /// Read the database and print the report; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Without a configuration: the password hashes were made with the pepper in `GATEHOUSE_IMPORTED_PEPPER`
    #[arg(long, conflicts_with = "homeserver_config")]
    peppered: bool,
    /// The file for the report, which lists everything that is not imported or that changes. Default:
    /// `synapse-import.csv`, and standard output with `--dry-run`
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<Report> {
    let Command::Synapse(synapse) = command;
    let config = synapse.source.config()?;
    let server = server_name(admin, &config)?;
    let pepper = pepper(admin, synapse.peppered, &config)?;
    let mut database = synapse.source.open(admin, &config).await?;
    let users = tables::read(&mut database).await?;
    let context = Context {
        server: &server,
        keys: &admin.keys,
        rng: &*admin.rng,
        now: admin.clock.now(),
        pepper: pepper.as_ref().map(|pepper| pepper.id.as_str()),
    };
    let total = users.len();
    let mut mapping = Mapping::default();
    for user in users {
        mapping.add(&context, &user);
    }
    let report = match (&synapse.report, synapse.dry_run) {
        (None, true) => None,
        (path, _) => Some(ReportFile::open(path.clone())?),
    };
    let (counts, mut findings) = import_all(admin, mapping, synapse.dry_run).await?;
    findings.sort();
    if let Some(report) = &report {
        report.write(&findings)?;
    }
    let summary = Summary {
        total,
        counts,
        findings,
        report: report.map(ReportFile::into_path),
        is_dry_run: synapse.dry_run,
        needs_pepper: pepper.is_some(),
    };
    Ok(summary.report())
}

/// The name of the homeserver. The setting and the configuration of Synapse must agree, because it is part of every user
/// ID.
fn server_name(admin: &Admin, config: &HomeserverConfig) -> anyhow::Result<ServerName> {
    match (admin.server_name(), &config.server_name) {
        (Some(own), Some(other)) => {
            ensure!(
                own == *other,
                "GATEHOUSE_SERVER_NAME is `{own}`, but `server_name` of Synapse is `{other}`"
            );
            Ok(own)
        }
        (Some(own), None) => Ok(own),
        (None, Some(other)) => Ok(other.clone()),
        (None, None) => bail!("set GATEHOUSE_SERVER_NAME, or use --homeserver-config"),
    }
}

/// The pepper of the password hashes: that of Synapse's configuration, or the setting with `--peppered`.
fn pepper(
    admin: &Admin,
    is_peppered: bool,
    config: &HomeserverConfig,
) -> anyhow::Result<Option<Pepper>> {
    let setting = read_imported_pepper(|name| admin.environment.get(name));
    if is_peppered {
        let pepper = setting.context("--peppered needs the setting GATEHOUSE_IMPORTED_PEPPER")?;
        return Ok(Some(pepper));
    }
    let Some(pepper) = &config.pepper else {
        return Ok(None);
    };
    let pepper = Pepper::new(Secret::new(pepper.reveal().clone().into_bytes()));
    ensure!(
        setting.is_none_or(|setting| setting.id == pepper.id),
        "GATEHOUSE_IMPORTED_PEPPER differs from `password_config.pepper` of Synapse"
    );
    Ok(Some(pepper))
}
