//! Writes the users. An import that was interrupted is continued.

use anyhow::{Context as _, bail, ensure};
use shared::{
    secrets::KeyPurpose,
    store::{ExistingAccount, ImportAccountError, StoreError},
    threepids::ThreePid,
};

use super::{
    account::{Entry, Mapping},
    findings::{Finding, Kind},
};
use crate::{Admin, batch};

/// The maximum number of attempts to write a user whose addresses are taken at the same time.
const MAX_ATTEMPTS: usize = 5;

/// The result of the import of one user.
enum UserResult {
    /// The user was written, or would be written without `--dry-run`.
    New,
    /// An earlier run has imported the user.
    AlreadyImported,
    /// The user is not imported.
    Rejected,
}

/// The number of users, devices and tokens.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) new: usize,
    pub(super) already_imported: usize,
    pub(super) devices: usize,
    pub(super) access_tokens: usize,
    pub(super) refresh_tokens: usize,
}

/// Imports several users concurrently, and returns all findings. An error of DynamoDB and Ctrl-C stop the import. The
/// users that were already written stay, and a later run skips them.
pub(super) async fn import_all(
    admin: &Admin,
    mapping: Mapping,
    is_dry_run: bool,
) -> anyhow::Result<(Counts, Vec<Finding>)> {
    let (total, mut findings) = (mapping.entries.len(), mapping.findings);
    let mut counts = Counts::default();
    let work = |mut entry: Entry| async move {
        let mut found = Vec::new();
        let result = if is_dry_run {
            check(admin, &entry, &mut found).await?
        } else {
            write(admin, &mut entry, &mut found).await?
        };
        Ok((result, entry, found))
    };
    let record = |(result, entry, found): (UserResult, Entry, Vec<Finding>)| {
        counts.add(&result, &entry);
        findings.extend(found);
    };
    let finished = batch::for_each(admin, mapping.entries, work, record).await;
    let new = counts.new;
    let is_complete = finished.with_context(|| {
        format!("interrupted after {new} new users; run the same command again to continue")
    })?;
    if !is_complete && is_dry_run {
        bail!("interrupted; nothing was written");
    }
    ensure!(
        is_complete,
        "interrupted: {new} of {total} users were written, and {} were there from an earlier run; run the same command \
         again to continue",
        counts.already_imported
    );
    Ok((counts, findings))
}

async fn write(
    admin: &Admin,
    entry: &mut Entry,
    findings: &mut Vec<Finding>,
) -> Result<UserResult, StoreError> {
    let now = admin.clock.now();
    for _ in 0..MAX_ATTEMPTS {
        match admin.store.import_account(&entry.account, now).await {
            Ok(()) => return Ok(UserResult::New),
            Err(ImportAccountError::AddressTaken(_)) => {
                let taken = taken_addresses(admin, entry, findings).await?;
                let addresses = &mut entry.account.addresses;
                addresses.retain(|(threepid, _)| !taken.contains(threepid));
            }
            Err(ImportAccountError::NameTaken(existing)) => {
                return continue_import(admin, entry, existing, findings).await;
            }
            Err(ImportAccountError::AccountChanged) => {
                return Ok(changed(entry, findings));
            }
            Err(ImportAccountError::Store(error)) => return Err(error),
        }
    }
    Err(StoreError::Contended)
}

/// The result for a username that an account has: the import of that account is continued if it was interrupted.
async fn continue_import(
    admin: &Admin,
    entry: &mut Entry,
    existing: Option<ExistingAccount>,
    findings: &mut Vec<Finding>,
) -> Result<UserResult, StoreError> {
    let result = existing_result(admin, entry, existing.as_ref(), findings);
    if matches!(result, UserResult::Rejected) {
        return Ok(result);
    }
    taken_addresses(admin, entry, findings).await?;
    let Some(existing) = existing else {
        return Ok(result);
    };
    let (Some(marker), Some(written)) = (existing.import_marker, existing.imported_devices) else {
        return Ok(result);
    };
    // The account has the marker of an earlier key if the keys were rotated since.
    entry.account.marker = marker;
    let now = admin.clock.now();
    let continued = admin
        .store
        .import_devices(&entry.account, written, now)
        .await;
    match continued {
        Ok(()) => Ok(UserResult::New),
        Err(ImportAccountError::Store(error)) => Err(error),
        Err(_) => Ok(changed(entry, findings)),
    }
}

/// Returns the result that [`write`] would have, and writes nothing.
async fn check(
    admin: &Admin,
    entry: &Entry,
    findings: &mut Vec<Finding>,
) -> Result<UserResult, StoreError> {
    let existing = admin.store.find_import(&entry.account.localpart).await?;
    let result = match &existing {
        None => UserResult::New,
        Some(existing) => existing_result(admin, entry, Some(existing), findings),
    };
    if !matches!(result, UserResult::Rejected) {
        taken_addresses(admin, entry, findings).await?;
    }
    Ok(result)
}

/// The result for the account that has the username. Its marker shows whether it was imported from the same data.
fn existing_result(
    admin: &Admin,
    entry: &Entry,
    existing: Option<&ExistingAccount>,
    findings: &mut Vec<Finding>,
) -> UserResult {
    let marker = existing.and_then(|existing| existing.import_marker.as_deref());
    let fingerprint = entry.fingerprint.as_bytes();
    let is_same = |marker: &str| {
        let keys = &admin.keys;
        keys.hash_matches(KeyPurpose::ImportMarker, fingerprint, marker)
    };
    match marker {
        Some(marker) if is_same(marker) => UserResult::AlreadyImported,
        Some(_) => changed(entry, findings),
        None => {
            let text = "an account that was not imported has the username";
            findings.push(entry.finding(Kind::Taken, text.to_owned()));
            UserResult::Rejected
        }
    }
}

fn changed(entry: &Entry, findings: &mut Vec<Finding>) -> UserResult {
    let text = "the account was imported before, from other data; the imported account is kept";
    findings.push(entry.finding(Kind::Changed, text.to_owned()));
    UserResult::Rejected
}

/// The addresses that another account of Gatehouse has. They are not imported.
async fn taken_addresses(
    admin: &Admin,
    entry: &Entry,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ThreePid>, StoreError> {
    let mut taken = Vec::new();
    for (threepid, _) in &entry.account.addresses {
        let owner = admin.store.find_owner(threepid).await?;
        if let Some(owner) = owner.filter(|owner| *owner != entry.account.localpart) {
            let (address, owner) = (&threepid.address, owner.as_str());
            let text = format!("`{address}` is dropped: the account `{owner}` has it");
            findings.push(entry.finding(Kind::Address, text));
            taken.push(threepid.clone());
        }
    }
    Ok(taken)
}

impl Entry {
    fn finding(&self, kind: Kind, text: String) -> Finding {
        Finding {
            user: self.user.clone(),
            kind,
            text,
        }
    }
}

impl Counts {
    fn add(&mut self, result: &UserResult, entry: &Entry) {
        match result {
            UserResult::New => self.new += 1,
            UserResult::AlreadyImported => self.already_imported += 1,
            UserResult::Rejected => return,
        }
        for device in &entry.account.devices {
            let next = device.next.iter().count();
            self.devices += 1;
            self.access_tokens += device.access_hash.iter().count() + next;
            self.refresh_tokens += device.refresh_hash.iter().count() + next;
        }
    }
}
