//! Conditional writes of one item, with the failed condition as a result instead of an error.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        delete_item::{DeleteItemError, DeleteItemOutput, builders::DeleteItemFluentBuilder},
        put_item::{PutItemError, PutItemOutput, builders::PutItemFluentBuilder},
        update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    },
    types::{AttributeValue, error::ConditionalCheckFailedException},
};

use super::{
    item::{Item, Map},
    retry::CallError,
};
use crate::store::{Store, StoreError};

/// The result of a conditional write.
#[derive(Debug)]
pub(in crate::store) enum ConditionalWrite<T> {
    /// The condition held, and DynamoDB wrote the item.
    Written(T),
    /// The condition failed, and nothing was written. Contains the stored item, if there is one and the call
    /// requested it (`ReturnValuesOnConditionCheckFailure`).
    ConditionFailed(Option<Map>),
}

impl<T> ConditionalWrite<T> {
    /// Whether the condition held.
    pub(in crate::store) fn is_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }

    /// Whether the item is written, by this attempt or by an earlier one whose response was lost:
    /// the attribute `name` then has the value that only this operation writes.
    pub(in crate::store) fn is_written_as(&self, name: &str, value: &str) -> bool {
        match self {
            Self::Written(_) => true,
            Self::ConditionFailed(item) => item
                .as_ref()
                .is_some_and(|item| has_text(item, name, value)),
        }
    }
}

/// Whether an attribute of the item is this text.
pub(in crate::store) fn has_text(item: &Map, name: &str, value: &str) -> bool {
    item.get(name)
        .is_some_and(|found| found.as_s().is_ok_and(|found| found == value))
}

impl Store {
    /// Calls `UpdateItem` and repeats the call while it is contended.
    pub(in crate::store) async fn update_item(
        &self,
        request: UpdateItemFluentBuilder,
    ) -> Result<ConditionalWrite<UpdateItemOutput>, StoreError> {
        let request = &request;
        self.retry(|| async move {
            conditional(request.clone().send().await, |error| match error {
                UpdateItemError::ConditionalCheckFailedException(failed) => Some(failed),
                _ => None,
            })
        })
        .await
    }

    /// Calls `PutItem` and repeats the call while it is contended.
    pub(in crate::store) async fn put_item(
        &self,
        request: PutItemFluentBuilder,
    ) -> Result<ConditionalWrite<PutItemOutput>, StoreError> {
        let request = &request;
        self.retry(|| async move {
            conditional(request.clone().send().await, |error| match error {
                PutItemError::ConditionalCheckFailedException(failed) => Some(failed),
                _ => None,
            })
        })
        .await
    }

    /// Calls `DeleteItem` and repeats the call while it is contended.
    pub(in crate::store) async fn delete_item(
        &self,
        request: DeleteItemFluentBuilder,
    ) -> Result<ConditionalWrite<DeleteItemOutput>, StoreError> {
        let request = &request;
        self.retry(|| async move {
            conditional(request.clone().send().await, |error| match error {
                DeleteItemError::ConditionalCheckFailedException(failed) => Some(failed),
                _ => None,
            })
        })
        .await
    }

    /// Deletes a row of `accounts` (`DeleteItem`). If an attribute is given, the condition is that it has this
    /// value in the row. A failed condition or a missing row is not an error.
    pub(in crate::store) async fn delete_if(
        &self,
        key: Item,
        condition: Option<(&str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let mut request = self
            .client
            .delete_item()
            .table_name(&self.accounts)
            .set_key(Some(key.build()));
        if let Some((name, value)) = condition {
            request = request
                .condition_expression("#name = :value")
                .expression_attribute_names("#name", name)
                .expression_attribute_values(":value", value);
        }
        self.delete_item(request).await?;
        Ok(())
    }
}

fn conditional<T, E, R>(
    result: Result<T, SdkError<E, R>>,
    failed_condition: impl FnOnce(&E) -> Option<&ConditionalCheckFailedException>,
) -> Result<ConditionalWrite<T>, CallError>
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    match result {
        Ok(output) => Ok(ConditionalWrite::Written(output)),
        Err(error) => match error.as_service_error().and_then(failed_condition) {
            Some(failed) => Ok(ConditionalWrite::ConditionFailed(failed.item().cloned())),
            None => Err((&error).into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_response_is_recognised_by_the_nonce() {
        let stored = |nonce: &str| Item::at("key").text("nonce", nonce).build();
        for (item, ours) in [
            (Some(stored("ours")), true),
            (Some(stored("theirs")), false),
            (Some(Item::at("key").build()), false),
            (None, false),
        ] {
            let failed: ConditionalWrite<()> = ConditionalWrite::ConditionFailed(item);
            assert_eq!(failed.is_written_as("nonce", "ours"), ours, "{failed:?}");
            assert!(!failed.is_written());
        }
        let written = ConditionalWrite::Written(());
        assert!(written.is_written_as("nonce", "ours") && written.is_written());
    }
}
