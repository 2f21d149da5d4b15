//! Users from another server, out of a CSV or JSON-lines file.
//!
//! The whole file is judged before anything is written. Then each user is one transaction, so it may
//! be interrupted anywhere and run again: who came out of the same line before is left alone.

mod file;
mod line;

use std::{collections::HashMap, fmt::Write, fs, path::PathBuf, sync::Mutex};

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use shared::{
    config::read_imported_pepper,
    passwords::PasswordHash,
    secrets::KeyPurpose,
    store::{ImportAccountError, ImportedAccount, StoreError},
    threepids::Medium,
};

use self::line::User;
use crate::{Admin, Report, progress::Progress};

/// How many users are written at once.
const AT_ONCE: usize = 16;

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file: .csv or .jsonl
    file: PathBuf,
    /// Judge the file and look whether names and addresses are free; write nothing
    #[arg(long)]
    dry_run: bool,
    /// The hashes were made with the pepper in `GATEHOUSE_IMPORTED_PEPPER`, at the end of the password
    /// (Synapse) or as argon2's secret; the functions need the same setting
    #[arg(long)]
    peppered: bool,
}

/// What became of a user.
enum Outcome {
    /// Written; in a dry run, would have been.
    New,
    /// Written before, out of the same line.
    Known,
    /// Not to be written.
    Refused(String),
}

/// What became of all of them.
#[derive(Default)]
struct Tally {
    new: usize,
    known: usize,
    refused: Vec<(u64, String)>,
}

pub(super) async fn run(admin: &Admin, import: &Import) -> anyhow::Result<Report> {
    let pepper = if import.peppered {
        let pepper = read_imported_pepper(|name| admin.environment.get(name));
        let pepper = pepper.context("--peppered: GATEHOUSE_IMPORTED_PEPPER is not set")?;
        Some(pepper.id().to_owned())
    } else {
        None
    };
    let path = import.file.display();
    let bytes = fs::read(&import.file).with_context(|| format!("cannot read {path}"))?;
    let lines = if file::is_csv(&import.file)? {
        file::csv(&bytes)
    } else {
        file::json_lines(&bytes)
    };
    let (mut users, mut faults) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match line.and_then(|line| User::of(line, admin.clock.now())) {
            Ok(user) => users.push((number, user)),
            Err(fault) => faults.push((number, fault)),
        }
    }
    faults.extend(doubles(&users));
    if !faults.is_empty() {
        faults.sort();
        let tally = Tally {
            refused: faults,
            ..Tally::default()
        };
        return Ok(report(&tally, "nothing was written, since of the file"));
    }
    ensure!(!users.is_empty(), "there is nobody in {path}");
    let users = users.into_iter();
    let candidates =
        users.map(|(number, user)| Candidate::of(admin, number, user, pepper.as_deref()));
    let tally = write_all(admin, candidates.collect(), import.dry_run).await?;
    let whole = if import.dry_run {
        "nothing was written; of the file"
    } else {
        "of the file"
    };
    Ok(report(&tally, whole))
}

/// Names and addresses that stand in the file twice.
fn doubles(users: &[(u64, User)]) -> Vec<(u64, String)> {
    let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
    let mut faults = Vec::new();
    for (number, user) in users {
        if let Some(first) = names.insert(&user.localpart, *number) {
            faults.push((*number, format!("the same name as in line {first}")));
        }
        for (threepid, _) in &user.addresses {
            if let Some(first) = addresses.insert(threepid, *number) {
                let medium = threepid.medium;
                faults.push((*number, format!("the same {medium} as in line {first}")));
            }
        }
    }
    faults
}

/// A user who may be written.
struct Candidate {
    number: u64,
    account: ImportedAccount,
    /// All that the line says, by which a repeat knows it again.
    told: String,
}

impl Candidate {
    fn of(admin: &Admin, number: u64, user: User, pepper: Option<&str>) -> Self {
        let now = admin.clock.now();
        let (name, hash, addresses) = (&user.localpart, &user.password_hash, &user.addresses);
        let told = json!([
            name,
            user.created,
            user.deactivated,
            hash,
            pepper,
            addresses
        ]);
        let told = told.to_string();
        let account = ImportedAccount {
            localpart: user.localpart,
            marker: admin.keys.hash(KeyPurpose::ImportMarker, told.as_bytes()),
            created: user.created.unwrap_or(now),
            deactivated: user.deactivated,
            password: user.password_hash.map(|phc| PasswordHash {
                phc,
                pepper: pepper.map(str::to_owned),
                set: now,
            }),
            addresses: user.addresses,
        };
        Self {
            number,
            account,
            told,
        }
    }
}

/// Writes them, several at once. What is wrong with the tables ends it: what is done is done, and a
/// repeat goes on from there.
async fn write_all(
    admin: &Admin,
    candidates: Vec<Candidate>,
    dry_run: bool,
) -> anyhow::Result<Tally> {
    let progress = Progress::new(candidates.len(), admin.watched);
    let (progress, tally) = (&progress, Mutex::new(Tally::default()));
    let written = stream::iter(candidates)
        .map(|candidate| async move {
            let outcome = if dry_run {
                look(admin, &candidate).await?
            } else {
                write(admin, &candidate).await?
            };
            progress.step();
            Ok::<_, StoreError>((candidate.number, outcome))
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|(number, outcome)| {
            if let Ok(mut tally) = tally.lock() {
                match outcome {
                    Outcome::New => tally.new += 1,
                    Outcome::Known => tally.known += 1,
                    Outcome::Refused(why) => tally.refused.push((number, why)),
                }
            }
            async { Ok(()) }
        })
        .await;
    let mut tally = tally.into_inner().unwrap_or_default();
    tally.refused.sort();
    let done = tally.new;
    written.with_context(|| {
        format!("interrupted after {done} new users; run it again, and it goes on from there")
    })?;
    Ok(tally)
}

async fn write(admin: &Admin, candidate: &Candidate) -> Result<Outcome, StoreError> {
    let now = admin.clock.now();
    match admin.store.import_account(&candidate.account, now).await {
        Ok(()) => Ok(Outcome::New),
        Err(ImportAccountError::NameTaken(marker)) => {
            Ok(holder(admin, candidate, marker.as_deref()))
        }
        Err(ImportAccountError::AddressTaken(medium)) => Ok(taken(medium)),
        Err(ImportAccountError::Store(error)) => Err(error),
    }
}

/// The same, without writing.
async fn look(admin: &Admin, candidate: &Candidate) -> Result<Outcome, StoreError> {
    let account = &candidate.account;
    if let Some(existing) = admin.store.find_import(&account.localpart).await? {
        let marker = existing.import_marker.as_deref();
        return Ok(holder(admin, candidate, marker));
    }
    for (threepid, _) in &account.addresses {
        if admin.store.find_owner(threepid).await?.is_some() {
            return Ok(taken(threepid.medium));
        }
    }
    Ok(Outcome::New)
}

/// Who has the name: the user of this very line, who was imported before, or another.
fn holder(admin: &Admin, candidate: &Candidate, marker: Option<&str>) -> Outcome {
    let (keys, told) = (&admin.keys, candidate.told.as_bytes());
    let name = candidate.account.localpart.as_str();
    match marker {
        Some(marker) if keys.hash_matches(KeyPurpose::ImportMarker, told, marker) => Outcome::Known,
        Some(_) => Outcome::Refused(format!(
            "`{name}` was imported before, out of a line that said something else"
        )),
        None => Outcome::Refused(format!("the name `{name}` is taken")),
    }
}

fn taken(medium: Medium) -> Outcome {
    Outcome::Refused(format!("another account has the {medium}"))
}

fn report(tally: &Tally, whole: &str) -> Report {
    let refused = tally.refused.len();
    let mut text = String::new();
    for (line, why) in &tally.refused {
        let _ = writeln!(text, "line {line}: {why}");
    }
    let _ = write!(
        text,
        "{whole}: {} new, {} imported before, {refused} at fault",
        tally.new, tally.known
    );
    let faults = tally.refused.iter();
    let faults = faults.map(|(line, why)| json!({ "line": line, "why": why }));
    Report {
        json: json!({ "new": tally.new, "imported_before": tally.known, "faults": faults.collect::<Vec<_>>() }),
        text,
        failed: refused > 0,
    }
}
