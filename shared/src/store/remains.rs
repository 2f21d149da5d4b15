//! What is left under the name of an account that has ended, and how it goes (DEACT-12, DEACT-14).

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;

use super::{
    Store, StoreError,
    item::{Item, Map, Row, text},
    keys::{self, MAIN, SK, THREEPIDS},
    retry::Failure,
};
use crate::ids::Localpart;

/// A row under a user that is not the account's own.
#[derive(Clone)]
pub struct Remnant(String);

crate::opaque_debug!(Remnant);

/// Where the next read of what is left goes on.
#[derive(Clone)]
pub struct RemnantPage(Map);

crate::opaque_debug!(RemnantPage);

impl Store {
    /// Some of the rows under a user, all but the account's own, strongly consistent; and where to go
    /// on if there are more.
    pub async fn remnants_page(
        &self,
        user: &Localpart,
        after: Option<RemnantPage>,
    ) -> Result<(Vec<Remnant>, Option<RemnantPage>), StoreError> {
        let (pk, start) = (&keys::user(user), &after.map(|RemnantPage(key)| key));
        let page = self
            .retry(|| async move {
                let call = self
                    .client
                    .query()
                    .table_name(&self.accounts)
                    .consistent_read(true)
                    .key_condition_expression("pk = :pk")
                    .projection_expression("pk, sk")
                    .expression_attribute_values(":pk", text(pk))
                    .set_exclusive_start_key(start.clone());
                call.send().await.map_err(Failure::<StoreError>::from)
            })
            .await?;
        let rows = page.items.unwrap_or_default().into_iter().map(Row::new);
        let keys: Result<Vec<_>, _> = rows.map(|row| row.text(SK).map(str::to_owned)).collect();
        let rest = keys?.into_iter().filter(|sk| sk != MAIN).map(Remnant);
        Ok((rest.collect(), page.last_evaluated_key.map(RemnantPage)))
    }

    /// Removes a row of a user who is no more, for good: nothing is written under such a name again.
    /// Before an address goes its claim, if it is still this user's: whoever is interrupted in between
    /// finds the address again. One call, or two for an address.
    pub async fn remove_remnant(
        &self,
        user: &Localpart,
        Remnant(sk): &Remnant,
    ) -> Result<(), StoreError> {
        if sk.starts_with(THREEPIDS) {
            // The claim's partition is spelt as its row under the owner is.
            let claim = Item::under(sk, MAIN);
            self.delete_if(claim, Some(user)).await?;
        }
        self.delete_if(Item::under(keys::user(user), sk), None)
            .await
    }

    /// Deletes a row; where an owner is named, only if it is theirs.
    async fn delete_if(&self, key: Item, owner: Option<&Localpart>) -> Result<(), StoreError> {
        let key = &key.build();
        self.retry(|| async move {
            let mut call = self
                .client
                .delete_item()
                .table_name(&self.accounts)
                .set_key(Some(key.clone()));
            if let Some(owner) = owner {
                call = call
                    .condition_expression("#owner = :owner")
                    .expression_attribute_names("#owner", "owner")
                    .expression_attribute_values(":owner", text(owner.as_str()));
            }
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
}
