//! The 3PIDs that a user has bound at identity servers: one row for each server and 3PID
//! (IDS-12).
//!
//! A row is written only while the account is not deactivated. It is deleted only if it is still
//! the row of the binding that was undone.

use aws_sdk_dynamodb::types::ConditionCheck;

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, text},
        keys::{self, BINDINGS, MAIN},
        transaction::{put, transact_check},
    },
};
use crate::{clock::Timestamp, ids::Localpart, threepid::Medium};

/// A 3PID that is bound at an identity server.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityBinding {
    /// The name of the identity server.
    pub id_server: String,
    /// The medium of the 3PID.
    pub medium: Medium,
    /// The address in the form that the identity server uses.
    pub address: String,
    /// A random value that distinguishes this binding from a later one of the same 3PID.
    pub nonce: String,
}

crate::opaque_debug!(IdentityBinding);

/// The reason why a binding was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordBindingError {
    /// The account is deactivated or does not exist.
    #[error("the account has been deactivated")]
    Deactivated,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IdentityBinding {
    fn key(&self, user: &Localpart) -> Item {
        let row = keys::binding(&self.id_server, self.medium, &self.address);
        Item::under(keys::user(user), row)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id_server: row.text("id_server")?.to_owned(),
            medium: Medium::parse(row.text("medium")?).ok_or_else(|| row.corrupt("medium"))?,
            address: row.text("address")?.to_owned(),
            nonce: row.text("nonce")?.to_owned(),
        })
    }
}

impl Store {
    /// Writes the row of a binding, replacing an earlier row for this server and 3PID. One `TransactWriteItems`
    /// call on the condition that the account exists and is not deactivated; fails with
    /// [`RecordBindingError::Deactivated`] otherwise.
    pub async fn record_binding(
        &self,
        user: &Localpart,
        binding: &IdentityBinding,
        now: Timestamp,
    ) -> Result<(), RecordBindingError> {
        let item = binding
            .key(user)
            .number("schema", 1)
            .text("id_server", &binding.id_server)
            .text("medium", binding.medium.as_str())
            .text("address", &binding.address)
            .text("nonce", &binding.nonce)
            .number("bound", now.0);
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .condition_expression("attribute_exists(pk) AND #status <> :deactivated")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deactivated", text("deactivated"));
        let mut transaction = self.transaction();
        transaction
            .add(transact_check(check))
            .or(RecordBindingError::Deactivated);
        transaction.add(put(&self.accounts, item, None));
        transaction.commit().await
    }

    /// All bindings of a user. One `Query` call for each megabyte, strongly consistent.
    pub async fn find_bindings(
        &self,
        user: &Localpart,
    ) -> Result<Vec<IdentityBinding>, StoreError> {
        let rows = self.rows_under(&keys::user(user), BINDINGS).await?;
        rows.iter().map(IdentityBinding::read).collect()
    }

    /// Deletes the row of a binding that has been undone. One `DeleteItem` call on the condition
    /// that the nonce is unchanged: the 3PID may have been bound again in the meantime.
    pub async fn remove_binding(
        &self,
        user: &Localpart,
        binding: &IdentityBinding,
    ) -> Result<(), StoreError> {
        let unchanged = Some(("nonce", text(&binding.nonce)));
        self.delete_if(binding.key(user), unchanged).await
    }
}
