//! Devices: the rows under a user that tokens are looked up in, and how they end.

use aws_sdk_dynamodb::{
    operation::delete_item::DeleteItemError,
    types::{ConditionCheck, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};

use super::{
    NewDevice, Store, StoreError,
    accounts::{AccountRow, AccountStatus},
    change::Change,
    item::{Item, Row, checking, number, text, updating},
    keys::{self, MAIN},
    retry::{CallError, condition_failed},
    token_pairs::{NEXT, NextPair},
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    outbox::NewMessage,
    secrets::TokenHash,
};

/// A device and the hashes of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The account's epoch when somebody logged in to it.
    pub epoch: i64,
    /// The access token.
    pub access_hash: TokenHash,
    /// When that expires.
    pub access_expires: Option<Timestamp>,
    /// The refresh token, if its client refreshes.
    pub refresh_hash: Option<TokenHash>,
    /// The tokens that are to come after these.
    pub next: Option<NextPair>,
}

/// Why a device was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveDeviceError {
    /// The account is not what it was when its owner was recognised.
    #[error("the account has moved")]
    Moved,
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountRow {
    /// Whether a device of this epoch is alive: it is the account's own, or the device is the one
    /// that was spared when that moved.
    pub fn lets_live(&self, device: &DeviceId, epoch: i64) -> bool {
        let spared = self.spared.as_ref();
        self.status != AccountStatus::Deactivated
            && (epoch == self.epoch
                || spared.is_some_and(|spared| spared.device == *device && spared.epoch == epoch))
    }
}

impl DeviceRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            epoch: row.number("epoch")?,
            access_hash: TokenHash(row.text("access_hash")?.to_owned()),
            access_expires: row.time_if("access_expires")?,
            refresh_hash: row
                .text_if("refresh_hash")?
                .map(|hash| TokenHash(hash.to_owned())),
            next: NextPair::read(row)?,
        })
    }
}

impl Store {
    /// Writes a device with its tokens. One that has its id keeps its name (REG-19), and its tokens
    /// are dead (TOK-09). `epoch` is the account's as it was when its owner was recognised: if
    /// it has moved since, or the account has been deactivated, nothing is written. (A device of the old
    /// epoch would be dead anyhow, but for one that has the id of the device that was spared.)
    pub async fn save_device(
        &self,
        user: &Localpart,
        device: &NewDevice,
        epoch: i64,
        now: Timestamp,
    ) -> Result<(), SaveDeviceError> {
        let pk = keys::user(user);
        let unmoved = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(&pk, MAIN).build()))
            .condition_expression("epoch = :epoch AND #status <> :deactivated")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":deactivated", text("deactivated"));
        let unmoved = checking(unmoved);
        let items = vec![unmoved, self.device_update(&pk, device, epoch, now)];
        self.transact(items, |reasons| {
            condition_failed(reasons, 0).then_some(SaveDeviceError::Moved)
        })
        .await
    }

    fn device_update(
        &self,
        pk: &str,
        device: &NewDevice,
        epoch: i64,
        now: Timestamp,
    ) -> TransactWriteItem {
        let change = Change::default()
            .set("schema", number(1))
            .set("epoch", number(epoch))
            .set("access_hash", text(&device.access_hash.0))
            .set_or_remove(
                "access_expires",
                device.access_expires.map(|time| number(time.0)),
            )
            .set_or_remove(
                "refresh_hash",
                device.refresh_hash.as_ref().map(|hash| text(&hash.0)),
            )
            .set("issued_at", number(now.0))
            .set_if_absent("upstream", text("none"));
        let change = match &device.display_name {
            Some(name) => change.set_if_absent("display_name", text(name)),
            None => change,
        };
        let change = NEXT.iter().fold(change, |change, name| change.remove(name));
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(pk, keys::device(&device.id)).build()))
            .update_expression(change.expression())
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        updating(update)
    }

    /// Removes a device, if this is still its access token, or the one after it (OUT-01). `false` if
    /// it is neither any more, and the device is there.
    pub async fn remove_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        access: &TokenHash,
    ) -> Result<bool, StoreError> {
        self.retry(|| async move {
            let call = self
                .client
                .delete_item()
                .table_name(&self.accounts)
                .set_key(Some(
                    Item::under(keys::user(user), keys::device(device)).build(),
                ))
                .condition_expression("access_hash = :access OR next_access_hash = :access")
                .expression_attribute_values(":access", text(&access.0))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) => match error.as_service_error() {
                    Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                        Ok(failed.item().is_none())
                    }
                    _ => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    /// Ends every device of an account at once, however many there are (OUT-02), and enqueues what is
    /// to remove their rows. Whatever else has moved the epoch meanwhile, and whomever that spared.
    pub async fn revoke_devices(
        &self,
        user: &Localpart,
        purge: &NewMessage,
    ) -> Result<(), StoreError> {
        let account = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .update_expression("SET epoch = epoch + :one REMOVE spared_device, spared_epoch")
            .condition_expression("attribute_exists(epoch)")
            .expression_attribute_values(":one", number(1));
        let account = updating(account);
        self.transact(vec![account, self.enqueue(purge)], |_| None)
            .await
    }
}
