//! Who owns an address: one row for each, which *is* the claim (3PID-68), and one under its owner.

use aws_sdk_dynamodb::types::TransactWriteItem;

use super::{
    Store, StoreError,
    item::{Item, put},
    keys::{self, MAIN},
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    threepids::{ThreePid, proofs::Proven},
};

impl Store {
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
