//! What is bound at identity servers: one row under its user for each address and server (IDS-12).
//!
//! A record outlives nothing but what it is about: it is written only while the account lives, and
//! removed only if it is still the one that was undone.

use aws_sdk_dynamodb::types::ConditionCheck;

use super::{
    Store, StoreError,
    item::{Item, Row, checking, put, text},
    keys::{self, BINDINGS, MAIN},
    retry::condition_failed,
};
use crate::{clock::Timestamp, ids::Localpart, threepid::Medium};

/// An address that is bound at an identity server.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityBinding {
    /// The server's name.
    pub id_server: String,
    /// How the address is reached.
    pub medium: Medium,
    /// The address, as the identity server writes it.
    pub address: String,
    /// Random: tells this binding from a later one of the same address.
    pub nonce: String,
}

crate::opaque_debug!(IdentityBinding);

/// Why a binding was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordBindingError {
    /// The account is no more.
    #[error("the account has been deactivated")]
    Deactivated,
    /// The write failed.
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
    /// Records a binding, in the place of any earlier record of the same, while the account lives.
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
        let lives = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .condition_expression("attribute_exists(pk) AND #status <> :deactivated")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deactivated", text("deactivated"));
        let items = vec![checking(lives), put(&self.accounts, item, None)];
        self.transact(items, |reasons| {
            condition_failed(reasons, 0).then_some(RecordBindingError::Deactivated)
        })
        .await
    }

    /// All bindings of a user. One call for each megabyte of them, strongly consistent.
    pub async fn find_bindings(
        &self,
        user: &Localpart,
    ) -> Result<Vec<IdentityBinding>, StoreError> {
        let rows = self.rows_under(&keys::user(user), BINDINGS).await?;
        rows.iter().map(IdentityBinding::read).collect()
    }

    /// Removes the record of a binding that has been undone, unless the address has been bound again
    /// meanwhile.
    pub async fn remove_binding(
        &self,
        user: &Localpart,
        binding: &IdentityBinding,
    ) -> Result<(), StoreError> {
        let still = Some(("nonce", text(&binding.nonce)));
        self.delete_if(binding.key(user), still).await
    }
}
