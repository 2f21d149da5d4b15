//! Application services, from standard registration files in YAML. `hs_token` is neither used nor stored.

use std::{fmt::Write, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{
    appservices::{AppserviceRecord, Appservices, NamespaceRecord},
    ids::is_localpart,
    secrets::{KeyPurpose, KeyRing, Secret},
    store::{AppservicesRow, RegistrationLookup},
    tokens,
};

use crate::{Admin, Report};

/// The maximum number of attempts to change the row. An attempt fails if the row has changed since it was read.
const MAX_ATTEMPTS: usize = 5;

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
        id: String,
    },
}

/// The parts of a registration file that Gatehouse uses. The homeserver uses the others.
#[derive(Deserialize)]
struct RegistrationFile {
    id: String,
    as_token: String,
    sender_localpart: String,
    #[serde(default)]
    namespaces: RegistrationNamespaces,
}

#[derive(Default, Deserialize)]
struct RegistrationNamespaces {
    #[serde(default)]
    users: Vec<RegistrationNamespace>,
}

#[derive(Deserialize)]
struct RegistrationNamespace {
    #[serde(default)]
    exclusive: bool,
    regex: String,
}

/// Parses a registration file. The result contains only the hash of the token.
pub fn parse(yaml: &str, keys: &KeyRing) -> anyhow::Result<AppserviceRecord> {
    let file: RegistrationFile = serde_yaml_ng::from_str(yaml)
        .context("the file is not a registration of an application service")?;
    ensure!(!file.id.is_empty(), "`id` is empty");
    ensure!(!file.as_token.is_empty(), "`as_token` is empty");
    ensure!(
        !tokens::has_our_prefix(&file.as_token),
        "`as_token` starts like an access token of this server; choose another token"
    );
    ensure!(
        file.as_token.bytes().all(|b| b.is_ascii_graphic()),
        "`as_token` has a character that is not allowed in an HTTP header"
    );
    ensure!(
        is_localpart(&file.sender_localpart),
        "`sender_localpart` is not a valid localpart; use lower-case letters, digits and `._=-/+`"
    );
    let as_token = Secret::new(file.as_token);
    let users = file.namespaces.users.into_iter();
    Ok(AppserviceRecord {
        id: file.id,
        token_hash: keys.hash(KeyPurpose::AppserviceToken, as_token.reveal().as_bytes()),
        sender_localpart: file.sender_localpart,
        users: users
            .map(|namespace| NamespaceRecord {
                exclusive: namespace.exclusive,
                regex: namespace.regex,
            })
            .collect(),
    })
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
    change(admin, |records| {
        for record in new {
            records.retain(|other| other.id != record.id);
            if records
                .iter()
                .any(|other| other.token_hash == record.token_hash)
            {
                bail!(
                    "`{}` has the same `as_token` as another application service",
                    record.id
                );
            }
            records.push(record.clone());
        }
        Appservices::compile(records.clone())?;
        Ok(())
    })
    .await?;
    let ids: Vec<&str> = new.iter().map(|record| record.id.as_str()).collect();
    Ok(Report::success(
        json!({ "added": ids }),
        format!(
            "added {}; the change takes effect within a minute",
            ids.join(", ")
        ),
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
        let namespaces: Vec<&str> = record
            .users
            .iter()
            .map(|users| users.regex.as_str())
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

/// Changes the row of the application services, on the condition that it has not changed since it was read.
async fn change(
    admin: &Admin,
    edit: impl Fn(&mut Vec<AppserviceRecord>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for _ in 0..MAX_ATTEMPTS {
        let row = read(admin).await?;
        let mut records = row.records.clone();
        edit(&mut records)?;
        if admin.store.replace_appservices(&row, &records).await? {
            return Ok(());
        }
    }
    bail!("the application services are being changed by other commands; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> KeyRing {
        KeyRing::new(Secret::new(vec![7; 32]), None)
    }

    #[test]
    fn a_standard_registration_file_is_parsed_and_its_token_hashed() {
        let yaml = "id: irc\nurl: http://localhost:1\nas_token: sesame\nhs_token: other\nsender_localpart: ircbot\n\
                    rate_limited: false\nnamespaces:\n  users:\n  - exclusive: true\n    regex: '@irc_.*'\n  aliases: []\n";
        let record = parse(yaml, &keys()).unwrap();
        assert_eq!(
            (record.id.as_str(), record.sender_localpart.as_str()),
            ("irc", "ircbot")
        );
        assert_eq!(
            record.users,
            [NamespaceRecord {
                exclusive: true,
                regex: "@irc_.*".to_owned()
            }]
        );
        assert!(!record.token_hash.contains("sesame"));
    }

    #[test]
    fn a_file_without_a_token_is_rejected() {
        assert!(parse("id: irc\nas_token: ''\nsender_localpart: x\n", &keys()).is_err());
        assert!(parse("id: irc\nsender_localpart: x\n", &keys()).is_err());
        assert!(parse("- not: a registration", &keys()).is_err());
    }
}
