//! Who owns an address: one row for each, which *is* the claim (3PID-68), and one under its owner.

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, TransactWriteItem};

use super::{
    Store, StoreError,
    item::{Item, Row, put, text},
    keys::{self, MAIN, THREEPIDS},
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    threepids::{Medium, ThreePid, proofs::Proven},
};

/// An address of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnThreePid {
    /// The address.
    pub threepid: ThreePid,
    /// When it was proven.
    pub validated: Timestamp,
    /// When the account got it.
    pub added: Timestamp,
}

impl OwnThreePid {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            threepid: ThreePid {
                medium: Medium::parse(row.text("medium")?).ok_or_else(|| row.corrupt("medium"))?,
                address: row.text("address")?.to_owned(),
            },
            validated: row.time("validated")?,
            added: row.time("added")?,
        })
    }
}

impl Store {
    /// The addresses of an account. One call, strongly consistent: there are few.
    pub async fn addresses_of(&self, owner: &Localpart) -> Result<Vec<OwnThreePid>, StoreError> {
        let rows = self.rows_under(&keys::user(owner), THREEPIDS).await?;
        rows.iter().map(OwnThreePid::read).collect()
    }

    /// The name of the account that the address belongs to. One call, strongly consistent.
    pub async fn find_owner(&self, threepid: &ThreePid) -> Result<Option<Localpart>, StoreError> {
        let key = Item::under(keys::threepid(threepid), MAIN);
        let Some(row) = self.get(&self.accounts, key).await? else {
            return Ok(None);
        };
        let released = row.number_if("released")?.is_some();
        let owner = Localpart::stored(row.text("owner")?);
        let owner = owner.ok_or_else(|| row.corrupt("owner"))?;
        Ok((!released).then_some(owner))
    }

    /// The claim of an address: only if nobody has it.
    pub(super) fn claim_threepid(
        &self,
        threepid: &ThreePid,
        owner: &Localpart,
        now: Timestamp,
    ) -> TransactWriteItem {
        let item = Item::under(keys::threepid(threepid), MAIN)
            .number("schema", 1)
            .text("owner", owner.as_str())
            .number("claimed", now.0);
        let free = "attribute_not_exists(pk) OR attribute_exists(released)";
        put(&self.accounts, item, Some(free))
    }

    /// Holds that an address is this owner's, at the moment of a transaction.
    pub(super) fn owns_threepid(
        &self,
        threepid: &ThreePid,
        owner: &Localpart,
    ) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::threepid(threepid), MAIN).build()))
            .condition_expression("#owner = :owner AND attribute_not_exists(released)")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner.as_str()));
        TransactWriteItem::builder()
            .set_condition_check(check.build().ok())
            .build()
    }

    /// Gives an address up, if it is this owner's; that it is nobody's is as good.
    pub(super) fn release_threepid(
        &self,
        threepid: &ThreePid,
        owner: &Localpart,
    ) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::threepid(threepid), MAIN).build()))
            .condition_expression("attribute_not_exists(pk) OR #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(owner.as_str()));
        TransactWriteItem::builder()
            .set_delete(delete.build().ok())
            .build()
    }

    /// The address among its owner's.
    pub(super) fn own_threepid(
        &self,
        proven: &Proven,
        owner: &Localpart,
        now: Timestamp,
    ) -> TransactWriteItem {
        let item = Item::under(keys::user(owner), keys::threepid(&proven.threepid))
            .number("schema", 1)
            .text("medium", proven.threepid.medium.as_str())
            .text("address", &proven.threepid.address)
            .number("validated", proven.validated.0)
            .number("added", now.0);
        put(&self.accounts, item, None)
    }
}
