//! Accounts that come from another server: each with all that belongs to it, in one transaction.

use super::{
    Store, StoreError,
    item::{Item, put},
    keys::{self, MAIN},
    passwords::password_item,
    retry::condition_failed,
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    password_hash::PasswordHash,
    store::{AccountKind, AccountStatus},
    threepid::{Medium, ThreePid},
};

/// An account as it was there.
#[derive(Debug)]
pub struct ImportedAccount {
    /// Its name.
    pub localpart: Localpart,
    /// By which an import that is repeated knows it again.
    pub marker: String,
    /// When it was made there.
    pub created: Timestamp,
    /// Whether nothing comes with it but its name, which stays taken.
    pub deactivated: bool,
    /// The hash of its password, if it had one.
    pub password: Option<PasswordHash>,
    /// Its addresses, with the time at which each was validated.
    pub addresses: Vec<(ThreePid, Timestamp)>,
}

/// Why an account was not imported. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportAccountError {
    /// Somebody has the name; or it was imported before, under this marker.
    #[error("the name is taken")]
    NameTaken(Option<String>),
    /// Somebody has one of the addresses.
    #[error("the address is taken")]
    AddressTaken(Medium),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes an account that comes from another server, if nobody has its name or one of its
    /// addresses.
    pub async fn import_account(
        &self,
        new: &ImportedAccount,
        now: Timestamp,
    ) -> Result<(), ImportAccountError> {
        let pk = keys::user(&new.localpart);
        let status = if new.deactivated {
            AccountStatus::Deactivated
        } else {
            AccountStatus::Active
        };
        let account = Item::under(&pk, MAIN)
            .number("schema", 1)
            .text("status", status.as_str())
            .text("kind", AccountKind::User.as_str())
            .number("epoch", super::accounts::FIRST_EPOCH)
            .number("created", new.created.0)
            .number("imported", now.0)
            .text("import", &new.marker)
            .number_if("deactivated", new.deactivated.then_some(now.0))
            .text("upstream", "none");
        let mut items = vec![put(
            &self.accounts,
            account,
            Some("attribute_not_exists(pk)"),
        )];
        for (threepid, _) in &new.addresses {
            items.push(self.claim_threepid(threepid, &new.localpart, now));
        }
        for (threepid, validated) in &new.addresses {
            items.push(self.own_threepid(threepid, *validated, &new.localpart, now));
        }
        if let Some(hash) = &new.password {
            let row = password_item(&pk, hash, now);
            items.push(put(&self.accounts, row, None));
        }
        let written = self.transact(items, |reasons| {
            if condition_failed(reasons, 0) {
                return Some(ImportAccountError::NameTaken(None));
            }
            let taken = |index: &usize| condition_failed(reasons, index + 1);
            let index = (0..new.addresses.len()).find(taken)?;
            let medium = new.addresses[index].0.medium;
            Some(ImportAccountError::AddressTaken(medium))
        });
        match written.await {
            Err(ImportAccountError::NameTaken(_)) => Err(ImportAccountError::NameTaken(
                self.find_import(&new.localpart).await?.flatten(),
            )),
            outcome => outcome,
        }
    }

    /// Nothing if nobody has the name; otherwise the marker of its import, if it was imported.
    pub async fn find_import(
        &self,
        name: &Localpart,
    ) -> Result<Option<Option<String>>, StoreError> {
        let key = Item::under(keys::user(name), MAIN);
        let Some(row) = self.get(&self.accounts, key).await? else {
            return Ok(None);
        };
        Ok(Some(row.text_if("import")?.map(str::to_owned)))
    }
}
