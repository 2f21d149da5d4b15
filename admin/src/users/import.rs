//! Import of users from another server, from a CSV or JSON-lines file.
//!
//! The whole file is validated before anything is written. Then each user is written in one
//! transaction, so the import may be interrupted at any time and run again. A user that an earlier run
//! imported from the same line is skipped.

mod file;
pub(crate) mod hash;
mod line;
pub(crate) mod phone;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use shared::{
    config::read_imported_pepper,
    passwords::PasswordHash,
    secrets::KeyPurpose,
    store::{AccountStatus, HomeserverState, ImportAccountError, ImportedAccount, StoreError},
    threepids::Medium,
};

use self::{file::Format, line::User};
use crate::{Admin, Report, batch};

/// The number of errors of one kind that are printed with their lines. A mistake in an export usually occurs in every
/// line.
const SHOWN_OF_KIND: usize = 20;

/// The arguments of the import.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file: .csv or .jsonl, or `-` for standard input
    file: PathBuf,
    /// The format of the file, if its name does not end in .csv or .jsonl
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Validate the file and check whether usernames and addresses are free; write nothing
    #[arg(long)]
    dry_run: bool,
    /// The hashes were made with the pepper in `GATEHOUSE_IMPORTED_PEPPER`, appended to the password
    /// (Synapse) or as argon2's secret; the functions need the same setting
    #[arg(long)]
    peppered: bool,
}

/// The result of the import of one user.
enum ImportResult {
    /// The user was written, or would be written without `--dry-run`.
    New,
    /// An earlier run has imported the user from the same line.
    AlreadyImported,
    /// The user cannot be imported, for this reason.
    Rejected(String),
}

/// The results of all users.
#[derive(Default)]
struct Summary {
    new: usize,
    already_imported: usize,
    /// The numbers of the lines that were not imported, and the reasons.
    rejected: Vec<(u64, String)>,
}

pub(super) async fn run(admin: &Admin, import: &Import) -> anyhow::Result<Report> {
    let pepper = if import.peppered {
        let pepper = read_imported_pepper(|name| admin.environment.get(name));
        let pepper = pepper.context("--peppered needs the setting GATEHOUSE_IMPORTED_PEPPER")?;
        Some(pepper.id.clone())
    } else {
        None
    };
    let path = import.file.display();
    let format = match import.format {
        Some(format) => format,
        None => Format::of(&import.file)?,
    };
    let bytes = read(&import.file).with_context(|| format!("cannot read {path}"))?;
    let lines = format
        .read(&bytes)
        .with_context(|| format!("nothing was written, because {path} cannot be read"))?;
    let (now, server) = (admin.clock.now(), admin.server_name());
    let (mut users, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match line.and_then(|line| User::from_line(line, now, server.as_ref())) {
            Ok(user) => users.push((number, user)),
            Err(error) => errors.push((number, error)),
        }
    }
    errors.extend(find_duplicates(&users));
    if !errors.is_empty() {
        errors.sort();
        let summary = Summary {
            rejected: errors,
            ..Summary::default()
        };
        return Ok(report(
            &summary,
            "nothing was written, because the file has errors",
        ));
    }
    ensure!(!users.is_empty(), "{path} contains no users");
    let entries = users
        .into_iter()
        .map(|(number, user)| Entry::new(admin, number, user, pepper.as_deref()));
    let summary = import_all(admin, entries.collect(), import.dry_run).await?;
    let heading = if import.dry_run {
        "dry run, nothing was written"
    } else {
        "import finished"
    };
    Ok(report(&summary, heading))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Finds usernames and addresses that the file has more than once.
fn find_duplicates(users: &[(u64, User)]) -> Vec<(u64, String)> {
    let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
    let mut errors = Vec::new();
    for (number, user) in users {
        if let Some(first) = names.insert(&user.localpart, *number) {
            errors.push((*number, format!("the same username as in line {first}")));
        }
        for (threepid, _) in &user.addresses {
            if let Some(first) = addresses.insert(threepid, *number) {
                let address = address_kind(threepid.medium);
                errors.push((*number, format!("the same {address} as in line {first}")));
            }
        }
    }
    errors
}

/// A valid user of the file.
struct Entry {
    line_number: u64,
    account: ImportedAccount,
    /// The content of the line in a canonical form. A keyed hash of this form marks the imported account, so
    /// that a later run recognises the line.
    fingerprint: String,
}

impl Entry {
    fn new(admin: &Admin, line_number: u64, user: User, pepper: Option<&str>) -> Self {
        let now = admin.clock.now();
        let (name, hash, addresses) = (&user.localpart, &user.password_hash, &user.addresses);
        let fingerprint = json!([
            name,
            user.created,
            user.deactivated,
            hash,
            pepper,
            addresses
        ])
        .to_string();
        let account = ImportedAccount {
            localpart: user.localpart,
            marker: admin
                .keys
                .hash(KeyPurpose::ImportMarker, fingerprint.as_bytes()),
            created: user.created.unwrap_or(now),
            status: if user.deactivated {
                AccountStatus::Deactivated
            } else {
                AccountStatus::Active
            },
            before_lock: None,
            erased: false,
            homeserver: HomeserverState::NotProvisioned,
            password: user.password_hash.map(|phc| PasswordHash {
                phc,
                pepper: pepper.map(str::to_owned),
                changed_at: now,
            }),
            addresses: user.addresses,
            devices: Vec::new(),
        };
        Self {
            line_number,
            account,
            fingerprint,
        }
    }
}

/// Imports several users concurrently. An error of DynamoDB and Ctrl-C stop the import. The users that were already
/// written stay, and a later run skips them.
async fn import_all(admin: &Admin, entries: Vec<Entry>, dry_run: bool) -> anyhow::Result<Summary> {
    let total = entries.len();
    let mut summary = Summary::default();
    let work = |entry: Entry| async move {
        let result = if dry_run {
            check(admin, &entry).await?
        } else {
            write(admin, &entry).await?
        };
        Ok((entry.line_number, result))
    };
    let record = |(line_number, result)| match result {
        ImportResult::New => summary.new += 1,
        ImportResult::AlreadyImported => summary.already_imported += 1,
        ImportResult::Rejected(reason) => summary.rejected.push((line_number, reason)),
    };
    let finished = batch::for_each(admin, entries, work, record).await;
    summary.rejected.sort();
    let new = summary.new;
    let is_complete = finished.with_context(|| {
        format!("interrupted after {new} new users; run the command again to continue")
    })?;
    if !is_complete {
        let done = new + summary.already_imported + summary.rejected.len();
        if dry_run {
            bail!("interrupted after {done} of {total} users; nothing was written");
        }
        bail!(
            "interrupted: {new} new users were written, and {} were there from an earlier run; {} of {total} users are \
             left; run the same command again to continue",
            summary.already_imported,
            total - done
        );
    }
    Ok(summary)
}

async fn write(admin: &Admin, entry: &Entry) -> Result<ImportResult, StoreError> {
    let now = admin.clock.now();
    match admin.store.import_account(&entry.account, now).await {
        Ok(()) => Ok(ImportResult::New),
        Err(ImportAccountError::NameTaken(existing)) => {
            let marker = existing.and_then(|existing| existing.import_marker);
            Ok(name_taken(admin, entry, marker.as_deref()))
        }
        Err(ImportAccountError::AddressTaken(medium)) => Ok(address_taken(medium)),
        Err(error @ ImportAccountError::AccountChanged) => {
            Ok(ImportResult::Rejected(error.to_string()))
        }
        Err(ImportAccountError::Store(error)) => Err(error),
    }
}

/// Returns the result that [`write`] would have, and writes nothing.
async fn check(admin: &Admin, entry: &Entry) -> Result<ImportResult, StoreError> {
    let account = &entry.account;
    if let Some(existing) = admin.store.find_import(&account.localpart).await? {
        let marker = existing.import_marker.as_deref();
        return Ok(name_taken(admin, entry, marker));
    }
    for (threepid, _) in &account.addresses {
        if admin.store.find_owner(threepid).await?.is_some() {
            return Ok(address_taken(threepid.medium));
        }
    }
    Ok(ImportResult::New)
}

/// The result for a taken username. The marker of the existing account shows whether the account was
/// imported from the same line.
fn name_taken(admin: &Admin, entry: &Entry, marker: Option<&str>) -> ImportResult {
    let (keys, fingerprint) = (&admin.keys, entry.fingerprint.as_bytes());
    let name = entry.account.localpart.as_str();
    match marker {
        Some(marker) if keys.hash_matches(KeyPurpose::ImportMarker, fingerprint, marker) => {
            ImportResult::AlreadyImported
        }
        Some(_) => ImportResult::Rejected(format!(
            "`{name}` was imported before, from a line with a different content"
        )),
        None => ImportResult::Rejected(format!("the username `{name}` is taken")),
    }
}

fn address_taken(medium: Medium) -> ImportResult {
    let address = address_kind(medium);
    ImportResult::Rejected(format!("another account has the {address}"))
}

const fn address_kind(medium: Medium) -> &'static str {
    match medium {
        Medium::Email => "e-mail address",
        Medium::Msisdn => "phone number",
    }
}

fn report(summary: &Summary, heading: &str) -> Report {
    let rejected = summary.rejected.len();
    let mut text = String::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (line, reason) in &summary.rejected {
        let count = kinds.entry(kind(reason)).or_default();
        *count += 1;
        if *count <= SHOWN_OF_KIND {
            let _ = writeln!(text, "line {line}: {reason}");
        }
    }
    for (kind, count) in kinds {
        if count > SHOWN_OF_KIND {
            let more = count - SHOWN_OF_KIND;
            let _ = writeln!(text, "{more} more lines: {kind}");
        }
    }
    let _ = write!(
        text,
        "{heading}: {} new, {} imported before, {rejected} with errors",
        summary.new, summary.already_imported
    );
    let faults = summary
        .rejected
        .iter()
        .map(|(line, reason)| json!({ "line": line, "why": reason }));
    let json = json!({
        "new": summary.new, "imported_before": summary.already_imported,
        "faults": faults.collect::<Vec<_>>(),
    });
    Report {
        failed: rejected > 0,
        ..Report::success(json, text)
    }
}

/// The reason of a rejection without the username and the line number that it mentions.
fn kind(reason: &str) -> String {
    let has_username = reason.starts_with("the username `") || reason.contains("` was imported ");
    let parts: Vec<&str> = reason.splitn(3, '`').collect();
    let kind = match parts[..] {
        [start, _, end] if has_username => format!("{start}…{end}"),
        _ => reason.to_owned(),
    };
    match kind.rsplit_once(" line ") {
        Some((start, number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{start} another line")
        }
        _ => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_twenty_errors_of_a_kind_are_printed() {
        let mut rejected: Vec<_> = (1..=50_000)
            .map(|line| (line, format!("the username `user{line}` is taken")))
            .collect();
        rejected.push((50_001, "`created` is in the future".to_owned()));
        rejected.extend(
            (60_000..60_030).map(|line| (line, format!("the same username as in line {line}"))),
        );
        let summary = Summary {
            rejected,
            ..Summary::default()
        };
        let report = report(&summary, "import finished");
        assert_eq!(
            report.text.lines().count(),
            20 + 1 + 20 + 2 + 1,
            "{}",
            report.text
        );
        for line in [
            "line 20: the username `user20` is taken",
            "49980 more lines: the username … is taken",
            "10 more lines: the same username as in another line",
            "line 50001: `created` is in the future",
        ] {
            assert!(
                report.text.lines().any(|own| own == line),
                "{}",
                report.text
            );
        }
        assert_eq!(report.json["faults"].as_array().unwrap().len(), 50_031);
    }
}
