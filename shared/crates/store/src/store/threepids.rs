//! Who owns an address: one row for each, which *is* the claim (3PID-68), and one under its owner.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, TransactWriteItem, Update, builders::UpdateBuilder,
};

use super::{
    AccountRow, AddThreePidError, NewThreePid, RemoveThreePidError, RemovedThreePid, Store,
    StoreError,
    item::{Item, Row, checking, deleting, number, put, text, updating},
    keys::{self, MAIN, THREEPIDS},
    retry::condition_failed,
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    threepid::{Medium, ThreePid},
    validation_session::ValidatedThreePid,
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
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
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
        let owner = Localpart::stored(row.text("owner")?);
        let owner = owner.ok_or_else(|| row.corrupt("owner"))?;
        Ok(Some(owner))
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
        put(&self.accounts, item, Some("attribute_not_exists(pk)"))
    }

    /// Holds that an address is this owner's, and was when its proof was asked for, at the moment of
    /// a transaction: who had it before proves nothing about who has it now.
    pub(super) fn owns_threepid(
        &self,
        proven: &ValidatedThreePid,
        owner: &Localpart,
    ) -> TransactWriteItem {
        let threepid = &proven.threepid;
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::threepid(threepid), MAIN).build()))
            .condition_expression("#owner = :owner AND claimed <= :begun")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":begun", number(proven.started_at.0))
            .expression_attribute_values(":owner", text(owner.as_str()));
        checking(check)
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
        deleting(delete)
    }

    /// The address among its owner's.
    pub(super) fn own_threepid(
        &self,
        threepid: &ThreePid,
        validated: Timestamp,
        owner: &Localpart,
        now: Timestamp,
    ) -> TransactWriteItem {
        let item = Item::under(keys::user(owner), keys::threepid(threepid))
            .number("schema", 1)
            .text("medium", threepid.medium.as_str())
            .text("address", &threepid.address)
            .number("validated", validated.0)
            .number("added", now.0);
        put(&self.accounts, item, None)
    }

    /// Gives an account an address and spends the proof of it, or does nothing (3PID-68). Of several
    /// who race for an address one gets it; the others get [`AddThreePidError::Taken`].
    pub async fn add_threepid(&self, new: &NewThreePid) -> Result<(), AddThreePidError> {
        // As with a new account: reasons are read by position, and a finished twin comes first.
        let mut items = Vec::new();
        let session = new.session.as_ref().map(|commit| {
            items.push(self.commit_session(commit));
            items.len() - 1
        });
        let account = items.len();
        items.push(self.account_that_gets(new));
        items.push(if new.known {
            self.prove_own_threepid(new)
        } else {
            self.claim_threepid(&new.proven.threepid, &new.localpart, new.added)
        });
        items.push(self.spend_validation(&new.proven, new.added));
        if !new.known {
            let ValidatedThreePid {
                threepid,
                validated_at,
                ..
            } = &new.proven;
            items.push(self.own_threepid(threepid, *validated_at, &new.localpart, new.added));
        }
        let password = new.known_password.map(|set| {
            items.push(self.password_is_still(&new.localpart, set));
            items.len() - 1
        });
        items.extend(new.notices.iter().map(|notice| self.enqueue(notice)));
        self.transact(items, |reasons| {
            let failed = |index| condition_failed(reasons, index);
            if session.is_some_and(failed) {
                Some(AddThreePidError::SessionMoved)
            } else if password.is_some_and(failed) {
                Some(AddThreePidError::PasswordMoved)
            } else if failed(account) || (new.known && failed(account + 1)) {
                Some(AddThreePidError::AccountMoved)
            } else if failed(account + 1) {
                Some(AddThreePidError::Taken)
            } else if failed(account + 2) {
                Some(AddThreePidError::ValidationGone)
            } else {
                None
            }
        })
        .await
    }

    /// Takes an address from the account that has it, and from no other (L9). It is anybody's then.
    pub async fn remove_threepid(&self, lost: &RemovedThreePid) -> Result<(), RemoveThreePidError> {
        let RemovedThreePid {
            localpart,
            account,
            threepid,
            ..
        } = lost;
        let condition = format!("{AS_READ} AND #status = :active");
        let update = self
            .count_change(localpart, account)
            .condition_expression(condition);
        let mut items = vec![
            updating(update),
            self.disown_threepid(threepid, localpart),
            self.release_threepid(threepid, localpart),
        ];
        items.extend(lost.notices.iter().map(|notice| self.enqueue(notice)));
        self.transact(items, |reasons| {
            if condition_failed(reasons, 0) {
                Some(RemoveThreePidError::AccountMoved)
            } else if condition_failed(reasons, 1) || condition_failed(reasons, 2) {
                Some(RemoveThreePidError::NotThere)
            } else {
                None
            }
        })
        .await
    }

    /// The row of an address under its owner goes, if it is there.
    fn disown_threepid(&self, threepid: &ThreePid, owner: &Localpart) -> TransactWriteItem {
        let key = Item::under(keys::user(owner), keys::threepid(threepid));
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .condition_expression("attribute_exists(pk)");
        deleting(delete)
    }

    fn account_that_gets(&self, new: &NewThreePid) -> TransactWriteItem {
        let condition = format!(
            "{AS_READ} AND #status IN (:active, :suspended) \
             AND (attribute_not_exists(proofs_not_before) OR proofs_not_before <= :begun)"
        );
        let update = self
            .count_change(&new.localpart, &new.account)
            .condition_expression(condition)
            .expression_attribute_values(":suspended", text("suspended"))
            .expression_attribute_values(":begun", number(new.proven.started_at.0));
        updating(update)
    }

    /// The account counts another change of its addresses on top of those that were read. Whoever
    /// reads an account first and its addresses after that has read all of them if the number is
    /// still the same: so no race goes beyond the greatest number that an account may have.
    fn count_change(&self, user: &Localpart, account: &AccountRow) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .update_expression("SET address_changes = if_not_exists(address_changes, :zero) + :one")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":epoch", number(account.epoch))
            .expression_attribute_values(":active", text("active"))
            .expression_attribute_values(":before", number(account.address_changes))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
    }

    /// An address that its owner has proven anew. Its row is there as long as the claim is theirs.
    fn prove_own_threepid(&self, new: &NewThreePid) -> TransactWriteItem {
        let key = Item::under(
            keys::user(&new.localpart),
            keys::threepid(&new.proven.threepid),
        );
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression("SET validated = :validated")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":validated", number(new.proven.validated_at.0));
        updating(update)
    }
}

/// The account is as it was read, its addresses included. One whose addresses are those it was made
/// with has no number yet.
const AS_READ: &str =
    "epoch = :epoch AND (attribute_not_exists(address_changes) OR address_changes = :before)";
