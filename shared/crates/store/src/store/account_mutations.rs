//! Changes of a whole account, one transaction each: a new password, the deactivation, the deletion
//! of devices.

use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, Put, TransactWriteItem, Update, builders::UpdateBuilder,
};

use super::{
    AccountStatus, ChangeAccountError, Deactivation, DeviceLogout, PasswordChange, SessionCommit,
    Store,
    devices::NEXT,
    dynamodb::{
        item::{Item, number, text},
        keys::{self, MAIN, PASSWORD},
        transaction::{
            Transaction, transact_check, transact_delete, transact_put, transact_update,
        },
    },
    passwords::password_item,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    outbox::NewMessage,
};

/// The maximum number of devices that one transaction deletes. The password check and the UIA session must also fit
/// into the 100 items of a transaction.
const DEVICES_PER_TRANSACTION: usize = 90;

/// Condition: the stored password is still the one that the request was authenticated with.
const PASSWORD_UNCHANGED: &str = "changed = :set";

/// Condition: the account is still in the state in which its token or password was verified.
const ACCOUNT_UNCHANGED: &str = "epoch = :epoch AND #status IN (:active, :suspended)";

impl Store {
    /// Sets a new password. It logs out the devices that the change does not keep and invalidates the validation
    /// sessions that started earlier (PWD-08 to PWD-11, PWD-19), except those of established 3PIDs after a reset with a
    /// recent one. One `TransactWriteItems` call.
    ///
    /// The conditions, in their order of precedence: the UIA session is unchanged
    /// ([`ChangeAccountError::SessionChanged`]); the account, the old password and the kept device
    /// are unchanged ([`ChangeAccountError::AccountChanged`]); the validated session is unspent and
    /// its 3PID still belongs to the account ([`ChangeAccountError::ValidationGone`]).
    pub async fn change_password(
        &self,
        change: &PasswordChange,
        session: Option<SessionCommit>,
    ) -> Result<(), ChangeAccountError> {
        let mut transaction = self.transaction();
        self.finish_session(&mut transaction, session.as_ref());
        let mut account_items = vec![
            self.account_with_new_password(change),
            self.new_password(change),
        ];
        account_items.extend(self.kept_device(change));
        for item in account_items {
            transaction.add(item).or(ChangeAccountError::AccountChanged);
        }
        if let Some(validated) = &change.validated {
            let spent = self.spend_validation(validated, change.now);
            let owner = self.check_threepid_owner(validated, &change.user);
            for item in spent.into_iter().chain([owner]) {
                let gone = ChangeAccountError::ValidationGone(validated.threepid.medium);
                transaction.add(item).or(gone);
            }
        }
        transaction.add_all(change.messages.iter().map(|new| self.enqueue(new)));
        transaction.commit().await
    }

    /// Deactivates an account. Its tokens, password and 3PIDs become invalid, and its
    /// username stays reserved (DEACT-03, DEACT-13). One `TransactWriteItems` call.
    ///
    /// The conditions, in their order of precedence: the UIA session is unchanged
    /// ([`ChangeAccountError::SessionChanged`]); the account and the password are unchanged
    /// ([`ChangeAccountError::AccountChanged`]).
    pub async fn deactivate(
        &self,
        deactivation: &Deactivation,
        session: Option<SessionCommit>,
    ) -> Result<(), ChangeAccountError> {
        let pk = keys::user(&deactivation.user);
        let mut transaction = self.transaction();
        self.finish_session(&mut transaction, session.as_ref());
        for item in [
            self.deactivated_account(deactivation),
            self.deleted_password(&deactivation.user, deactivation.known),
        ] {
            transaction.add(item).or(ChangeAccountError::AccountChanged);
        }
        for threepid in &deactivation.addresses {
            let own = Item::under(&pk, keys::threepid(threepid));
            transaction.add(self.delete(own));
            transaction.add(self.release_threepid(threepid, &deactivation.user));
        }
        transaction.add_all(deactivation.messages.iter().map(|new| self.enqueue(new)));
        transaction.commit().await
    }

    /// Records the erasure of an account that was deactivated without it, and enqueues `messages`. A repetition keeps
    /// the time of the first erasure. One `TransactWriteItems` call.
    ///
    /// The condition is that the account is deactivated ([`ChangeAccountError::AccountChanged`]).
    pub async fn record_erasure(
        &self,
        user: &Localpart,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<(), ChangeAccountError> {
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .update_expression("SET erased = if_not_exists(erased, :now)")
            .condition_expression("#status = :deactivated")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deactivated", text("deactivated"))
            .expression_attribute_values(":now", number(now.0));
        let mut transaction = self.transaction();
        transaction
            .add(transact_update(update))
            .or(ChangeAccountError::AccountChanged);
        transaction.add_all(messages.iter().map(|new| self.enqueue(new)));
        transaction.commit().await
    }

    /// Deletes devices, and finishes the UIA session with the last of them. One
    /// `TransactWriteItems` call for each `DEVICES_PER_TRANSACTION` devices. A missing device is treated as deleted
    /// (DEV-03), so that a repeated request completes an interrupted one.
    ///
    /// The conditions, in their order of precedence: the UIA session is unchanged
    /// ([`ChangeAccountError::SessionChanged`]); the password is still the one that was set at
    /// `known` ([`ChangeAccountError::AccountChanged`]).
    pub async fn delete_devices(
        &self,
        user: &Localpart,
        devices: &[DeviceId],
        known: Option<Timestamp>,
        session: Option<SessionCommit>,
    ) -> Result<(), ChangeAccountError> {
        let pk = keys::user(user);
        let mut rest = devices;
        loop {
            let (now, later) = rest.split_at(rest.len().min(DEVICES_PER_TRANSACTION));
            let mut transaction = self.transaction();
            if later.is_empty() {
                self.finish_session(&mut transaction, session.as_ref());
            }
            if let Some(set) = known {
                let unchanged = self.check_password_unchanged(user, set);
                transaction
                    .add(unchanged)
                    .or(ChangeAccountError::AccountChanged);
            }
            let keys = now
                .iter()
                .map(|device| Item::under(&pk, keys::device(device)));
            transaction.add_all(keys.map(|key| self.delete(key)));
            transaction.commit().await?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    fn finish_session(
        &self,
        transaction: &mut Transaction<'_, ChangeAccountError>,
        session: Option<&SessionCommit>,
    ) {
        if let Some(commit) = session {
            let item = self.commit_session(commit);
            transaction.add(item).or(ChangeAccountError::SessionChanged);
        }
    }

    fn account_with_new_password(&self, change: &PasswordChange) -> TransactWriteItem {
        let (mut set, mut remove) = (vec!["proofs_not_before = :now"], Vec::new());
        match &change.device_logout {
            DeviceLogout::None => {}
            DeviceLogout::AllExcept { .. } => {
                set.push("epoch = :next, spared_device = :device, spared_epoch = :spared");
            }
            DeviceLogout::All => {
                set.push("epoch = :next");
                remove.push("spared_device, spared_epoch");
            }
        }
        if change.is_by_recent_threepid {
            set.push("recent_reset = :now, established_not_before = :established");
        } else {
            remove.push("recent_reset, established_not_before");
        }
        let mut condition = ACCOUNT_UNCHANGED.to_owned();
        if change.validated.is_some() {
            set.push("reset_at = :now");
            // A change that logs out no device does not change the epoch.
            condition +=
                " AND (attribute_not_exists(proofs_not_before) OR proofs_not_before = :before)";
        }
        let remove = match &*remove {
            [] => String::new(),
            attributes => format!(" REMOVE {}", attributes.join(", ")),
        };
        let account = &change.account;
        let mut update = self
            .update_account(&change.user, account.epoch)
            .update_expression(format!("SET {}{remove}", set.join(", ")))
            .condition_expression(condition)
            .expression_attribute_values(":now", number(change.now.0));
        if !matches!(change.device_logout, DeviceLogout::None) {
            update = update.expression_attribute_values(":next", number(account.epoch + 1));
        }
        if let DeviceLogout::AllExcept { id, epoch, .. } = &change.device_logout {
            update = update
                .expression_attribute_values(":device", text(id.as_str()))
                .expression_attribute_values(":spared", number(*epoch));
        }
        if change.is_by_recent_threepid {
            let established = number(account.established_not_before.0);
            update = update.expression_attribute_values(":established", established);
        }
        if change.validated.is_some() {
            let before = number(account.proofs_not_before.0);
            update = update.expression_attribute_values(":before", before);
        }
        transact_update(update)
    }

    fn deactivated_account(&self, deactivation: &Deactivation) -> TransactWriteItem {
        let erased = if deactivation.erase {
            ", erased = :now"
        } else {
            ""
        };
        // Only the admin CLI deactivates a locked account.
        let also = match deactivation.account.status {
            AccountStatus::Locked => AccountStatus::Locked,
            _ => AccountStatus::Active,
        };
        let update = self
            .update_account(&deactivation.user, deactivation.account.epoch)
            .update_expression(format!(
                "SET #status = :deactivated, epoch = :next, deactivated = :now, \
                 proofs_not_before = :now{erased} REMOVE spared_device, spared_epoch, before_lock"
            ))
            .condition_expression(format!(
                "({ACCOUNT_UNCHANGED} OR epoch = :epoch AND #status = :also) \
                 AND (attribute_not_exists(address_changes) OR address_changes = :changes)"
            ))
            .expression_attribute_values(":also", text(also.as_str()))
            .expression_attribute_values(":changes", number(deactivation.account.address_changes))
            .expression_attribute_values(":deactivated", text("deactivated"))
            .expression_attribute_values(":next", number(deactivation.account.epoch + 1))
            .expression_attribute_values(":now", number(deactivation.now.0));
        transact_update(update)
    }

    /// The new password row. If the request was authenticated with the old password, the condition is that the old
    /// password is unchanged.
    fn new_password(&self, change: &PasswordChange) -> TransactWriteItem {
        let pk = keys::user(&change.user);
        let item = password_item(&pk, &change.password, change.now);
        let put = Put::builder()
            .table_name(&self.accounts)
            .set_item(Some(item.build()));
        let put = match change.known {
            Some(set) => put
                .condition_expression(PASSWORD_UNCHANGED)
                .expression_attribute_values(":set", number(set.0)),
            None => put,
        };
        transact_put(put)
    }

    /// The device that stays logged in, without its next pair of tokens. The condition is that the device still has
    /// the access token of the request.
    fn kept_device(&self, change: &PasswordChange) -> Option<TransactWriteItem> {
        let DeviceLogout::AllExcept { id, access, .. } = &change.device_logout else {
            return None;
        };
        let key = Item::under(keys::user(&change.user), keys::device(id));
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression(format!("REMOVE {}", NEXT.join(", ")))
            .condition_expression("access_hash = :access")
            .expression_attribute_values(":access", text(&access.0));
        Some(transact_update(update))
    }

    fn deleted_password(&self, user: &Localpart, known: Option<Timestamp>) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), PASSWORD).build()));
        let delete = match known {
            Some(set) => delete
                .condition_expression(PASSWORD_UNCHANGED)
                .expression_attribute_values(":set", number(set.0)),
            None => delete,
        };
        transact_delete(delete)
    }

    /// Checks that the password is still the one that was set at `set`.
    pub(super) fn check_password_unchanged(
        &self,
        user: &Localpart,
        set: Timestamp,
    ) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), PASSWORD).build()))
            .condition_expression(PASSWORD_UNCHANGED)
            .expression_attribute_values(":set", number(set.0));
        transact_check(check)
    }

    /// An update of an account row with the placeholders of [`ACCOUNT_UNCHANGED`].
    fn update_account(&self, user: &Localpart, epoch: i64) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":active", text("active"))
            .expression_attribute_values(":suspended", text("suspended"))
    }

    /// Deletes a row of `accounts`, without a condition.
    pub(super) fn delete(&self, key: Item) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()));
        transact_delete(delete)
    }
}
