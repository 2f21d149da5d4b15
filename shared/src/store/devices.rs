//! Devices: the rows under a user that tokens are looked up in, and how they end.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::{delete_item::DeleteItemError, update_item::UpdateItemError};

use super::{
    Store, StoreError,
    accounts::{AccountRow, LoginFacts, device_item, keys_of, read_password},
    item::{Item, Row, number, text},
    keys::{self, MAIN, PASSWORD, SK},
    retry::Failure,
};
use crate::{
    accounts::NewDevice,
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    passwords::PasswordHash,
    tokens::TokenHash,
};

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

    /// Writes a device with its tokens, in the place of any that has its id: that one's tokens are
    /// dead (TOK-09). `epoch` is the account's as it was when the password was found right: if it
    /// has moved since, the new tokens are dead as well.
    pub async fn save_device(
        &self,
        user: &Localpart,
        device: &NewDevice,
        epoch: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let item = &device_item(&keys::user(user), device, epoch, now).build();
        self.retry(|| async move {
            let call = self
                .client
                .put_item()
                .table_name(&self.accounts)
                .set_item(Some(item.clone()));
            call.send().await.map_err(Failure::<StoreError>::from)
        })
        .await?;
        Ok(())
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
