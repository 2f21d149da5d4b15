//! Import of accounts from another homeserver, one transaction each, or several for an account with many devices.
//!
//! An account whose devices need several transactions is locked until the last one, so that no login writes a device
//! that is still to be imported. `imported_devices` is the number of devices that were written so far.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::{
    AccountKind, AccountStatus, NextPair, Store, StoreError,
    accounts::{FIRST_EPOCH, HomeserverState},
    devices::{NEXT, NO_TOKEN},
    dynamodb::{
        expression::UpdateExpression,
        item::{Item, number, text},
        keys::{self, MAIN},
        transaction::{put, transact_update},
    },
    passwords::password_item,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash::PasswordHash,
    secrets::TokenHash,
    threepid::{Medium, ThreePid},
};

/// The number of devices in the first transaction, beside the account, its password and its 3PIDs. A device has up to
/// five rows: itself and four tokens.
const FIRST_DEVICES: usize = 12;
/// The number of devices in each further transaction.
const NEXT_DEVICES: usize = 19;

/// An account of the other homeserver.
#[derive(Debug)]
pub struct ImportedAccount {
    /// The username.
    pub localpart: Localpart,
    /// The value that identifies a repeated import of the same account.
    pub marker: String,
    /// The time of its creation at the other homeserver.
    pub created: Timestamp,
    /// Its status. Of a deactivated account only the username is imported and stays reserved.
    pub status: AccountStatus,
    /// The status that is restored when a locked account is unlocked.
    pub before_lock: Option<AccountStatus>,
    /// Whether the user of a deactivated account requested erasure.
    pub erased: bool,
    /// Whether the homeserver has the account already.
    pub homeserver: HomeserverState,
    /// The hash of its password, if it has a password.
    pub password: Option<PasswordHash>,
    /// Its 3PIDs, with the time of validation of each.
    pub addresses: Vec<(ThreePid, Timestamp)>,
    /// Its devices, in the same order in every import.
    pub devices: Vec<ImportedDevice>,
}

/// A device of an imported account.
#[derive(Debug)]
pub struct ImportedDevice {
    /// The device ID.
    pub id: DeviceId,
    /// The display name.
    pub display_name: Option<String>,
    /// The hash of its access token, if the token could be imported.
    pub access_hash: Option<TokenHash>,
    /// The time at which the access token expires.
    pub access_expires: Option<Timestamp>,
    /// The hash of its refresh token, if it has one.
    pub refresh_hash: Option<TokenHash>,
    /// The pair of tokens that the client has not used yet.
    pub next: Option<NextPair>,
}

/// An account that already has the username of an imported one.
#[derive(Debug)]
pub struct ExistingAccount {
    /// The marker of its import, if it was imported.
    pub import_marker: Option<String>,
    /// The number of devices that an interrupted import has written. `None` if no device is missing.
    pub imported_devices: Option<usize>,
}

/// The reason why an account was not imported. Nothing was written, except by an import with several transactions.
#[derive(Debug, thiserror::Error)]
pub enum ImportAccountError {
    /// This account has the username.
    #[error("the username is taken")]
    NameTaken(Option<ExistingAccount>),
    /// Another account has one of the 3PIDs.
    #[error("the address belongs to another account")]
    AddressTaken(Medium),
    /// The account has changed before all of its devices were written.
    #[error("the account has changed since the beginning of its import")]
    AccountChanged,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes an imported account. One `TransactWriteItems` call for the first twelve devices and one for each 19
    /// further devices, and one `GetItem` call if the username is taken.
    ///
    /// The conditions, in their order of precedence: the username is free
    /// ([`ImportAccountError::NameTaken`]); each 3PID is free
    /// ([`ImportAccountError::AddressTaken`]).
    pub async fn import_account(
        &self,
        new: &ImportedAccount,
        now: Timestamp,
    ) -> Result<(), ImportAccountError> {
        let first = new.devices.len().min(FIRST_DEVICES);
        let mut transaction = self.transaction();
        let account = put(
            &self.accounts,
            imported_item(new, first, now),
            Some("attribute_not_exists(pk)"),
        );
        transaction
            .add(account)
            .or(ImportAccountError::NameTaken(None));
        for (threepid, _) in &new.addresses {
            transaction
                .add(self.claim_threepid(threepid, &new.localpart, now))
                .or(ImportAccountError::AddressTaken(threepid.medium));
        }
        for (threepid, validated) in &new.addresses {
            transaction.add(self.threepid_under_owner(threepid, *validated, &new.localpart, now));
        }
        if let Some(hash) = &new.password {
            let row = password_item(&keys::user(&new.localpart), hash, now);
            transaction.add(put(&self.accounts, row, None));
        }
        transaction.add_all(self.device_rows(new, 0..first, now));
        match transaction.commit().await {
            Ok(()) => self.import_devices(new, first, now).await,
            Err(ImportAccountError::NameTaken(_)) => {
                let existing = self.find_import(&new.localpart).await?;
                Err(ImportAccountError::NameTaken(existing))
            }
            Err(error) => Err(error),
        }
    }

    /// Continues an import that was interrupted after `written` devices. One `TransactWriteItems` call for each 19
    /// devices, on the condition that the account is still as the import has left it. If another process continues the
    /// import, both share the rest.
    pub async fn import_devices(
        &self,
        new: &ImportedAccount,
        mut written: usize,
        now: Timestamp,
    ) -> Result<(), ImportAccountError> {
        let all = new.devices.len();
        while written < all {
            let end = all.min(written + NEXT_DEVICES);
            let mut transaction = self.transaction();
            transaction
                .add(self.import_progress(new, written, end))
                .or(ImportAccountError::AccountChanged);
            transaction.add_all(self.device_rows(new, written..end, now));
            match transaction.commit().await {
                Ok(()) => written = end,
                Err(ImportAccountError::AccountChanged) => {
                    let existing = self.find_import(&new.localpart).await?;
                    let existing =
                        existing.filter(|own| own.import_marker.as_ref() == Some(&new.marker));
                    match existing.map(|own| own.imported_devices) {
                        Some(None) => return Ok(()),
                        Some(Some(number)) if number > written => written = number,
                        _ => return Err(ImportAccountError::AccountChanged),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The account with this username, if there is one. One `GetItem` call, strongly consistent.
    pub async fn find_import(
        &self,
        name: &Localpart,
    ) -> Result<Option<ExistingAccount>, StoreError> {
        let key = Item::under(keys::user(name), MAIN);
        let Some(row) = self.get(&self.accounts, key).await? else {
            return Ok(None);
        };
        let written = row.number_if("imported_devices")?;
        Ok(Some(ExistingAccount {
            import_marker: row.text_if("import")?.map(str::to_owned),
            imported_devices: written.map(|number| usize::try_from(number).unwrap_or_default()),
        }))
    }

    /// Records the number of devices after a transaction. The last transaction sets the status of the account.
    fn import_progress(
        &self,
        new: &ImportedAccount,
        written: usize,
        end: usize,
    ) -> TransactWriteItem {
        let update = if end < new.devices.len() {
            UpdateExpression::default().set("imported_devices", device_count(end))
        } else {
            UpdateExpression::default()
                .set("status", text(new.status.as_str()))
                .set_or_remove(
                    "before_lock",
                    new.before_lock.map(|status| text(status.as_str())),
                )
                .remove("imported_devices")
        };
        // DynamoDB reserves the word `import`.
        let condition = "#import = :marker AND imported_devices = :written AND epoch = :epoch";
        let builder = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(&new.localpart), MAIN).build()))
            .update_expression(update.expression())
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .expression_attribute_names("#import", "import")
            .expression_attribute_values(":marker", text(&new.marker))
            .expression_attribute_values(":written", device_count(written))
            .expression_attribute_values(":epoch", number(FIRST_EPOCH));
        transact_update(builder)
    }

    /// The rows of these devices and of their tokens.
    fn device_rows(
        &self,
        new: &ImportedAccount,
        devices: std::ops::Range<usize>,
        now: Timestamp,
    ) -> Vec<TransactWriteItem> {
        let pk = keys::user(&new.localpart);
        let devices = new.devices.get(devices).unwrap_or_default();
        let rows = devices.iter().flat_map(|device| {
            let own = device_item(&pk, device, new.homeserver, now);
            let tokens = device.token_hashes().map(|hash| {
                Item::under(&pk, keys::imported_token(hash))
                    .number("schema", 1)
                    .text("device", device.id.as_str())
            });
            std::iter::once(own).chain(tokens)
        });
        rows.map(|row| put(&self.accounts, row, None)).collect()
    }
}

impl ImportedDevice {
    fn token_hashes(&self) -> impl Iterator<Item = &TokenHash> {
        let next = self.next.as_ref();
        let next = next.map(|next| [&next.access_hash, &next.refresh_hash]);
        let current = self.access_hash.iter().chain(&self.refresh_hash);
        current.chain(next.into_iter().flatten())
    }
}

fn imported_item(new: &ImportedAccount, first: usize, now: Timestamp) -> Item {
    let is_complete = first == new.devices.len();
    let status = if is_complete {
        new.status
    } else {
        AccountStatus::Locked
    };
    let before_lock = new.before_lock.filter(|_| is_complete);
    let is_deactivated = new.status == AccountStatus::Deactivated;
    let item = Item::under(keys::user(&new.localpart), MAIN)
        .number("schema", 1)
        .text("status", status.as_str())
        .text_if("before_lock", before_lock.map(AccountStatus::as_str))
        .text("kind", AccountKind::User.as_str())
        .number("epoch", FIRST_EPOCH)
        .number("created", new.created.0)
        .number("imported", now.0)
        .text("import", &new.marker)
        .number_if("deactivated", is_deactivated.then_some(now.0))
        .number_if("erased", new.erased.then_some(now.0))
        .text("upstream", new.homeserver.as_str());
    if is_complete {
        item
    } else {
        item.number("imported_devices", saturating(first))
    }
}

fn device_item(
    pk: &str,
    device: &ImportedDevice,
    homeserver: HomeserverState,
    now: Timestamp,
) -> Item {
    let hash = |hash: &TokenHash| hash.0.clone();
    let access = device.access_hash.as_ref().map(hash);
    let next = device.next.as_ref();
    Item::under(pk, keys::device(&device.id))
        .number("schema", 1)
        .number("epoch", FIRST_EPOCH)
        .text("access_hash", access.unwrap_or_else(|| NO_TOKEN.to_owned()))
        .number_if("access_expires", device.access_expires.map(|time| time.0))
        .text_if("refresh_hash", device.refresh_hash.as_ref().map(hash))
        .text_if(NEXT[0], next.map(|next| hash(&next.access_hash)))
        .number_if(
            NEXT[1],
            next.and_then(|next| next.access_expires).map(|time| time.0),
        )
        .text_if(NEXT[2], next.map(|next| hash(&next.refresh_hash)))
        .bytes_if(NEXT[3], next.map(|next| next.answer.clone()))
        .text_if("display_name", device.display_name.as_deref())
        .number("issued_at", now.0)
        .text("upstream", homeserver.as_str())
}

fn device_count(count: usize) -> aws_sdk_dynamodb::types::AttributeValue {
    number(saturating(count))
}

fn saturating(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
