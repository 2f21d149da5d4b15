//! What changes a whole account, in one transaction each: another password, the end, fewer devices.

use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update,
    builders::UpdateBuilder,
};

use super::{
    AccountStatus, ChangeAccountError, Deactivation, DeviceLogout, PasswordChange, SessionCommit,
    Store,
    item::{Item, checking, deleting, number, putting, text, updating},
    keys::{self, MAIN, PASSWORD},
    passwords::password_item,
    retry::condition_failed,
    token_pairs::NEXT,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
};

/// How many devices one transaction deletes, beside the end of a session.
const DEVICES_AT_ONCE: usize = 90;

/// The items of a transaction in the order in which their reasons are read.
struct Items {
    all: Vec<TransactWriteItem>,
    session: Option<usize>,
    account: usize,
    proof: Option<usize>,
}

impl Store {
    /// Sets another password: with it the devices that are not spared die, as do all proofs of
    /// addresses that were asked for before (PWD-08 to PWD-11, PWD-19).
    pub async fn change_password(
        &self,
        change: &PasswordChange,
        session: Option<SessionCommit>,
    ) -> Result<(), ChangeAccountError> {
        let mut items = self.begin(session.as_ref(), self.account_of_change(change));
        items.all.push(self.new_password(change));
        let password = items.all.len() - 1;
        let device = self.spared_device(change).map(|item| {
            items.all.push(item);
            items.all.len() - 1
        });
        if let Some(proven) = &change.proof {
            items.proof = Some(items.all.len());
            items.all.push(self.spend_validation(proven, change.now));
            let owns = self.owns_threepid(proven, &change.user);
            items.all.push(owns);
        }
        let messages = change.messages.iter();
        items.all.extend(messages.map(|new| self.enqueue(new)));
        let medium = change.proof.as_ref().map(|proven| proven.threepid.medium);
        let Items {
            all,
            session,
            account,
            proof,
        } = items;
        self.transact(all, |reasons| {
            let also = [Some(password), device];
            moved(reasons, session, account, &also).or_else(|| {
                // Spent, or of an address that is the account's no more.
                let gone = |index| {
                    condition_failed(reasons, index) || condition_failed(reasons, index + 1)
                };
                medium
                    .filter(|_| proof.is_some_and(gone))
                    .map(ChangeAccountError::ValidationGone)
            })
        })
        .await
    }

    /// Ends an account: no token, no password, no address works from this moment on, and the name
    /// stays taken (DEACT-03, DEACT-13).
    pub async fn deactivate(
        &self,
        end: &Deactivation,
        session: Option<SessionCommit>,
    ) -> Result<(), ChangeAccountError> {
        let pk = keys::user(&end.user);
        let mut items = self.begin(session.as_ref(), self.account_of_end(end));
        items.all.push(self.end_password(&end.user, end.known));
        let password = items.all.len() - 1;
        for threepid in &end.addresses {
            let own = Item::under(&pk, keys::threepid(threepid));
            items.all.push(self.delete(own));
            items.all.push(self.release_threepid(threepid, &end.user));
        }
        let messages = end.messages.iter();
        items.all.extend(messages.map(|new| self.enqueue(new)));
        let Items {
            all,
            session,
            account,
            ..
        } = items;
        self.transact(all, |reasons| {
            moved(reasons, session, account, &[Some(password)])
        })
        .await
    }

    /// Deletes devices while the password is the one that was given for it, set at `known`, and with
    /// the last of them ends the session. What is not there is deleted
    /// already (DEV-03); interrupted, it goes on when the request is repeated.
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
            let (now, later) = rest.split_at(rest.len().min(DEVICES_AT_ONCE));
            let mut items: Vec<_> = now
                .iter()
                .map(|device| self.delete(Item::under(&pk, keys::device(device))))
                .collect();
            let password = known.map(|set| {
                items.push(self.password_is_still(user, set));
                items.len() - 1
            });
            let last = session.as_ref().filter(|_| later.is_empty());
            let end = last.map(|commit| {
                items.push(self.commit_session(commit));
                items.len() - 1
            });
            if !items.is_empty() {
                self.transact(items, |reasons| {
                    let failed = |index| condition_failed(reasons, index);
                    if end.is_some_and(failed) {
                        Some(ChangeAccountError::SessionMoved)
                    } else if password.is_some_and(failed) {
                        Some(ChangeAccountError::AccountMoved)
                    } else {
                        None
                    }
                })
                .await?;
            }
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    fn begin(&self, session: Option<&SessionCommit>, account: TransactWriteItem) -> Items {
        let mut all = Vec::new();
        all.extend(session.map(|commit| self.commit_session(commit)));
        all.push(account);
        Items {
            session: session.map(|_| 0),
            account: all.len() - 1,
            proof: None,
            all,
        }
    }

    fn account_of_change(&self, change: &PasswordChange) -> TransactWriteItem {
        let (set, remove) = match &change.sparing {
            DeviceLogout::Everybody => ("", ""),
            DeviceLogout::Device { .. } => (
                ", epoch = :next, spared_device = :device, spared_epoch = :spared",
                "",
            ),
            DeviceLogout::Nobody => (", epoch = :next", " REMOVE spared_device, spared_epoch"),
        };
        let fresh = match &change.proof {
            Some(_) => {
                " AND (attribute_not_exists(proofs_not_before) OR proofs_not_before <= :begun)"
            }
            None => "",
        };
        let mut update = self
            .update_of(&change.user, change.epoch)
            .update_expression(format!("SET proofs_not_before = :now{set}{remove}"))
            .condition_expression(format!("{STANDS}{fresh}"))
            .expression_attribute_values(":now", number(change.now.0));
        if !matches!(change.sparing, DeviceLogout::Everybody) {
            update = update.expression_attribute_values(":next", number(change.epoch + 1));
        }
        if let DeviceLogout::Device { id, epoch, .. } = &change.sparing {
            update = update
                .expression_attribute_values(":device", text(id.as_str()))
                .expression_attribute_values(":spared", number(*epoch));
        }
        if let Some(proven) = &change.proof {
            update = update.expression_attribute_values(":begun", number(proven.started_at.0));
        }
        updating(update)
    }

    fn account_of_end(&self, end: &Deactivation) -> TransactWriteItem {
        let erased = if end.erase { ", erased = :now" } else { "" };
        // Whoever read it as locked and goes on is the operator.
        let also = match end.account.status {
            AccountStatus::Locked => AccountStatus::Locked,
            _ => AccountStatus::Active,
        };
        let update = self
            .update_of(&end.user, end.account.epoch)
            .update_expression(format!(
                "SET #status = :deactivated, epoch = :next, deactivated = :now, \
                 proofs_not_before = :now{erased} REMOVE spared_device, spared_epoch, before_lock"
            ))
            .condition_expression(format!(
                "({STANDS} OR epoch = :epoch AND #status = :also) \
                 AND (attribute_not_exists(address_changes) OR address_changes = :changes)"
            ))
            .expression_attribute_values(":also", text(also.as_str()))
            .expression_attribute_values(":changes", number(end.account.address_changes))
            .expression_attribute_values(":deactivated", text("deactivated"))
            .expression_attribute_values(":next", number(end.account.epoch + 1))
            .expression_attribute_values(":now", number(end.now.0));
        updating(update)
    }

    /// The new password, in the place of the one that was given for it.
    fn new_password(&self, change: &PasswordChange) -> TransactWriteItem {
        let pk = keys::user(&change.user);
        let item = password_item(&pk, &change.password, change.now);
        let put = Put::builder()
            .table_name(&self.accounts)
            .set_item(Some(item.build()));
        let put = match change.known {
            Some(set) => put
                .condition_expression(STILL)
                .expression_attribute_values(":set", number(set.0)),
            None => put,
        };
        putting(put)
    }

    /// The device that lives on, if it is still the one that asked; no pair of tokens waits for it.
    fn spared_device(&self, change: &PasswordChange) -> Option<TransactWriteItem> {
        let DeviceLogout::Device { id, access, .. } = &change.sparing else {
            return None;
        };
        let key = Item::under(keys::user(&change.user), keys::device(id));
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression(format!("REMOVE {}", NEXT.join(", ")))
            .condition_expression("access_hash = :access")
            .expression_attribute_values(":access", text(&access.0));
        Some(updating(update))
    }

    fn end_password(&self, user: &Localpart, known: Option<Timestamp>) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), PASSWORD).build()));
        let delete = match known {
            Some(set) => delete
                .condition_expression(STILL)
                .expression_attribute_values(":set", number(set.0)),
            None => delete,
        };
        deleting(delete)
    }

    /// Holds that the password is the one that was set then, at the moment of a transaction.
    pub(super) fn password_is_still(&self, user: &Localpart, set: Timestamp) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), PASSWORD).build()))
            .condition_expression(STILL)
            .expression_attribute_values(":set", number(set.0));
        checking(check)
    }

    fn update_of(&self, user: &Localpart, epoch: i64) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":active", text("active"))
            .expression_attribute_values(":suspended", text("suspended"))
    }

    pub(super) fn delete(&self, key: Item) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()));
        deleting(delete)
    }
}

/// The password is the one that was given.
const STILL: &str = "changed = :set";

/// The account is as it was when its token or its password was found right.
const STANDS: &str = "epoch = :epoch AND #status IN (:active, :suspended)";

fn moved(
    reasons: &[CancellationReason],
    session: Option<usize>,
    account: usize,
    also: &[Option<usize>],
) -> Option<ChangeAccountError> {
    let failed = |index: &usize| condition_failed(reasons, *index);
    if session.is_some_and(|index| condition_failed(reasons, index)) {
        Some(ChangeAccountError::SessionMoved)
    } else if failed(&account) || also.iter().flatten().any(failed) {
        Some(ChangeAccountError::AccountMoved)
    } else {
        None
    }
}
