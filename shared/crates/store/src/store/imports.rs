//! Import of accounts from another homeserver, one transaction each.

use super::{
    AccountKind, AccountStatus, Store, StoreError,
    accounts::FIRST_EPOCH,
    dynamodb::{
        item::Item,
        keys::{self, MAIN},
        transaction::put,
    },
    passwords::password_item,
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    password_hash::PasswordHash,
    threepid::{Medium, ThreePid},
};

/// An account of the other homeserver.
#[derive(Debug)]
pub struct ImportedAccount {
    /// The username.
    pub localpart: Localpart,
    /// The value that identifies a repeated import of the same account.
    pub marker: String,
    /// The time of its creation at the other homeserver.
    pub created: Timestamp,
    /// Whether the account was deactivated. If so, only its username is imported and stays reserved.
    pub deactivated: bool,
    /// The hash of its password, if it has a password.
    pub password: Option<PasswordHash>,
    /// Its 3PIDs, with the time of validation of each.
    pub addresses: Vec<(ThreePid, Timestamp)>,
}

/// An account that already has the username of an imported one.
#[derive(Debug)]
pub struct ExistingAccount {
    /// The marker of its import, if it was imported.
    pub import_marker: Option<String>,
}

/// The reason why an account was not imported. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportAccountError {
    /// An account has the username. If that account was imported, this is its marker.
    #[error("the username is taken")]
    NameTaken(Option<String>),
    /// Another account has one of the 3PIDs.
    #[error("the address belongs to another account")]
    AddressTaken(Medium),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes an imported account. One `TransactWriteItems` call, and one `GetItem` call if the
    /// username is taken.
    ///
    /// The conditions, in their order of precedence: the username is free
    /// ([`ImportAccountError::NameTaken`]); each 3PID is free
    /// ([`ImportAccountError::AddressTaken`]).
    pub async fn import_account(
        &self,
        new: &ImportedAccount,
        now: Timestamp,
    ) -> Result<(), ImportAccountError> {
        let mut transaction = self.transaction();
        let account = put(
            &self.accounts,
            imported_item(new, now),
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
        match transaction.commit().await {
            Err(ImportAccountError::NameTaken(_)) => {
                let existing = self.find_import(&new.localpart).await?;
                let marker = existing.and_then(|existing| existing.import_marker);
                Err(ImportAccountError::NameTaken(marker))
            }
            outcome => outcome,
        }
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
        Ok(Some(ExistingAccount {
            import_marker: row.text_if("import")?.map(str::to_owned),
        }))
    }
}

fn imported_item(new: &ImportedAccount, now: Timestamp) -> Item {
    let status = if new.deactivated {
        AccountStatus::Deactivated
    } else {
        AccountStatus::Active
    };
    Item::under(keys::user(&new.localpart), MAIN)
        .number("schema", 1)
        .text("status", status.as_str())
        .text("kind", AccountKind::User.as_str())
        .number("epoch", FIRST_EPOCH)
        .number("created", new.created.0)
        .number("imported", now.0)
        .text("import", &new.marker)
        .number_if("deactivated", new.deactivated.then_some(now.0))
        .text("upstream", "none")
}
