//! Application services, from standard registration files.

mod file;
mod samples;
mod warnings;

use std::{fmt::Write, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
pub use file::parse;
use serde_json::{Value, json};
use shared::{
    appservices::{AppserviceRecord, Appservices, excerpt},
    store::{AppservicesRow, RegistrationLookup},
};

use crate::{Admin, Report};

/// The maximum number of attempts to change the row. An attempt fails if the row has changed since it was read.
const MAX_ATTEMPTS: usize = 5;
/// The maximum size of all registrations together. They are one row, and DynamoDB rejects rows of more than 400 kB.
const MAX_ROW_BYTES: usize = 380_000;

/// The commands for application services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add application services, or replace those with the same ID
    Add {
        /// The registration files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List all application services
    List,
    /// Remove an application service; its users remain
    Remove {
        /// The ID of the application service
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

pub(crate) async fn run(admin: &Admin, command: &Command) -> anyhow::Result<Report> {
    match command {
        Command::Add { files } => {
            let mut new = Vec::new();
            for file in files {
                let yaml = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                new.push(
                    parse(&yaml, &admin.keys).with_context(|| format!("in {}", file.display()))?,
                );
            }
            add(admin, &new).await
        }
        Command::List => list(admin).await,
        Command::Remove { id } => remove(admin, id).await,
    }
}

/// Adds application services, or replaces those with the same ID.
pub async fn add(admin: &Admin, new: &[AppserviceRecord]) -> anyhow::Result<Report> {
    let before = change(admin, |records| {
        for (index, record) in new.iter().enumerate() {
            ensure!(
                new[..index].iter().all(|earlier| earlier.id != record.id),
                "two files have the `id` `{}`",
                record.id
            );
            records.retain(|other| other.id != record.id);
            let same = |other: &&AppserviceRecord| other.token_hash == record.token_hash;
            if let Some(other) = records.iter().find(same) {
                bail!(
                    "`{}` has the same `as_token` as `{}`; each application service needs its own token",
                    record.id,
                    other.id
                );
            }
            records.push(record.clone());
        }
        Appservices::compile(records.clone())?;
        Ok(())
    })
    .await?;
    let is_replaced = |id: &&str| before.iter().any(|record| record.id == *id);
    let ids: Vec<&str> = new.iter().map(|record| record.id.as_str()).collect();
    let (replaced, added): (Vec<&str>, Vec<&str>) = ids.iter().partition(|id| is_replaced(id));
    let mut all = before;
    all.retain(|record| !ids.contains(&record.id.as_str()));
    all.extend_from_slice(new);
    let warnings = warnings::of(&all, &ids, admin.server_name().as_ref());
    let mut text = String::new();
    for (done, ids) in [("added", &added), ("replaced", &replaced)] {
        if !ids.is_empty() {
            write!(text, "{done} {}; ", ids.join(", "))?;
        }
    }
    text.push_str("the change takes effect within a minute");
    for warning in &warnings {
        write!(text, "\nwarning: {warning}")?;
    }
    Ok(Report::success(
        json!({ "added": added, "replaced": replaced, "warnings": warnings }),
        text,
    ))
}

async fn remove(admin: &Admin, id: &str) -> anyhow::Result<Report> {
    change(admin, |records| {
        ensure!(
            records.iter().any(|record| record.id == id),
            "there is no application service `{id}`"
        );
        records.retain(|record| record.id != id);
        Ok(())
    })
    .await?;
    Ok(Report::success(
        json!({ "removed": id }),
        format!("removed {id}; the change takes effect within a minute"),
    ))
}

async fn list(admin: &Admin) -> anyhow::Result<Report> {
    let records = read(admin).await?.records;
    let mut text = String::new();
    for record in &records {
        let namespaces: Vec<String> = record
            .users
            .iter()
            .map(|users| excerpt(&users.regex))
            .collect();
        writeln!(
            text,
            "{}  @{}  {}",
            record.id,
            record.sender_localpart,
            namespaces.join(" ")
        )?;
    }
    if records.is_empty() {
        text.push_str("no application services");
    }
    let json = records.iter().map(
        |record| json!({ "id": record.id, "sender_localpart": record.sender_localpart, "users": record.users }),
    );
    Ok(Report::success(
        Value::Array(json.collect()),
        text.trim_end().to_owned(),
    ))
}

async fn read(admin: &Admin) -> anyhow::Result<AppservicesRow> {
    let lookup = RegistrationLookup {
        appservices: true,
        ..RegistrationLookup::default()
    };
    Ok(admin
        .store
        .registration_facts(lookup)
        .await?
        .appservices
        .unwrap_or_default())
}

/// Changes the row of the application services, on the condition that it has not changed since it was read. Returns
/// the records from before the change.
async fn change(
    admin: &Admin,
    edit: impl Fn(&mut Vec<AppserviceRecord>) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<AppserviceRecord>> {
    for _ in 0..MAX_ATTEMPTS {
        let row = read(admin).await?;
        let mut records = row.records.clone();
        edit(&mut records)?;
        let size = serde_json::to_string(&records)?.len();
        ensure!(
            size <= MAX_ROW_BYTES || records.len() < row.records.len(),
            "all application services together have {} kB, at most {} kB; shorten their regular expressions",
            size / 1000,
            MAX_ROW_BYTES / 1000
        );
        if admin.store.replace_appservices(&row, &records).await? {
            return Ok(row.records);
        }
    }
    bail!("the application services are being changed by other commands; try again")
}
