//! The password row of an account.

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, text},
        keys::{self, PASSWORD},
    },
};
use crate::{clock::Timestamp, ids::Localpart, password_hash::PasswordHash};

impl Store {
    /// Replaces the hash of an unchanged password by a stronger one. One `UpdateItem` call on the
    /// condition that the stored hash is still `before`. A failed condition means that the password
    /// has been changed in the meantime and is not an error.
    pub async fn replace_password_hash(
        &self,
        user: &Localpart,
        before: &str,
        hash: &PasswordHash,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), PASSWORD).build()))
            .condition_expression("phc = :before")
            .expression_attribute_values(":before", text(before))
            .expression_attribute_values(":phc", text(&hash.phc));
        let request = match &hash.pepper {
            Some(pepper) => request
                .update_expression("SET phc = :phc, pepper = :pepper")
                .expression_attribute_values(":pepper", text(pepper)),
            None => request.update_expression("SET phc = :phc REMOVE pepper"),
        };
        self.update_item(request).await?;
        Ok(())
    }
}

pub(super) fn password_item(pk: &str, hash: &PasswordHash, now: Timestamp) -> Item {
    Item::under(pk, PASSWORD)
        .number("schema", 1)
        .text("phc", &hash.phc)
        .text_if("pepper", hash.pepper.as_deref())
        .number("changed", now.0)
}

pub(super) fn read_password(row: &Row) -> Result<PasswordHash, StoreError> {
    Ok(PasswordHash {
        phc: row.text("phc")?.to_owned(),
        pepper: row.text_if("pepper")?.map(str::to_owned),
        changed_at: row.time("changed")?,
    })
}
