//! Devices: the rows under a user that tokens are looked up in, and how they end.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{delete_item::DeleteItemError, update_item::UpdateItemError},
    types::{ConditionCheck, TransactWriteItem, Update},
};

use super::{
    Store, StoreError,
    accounts::{AccountRow, LoginFacts, keys_of, read_password},
    item::{Item, Row, number, text},
    keys::{self, MAIN, PASSWORD, SK},
    retry::{Failure, condition_failed},
};
use crate::{
    accounts::NewDevice,
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    passwords::PasswordHash,
    tokens::TokenHash,
};

/// The attributes of the tokens that are to come after those a device has.
const NEXT: &str = "next_access_hash, next_access_expires, next_refresh_hash, next_answer";

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

impl Store {
    /// The account and its password, in one strongly consistent read.
    pub async fn find_login(&self, name: &Localpart) -> Result<Option<LoginFacts>, StoreError> {
        let pk = keys::user(name);
        let wanted = [(pk.clone(), MAIN.to_owned()), (pk, PASSWORD.to_owned())];
        let found = self
            .batch_get(HashMap::from([(self.accounts.clone(), keys_of(&wanted))]))
            .await?;
        let (mut account, mut password) = (None, None);
        for row in found.into_values().flatten().map(Row::new) {
            if row.text(SK)? == MAIN {
                account = Some(AccountRow::read(&row)?);
            } else {
                password = Some(read_password(&row)?);
            }
        }
        Ok(account.map(|account| LoginFacts { account, password }))
    }

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
        let unmoved = TransactWriteItem::builder()
            .set_condition_check(unmoved.build().ok())
            .build();
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
        let mut set = "SET #schema = :schema, epoch = :epoch, access_hash = :access, \
                       issued_at = :now, upstream = if_not_exists(upstream, :none)"
            .to_owned();
        let mut remove = format!("REMOVE {}", NEXT);
        let mut update = Update::builder()
            .expression_attribute_names("#schema", "schema")
            .expression_attribute_values(":schema", number(1))
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":access", text(&device.access_hash.0))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":none", text("none"));
        match device.access_expires {
            Some(time) => {
                set.push_str(", access_expires = :expires");
                update = update.expression_attribute_values(":expires", number(time.0));
            }
            None => remove.push_str(", access_expires"),
        }
        match &device.refresh_hash {
            Some(hash) => {
                set.push_str(", refresh_hash = :refresh");
                update = update.expression_attribute_values(":refresh", text(&hash.0));
            }
            None => remove.push_str(", refresh_hash"),
        }
        if let Some(name) = &device.display_name {
            set.push_str(", display_name = if_not_exists(display_name, :name)");
            update = update.expression_attribute_values(":name", text(name));
        }
        let update = update
            .table_name(&self.accounts)
            .set_key(Some(Item::under(pk, keys::device(&device.id)).build()))
            .update_expression(format!("{set} {remove}"));
        TransactWriteItem::builder()
            .set_update(update.build().ok())
            .build()
    }

    /// Stores a better hash of the same password, unless the password has been changed meanwhile.
    pub async fn improve_password(
        &self,
        user: &Localpart,
        before: &str,
        hash: &PasswordHash,
    ) -> Result<(), StoreError> {
        self.retry(|| async move {
            let mut call = self
                .client
                .update_item()
                .table_name(&self.accounts)
                .set_key(Some(Item::under(keys::user(user), PASSWORD).build()))
                .condition_expression("phc = :before")
                .expression_attribute_values(":before", text(before))
                .expression_attribute_values(":phc", text(&hash.phc));
            call = match &hash.pepper {
                Some(pepper) => call
                    .update_expression("SET phc = :phc, pepper = :pepper")
                    .expression_attribute_values(":pepper", text(pepper)),
                None => call.update_expression("SET phc = :phc REMOVE pepper"),
            };
            match call.send().await {
                Ok(_) => Ok(()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
                {
                    Ok(())
                }
                Err(error) => Err(Failure::<StoreError>::from(error)),
            }
        })
        .await
    }

    /// Removes a device, if this is still its access token (OUT-01).
    pub async fn remove_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        access: &TokenHash,
    ) -> Result<(), StoreError> {
        self.retry(|| async move {
            let call = self
                .client
                .delete_item()
                .table_name(&self.accounts)
                .set_key(Some(
                    Item::under(keys::user(user), keys::device(device)).build(),
                ))
                .condition_expression("access_hash = :access")
                .expression_attribute_values(":access", text(&access.0));
            match call.send().await {
                Ok(_) => Ok(()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
                {
                    Ok(())
                }
                Err(error) => Err(Failure::<StoreError>::from(error)),
            }
        })
        .await
    }

    /// Ends every device of an account at once: one write, however many there are (OUT-02). Nothing
    /// if its epoch has moved already.
    pub async fn revoke_devices(&self, user: &Localpart, epoch: i64) -> Result<(), StoreError> {
        self.retry(|| async move {
            let call = self
                .client
                .update_item()
                .table_name(&self.accounts)
                .set_key(Some(Item::under(keys::user(user), MAIN).build()))
                .update_expression("SET epoch = :next REMOVE spared_device, spared_epoch")
                .condition_expression("epoch = :epoch")
                .expression_attribute_values(":epoch", number(epoch))
                .expression_attribute_values(":next", number(epoch + 1));
            match call.send().await {
                Ok(_) => Ok(()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
                {
                    Ok(())
                }
                Err(error) => Err(Failure::<StoreError>::from(error)),
            }
        })
        .await
    }
}
