//! The 3PIDs of accounts. A 3PID has two rows: its reservation, which ensures that at most one account has it
//! (3PID-68), and a row under its owner.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, TransactWriteItem, Update, builders::UpdateBuilder,
};

use super::{
    AccountRow, AddThreePidError, NewThreePid, RemoveThreePidError, RemovedThreePid, Store,
    StoreError,
    dynamodb::{
        item::{Item, Row, number, text},
        keys::{self, MAIN, THREEPIDS},
        transaction::{put, transact_check, transact_delete, transact_update},
    },
};
use crate::{
    clock::Timestamp,
    ids::Localpart,
    threepid::{Medium, ThreePid},
    validation_session::ValidatedThreePid,
};

/// Condition: the account and its 3PIDs are as they were read. An account that still has the
/// 3PIDs from its creation has no `address_changes`.
const ACCOUNT_AS_READ: &str =
    "epoch = :epoch AND (attribute_not_exists(address_changes) OR address_changes = :before)";

/// A 3PID of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnThreePid {
    /// The 3PID.
    pub threepid: ThreePid,
    /// The time at which its owner validated it.
    pub validated: Timestamp,
    /// The time at which it was added to the account.
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
    /// The 3PIDs of an account. One `Query` call, strongly consistent: the 3PIDs fit in one page.
    pub async fn addresses_of(&self, owner: &Localpart) -> Result<Vec<OwnThreePid>, StoreError> {
        let rows = self.rows_under(&keys::user(owner), THREEPIDS).await?;
        rows.iter().map(OwnThreePid::read).collect()
    }

    /// The username of the account that the 3PID belongs to. One `GetItem` call, strongly
    /// consistent.
    pub async fn find_owner(&self, threepid: &ThreePid) -> Result<Option<Localpart>, StoreError> {
        let key = Item::under(keys::threepid(threepid), MAIN);
        let Some(row) = self.get(&self.accounts, key).await? else {
            return Ok(None);
        };
        let owner = Localpart::stored(row.text("owner")?);
        let owner = owner.ok_or_else(|| row.corrupt("owner"))?;
        Ok(Some(owner))
    }

    /// The reservation of a 3PID, on the condition that no account has it.
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

    /// Checks that a 3PID belongs to this account and already belonged to it when the validation session
    /// started: a previous owner of the 3PID must not act for the current owner.
    pub(super) fn check_threepid_owner(
        &self,
        validated: &ValidatedThreePid,
        owner: &Localpart,
    ) -> TransactWriteItem {
        let threepid = &validated.threepid;
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::threepid(threepid), MAIN).build()))
            .condition_expression("#owner = :owner AND claimed <= :begun")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":begun", number(validated.started_at.0))
            .expression_attribute_values(":owner", text(owner.as_str()));
        transact_check(check)
    }

    /// Deletes the reservation of a 3PID, on the condition that it belongs to this account or
    /// does not exist.
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
        transact_delete(delete)
    }

    /// The row of a 3PID under its owner.
    pub(super) fn threepid_under_owner(
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

    /// Adds a 3PID to an account and spends its validated session, or writes nothing (3PID-68). One
    /// `TransactWriteItems` call. If several concurrent calls have the same 3PID, one succeeds; the others fail
    /// with [`AddThreePidError::Taken`].
    ///
    /// The conditions, in their order of precedence: the UIA session is unchanged
    /// ([`AddThreePidError::SessionChanged`]), so that a concurrent duplicate of a request that has
    /// succeeded fails because of the finished session; the password is unchanged
    /// ([`AddThreePidError::PasswordChanged`]); the account is unchanged and still has a known
    /// 3PID ([`AddThreePidError::AccountChanged`]); no account has a new 3PID
    /// ([`AddThreePidError::Taken`]); the validated session is unspent
    /// ([`AddThreePidError::ValidationGone`]).
    pub async fn add_threepid(&self, new: &NewThreePid) -> Result<(), AddThreePidError> {
        let ValidatedThreePid {
            threepid,
            validated_at,
            ..
        } = &new.validated;
        let mut transaction = self.transaction();
        if let Some(commit) = &new.session {
            let item = self.commit_session(commit);
            transaction.add(item).or(AddThreePidError::SessionChanged);
        }
        if let Some(set) = new.known_password {
            let unchanged = self.check_password_unchanged(&new.localpart, set);
            transaction
                .add(unchanged)
                .or(AddThreePidError::PasswordChanged);
        }
        transaction
            .add(self.account_of_new_threepid(new))
            .or(AddThreePidError::AccountChanged);
        if new.known {
            transaction
                .add(self.revalidate_threepid(new))
                .or(AddThreePidError::AccountChanged);
        } else {
            transaction
                .add(self.claim_threepid(threepid, &new.localpart, new.added))
                .or(AddThreePidError::Taken);
            transaction.add(self.threepid_under_owner(
                threepid,
                *validated_at,
                &new.localpart,
                new.added,
            ));
        }
        for spent in self.spend_validation(&new.validated, new.added) {
            transaction.add(spent).or(AddThreePidError::ValidationGone);
        }
        transaction.add_all(new.notices.iter().map(|notice| self.enqueue(notice)));
        transaction.commit().await
    }

    /// Removes a 3PID from this account, and from no other account (L9). Any account may add the 3PID
    /// afterwards. One `TransactWriteItems` call.
    ///
    /// The conditions, in their order of precedence: the account is unchanged
    /// ([`RemoveThreePidError::AccountChanged`]); the account has the 3PID
    /// ([`RemoveThreePidError::NotThere`]).
    pub async fn remove_threepid(
        &self,
        removed: &RemovedThreePid,
    ) -> Result<(), RemoveThreePidError> {
        let RemovedThreePid {
            localpart,
            account,
            threepid,
            ..
        } = removed;
        let update = self
            .count_address_change(localpart, account)
            .condition_expression(format!("{ACCOUNT_AS_READ} AND #status = :active"));
        let mut transaction = self.transaction();
        transaction
            .add(transact_update(update))
            .or(RemoveThreePidError::AccountChanged);
        for item in [
            self.delete_threepid_under_owner(threepid, localpart),
            self.release_threepid(threepid, localpart),
        ] {
            transaction.add(item).or(RemoveThreePidError::NotThere);
        }
        transaction.add_all(removed.notices.iter().map(|notice| self.enqueue(notice)));
        transaction.commit().await
    }

    /// Deletes the row of a 3PID under its owner, on the condition that it exists.
    fn delete_threepid_under_owner(
        &self,
        threepid: &ThreePid,
        owner: &Localpart,
    ) -> TransactWriteItem {
        let key = Item::under(keys::user(owner), keys::threepid(threepid));
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .condition_expression("attribute_exists(pk)");
        transact_delete(delete)
    }

    fn account_of_new_threepid(&self, new: &NewThreePid) -> TransactWriteItem {
        let condition = format!(
            "{ACCOUNT_AS_READ} AND #status IN (:active, :suspended) \
             AND (attribute_not_exists(proofs_not_before) OR proofs_not_before <= :begun)"
        );
        let update = self
            .count_address_change(&new.localpart, &new.account)
            .condition_expression(condition)
            .expression_attribute_values(":suspended", text("suspended"))
            .expression_attribute_values(":begun", number(new.validated.started_at.0));
        transact_update(update)
    }

    /// Increments the number of 3PID changes of an account, with the placeholders of
    /// [`ACCOUNT_AS_READ`]. A request reads the account first and its 3PIDs afterwards. If the number is
    /// unchanged at the write, the request has read all 3PIDs. Concurrent requests therefore cannot exceed the
    /// maximum number of 3PIDs of an account.
    fn count_address_change(&self, user: &Localpart, account: &AccountRow) -> UpdateBuilder {
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

    /// Updates the validation time of a 3PID that the account already has. The row exists as
    /// long as the reservation belongs to the account.
    fn revalidate_threepid(&self, new: &NewThreePid) -> TransactWriteItem {
        let key = Item::under(
            keys::user(&new.localpart),
            keys::threepid(&new.validated.threepid),
        );
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression("SET validated = :validated")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":validated", number(new.validated.validated_at.0));
        transact_update(update)
    }
}
