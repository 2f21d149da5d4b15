//! The row of an account's password.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::{
    AccountRow, Store, StoreError,
    accounts::keys_of,
    item::{Item, Row, text},
    keys::{self, MAIN, PASSWORD, SK},
    retry::CallError,
};
use crate::{clock::Timestamp, ids::Localpart, password_hash::PasswordHash};

/// What logging in needs to know of an account.
#[derive(Debug, Clone)]
pub struct LoginFacts {
    /// The account.
    pub account: AccountRow,
    /// Its password's hash, if it has a password.
    pub password: Option<PasswordHash>,
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
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }
}

/// The row, as it is written.
pub(super) fn password_item(pk: &str, hash: &PasswordHash, now: Timestamp) -> Item {
    Item::under(pk, PASSWORD)
        .number("schema", 1)
        .text("phc", &hash.phc)
        .text_if("pepper", hash.pepper.as_deref())
        .number("changed", now.0)
}

/// What it says.
pub(super) fn read_password(row: &Row) -> Result<PasswordHash, StoreError> {
    Ok(PasswordHash {
        phc: row.text("phc")?.to_owned(),
        pepper: row.text_if("pepper")?.map(str::to_owned),
        set: row.time("changed")?,
    })
}
