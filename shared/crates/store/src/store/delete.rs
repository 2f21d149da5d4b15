//! Deleting one row.

use aws_sdk_dynamodb::{operation::delete_item::DeleteItemError, types::AttributeValue};

use super::{Store, StoreError, item::Item, retry::CallError};

impl Store {
    /// Deletes a row of `accounts`; if an attribute is named, only while it has that value. A row
    /// that has another, or is not there, is left as it is, and that is no failure.
    pub(super) async fn delete_if(
        &self,
        key: Item,
        still: Option<(&str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let (key, still) = (&key.build(), &still);
        self.retry(|| async move {
            let mut call = self
                .client
                .delete_item()
                .table_name(&self.accounts)
                .set_key(Some(key.clone()));
            if let Some((name, value)) = still {
                call = call
                    .condition_expression("#name = :value")
                    .expression_attribute_names("#name", *name)
                    .expression_attribute_values(":value", value.clone());
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
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }
}
