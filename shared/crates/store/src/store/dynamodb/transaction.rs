//! `TransactWriteItems`: the items, and the outcome if the condition of an item fails.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        CancellationReason, Put, TransactWriteItem,
        builders::{ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder},
    },
};

use super::{
    item::{Item, number},
    retry::CallError,
};
use crate::{
    metrics::{self, Metric},
    store::{Store, StoreError},
};

/// The maximum number of items that DynamoDB accepts in one transaction.
const MAX_ITEMS: usize = 100;

/// One `TransactWriteItems` call under construction. `F` is the error of the operation.
///
/// The order of the items is the order of precedence of the outcomes: if several conditions fail,
/// [`commit`](Self::commit) returns the outcome of the first of these items. For DynamoDB, the order has no
/// meaning.
pub(in crate::store) struct Transaction<'a, F> {
    store: &'a Store,
    items: Vec<TransactWriteItem>,
    outcomes: Outcomes<F>,
}

/// The outcomes of failed conditions, by the position of the item.
type Outcomes<F> = BTreeMap<usize, F>;

/// The item that was added last.
pub(in crate::store) struct Added<'t, F> {
    position: usize,
    outcomes: &'t mut Outcomes<F>,
}

impl<F> Added<'_, F> {
    /// Sets the outcome of the transaction if the condition of this item fails.
    pub(in crate::store) fn or(self, outcome: F) {
        self.outcomes.insert(self.position, outcome);
    }
}

/// The result of one call.
enum Attempt {
    Committed,
    /// DynamoDB cancelled the transaction. The condition of the item at this position failed.
    ConditionFailed(usize),
}

impl Store {
    /// An empty transaction.
    pub(in crate::store) fn transaction<F>(&self) -> Transaction<'_, F> {
        Transaction {
            store: self,
            items: Vec::new(),
            outcomes: Outcomes::new(),
        }
    }
}

impl<F: From<StoreError>> Transaction<'_, F> {
    /// Adds an item. If the item has no outcome (see [`Added::or`]), its failed condition is treated as contention.
    pub(in crate::store) fn add(&mut self, item: TransactWriteItem) -> Added<'_, F> {
        self.items.push(item);
        Added {
            position: self.items.len() - 1,
            outcomes: &mut self.outcomes,
        }
    }

    /// Adds items without an outcome.
    pub(in crate::store) fn add_all(&mut self, items: impl IntoIterator<Item = TransactWriteItem>) {
        self.items.extend(items);
    }

    /// Writes all items or none. Makes no call if there are no items.
    ///
    /// All attempts have one client request token, so that an attempt after a lost response writes
    /// nothing twice. The error is the outcome of the first item whose condition failed.
    /// [`StoreError::Contended`] means that the last attempt still conflicted with another
    /// transaction, or that DynamoDB throttled it.
    pub(in crate::store) async fn commit(mut self) -> Result<(), F> {
        if self.items.is_empty() {
            return Ok(());
        }
        if self.items.len() > MAX_ITEMS {
            let refused = "a transaction has more than 100 items".to_owned();
            return Err(StoreError::Refused(refused).into());
        }
        let token = &self.store.rng.base64::<18>();
        let (store, items, outcomes) = (self.store, &self.items, &self.outcomes);
        let attempt = store
            .retry(|| async move {
                let call = store
                    .client
                    .transact_write_items()
                    .set_transact_items(Some(items.clone()))
                    .client_request_token(token);
                match call.send().await {
                    Ok(_) => Ok(Attempt::Committed),
                    Err(error) => failed_attempt(&error, outcomes),
                }
            })
            .await?;
        match attempt {
            Attempt::Committed => {
                self.store.count_messages(&self.items);
                Ok(())
            }
            Attempt::ConditionFailed(position) => Err(self
                .outcomes
                .remove(&position)
                .unwrap_or_else(|| StoreError::Contended.into())),
        }
    }
}

fn failed_attempt<F, R: std::fmt::Debug>(
    error: &SdkError<TransactWriteItemsError, R>,
    outcomes: &Outcomes<F>,
) -> Result<Attempt, CallError> {
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    {
        let reasons = cancelled.cancellation_reasons();
        if let Some(position) = first_failed(reasons, outcomes) {
            return Ok(Attempt::ConditionFailed(position));
        }
        if reasons
            .iter()
            .any(|reason| has_code(reason, "ValidationError"))
        {
            let refused = StoreError::Refused("a transaction item is invalid".to_owned());
            return Err(CallError::Final(refused));
        }
        if reasons.iter().any(|reason| {
            has_code(reason, "ThrottlingError") || has_code(reason, "ProvisionedThroughputExceeded")
        }) {
            metrics::count(Metric::TableThrottles);
        }
    }
    Err(error.into())
}

/// The position of the first item that has an outcome and whose condition failed. DynamoDB returns
/// one reason for each item, in the order of the items.
fn first_failed<F>(reasons: &[CancellationReason], outcomes: &Outcomes<F>) -> Option<usize> {
    let failed = |position: &usize| {
        let reason = reasons.get(*position);
        reason.is_some_and(|reason| has_code(reason, "ConditionalCheckFailed"))
    };
    outcomes.keys().copied().find(failed)
}

fn has_code(reason: &CancellationReason, code: &str) -> bool {
    reason.code() == Some(code)
}

/// A `Put` of a whole item, on `condition` if there is one.
pub(in crate::store) fn put(table: &str, item: Item, condition: Option<&str>) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item.build()))
        .set_condition_expression(condition.map(str::to_owned));
    transact_put(put)
}

/// A `Put` on the condition that the stored item has the version `before`; 0 means that there must
/// be no stored item.
pub(in crate::store) fn put_version(table: &str, item: Item, before: i64) -> TransactWriteItem {
    if before == 0 {
        return put(table, item, Some("attribute_not_exists(pk)"));
    }
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item.build()))
        .condition_expression("version = :before")
        .expression_attribute_values(":before", number(before));
    transact_put(put)
}

/// A transaction item that is a `Put`.
pub(in crate::store) fn transact_put(put: PutBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_put(put.build().ok())
        .build()
}

/// A transaction item that is an `Update`.
pub(in crate::store) fn transact_update(update: UpdateBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_update(update.build().ok())
        .build()
}

/// A transaction item that is a `Delete`.
pub(in crate::store) fn transact_delete(delete: DeleteBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_delete(delete.build().ok())
        .build()
}

/// A transaction item that is a `ConditionCheck`.
pub(in crate::store) fn transact_check(check: ConditionCheckBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_condition_check(check.build().ok())
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        aws::{Aws, Endpoints},
        rng::SystemRng,
        secrets::Secret,
    };

    const FAILED: &str = "ConditionalCheckFailed";

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        codes
            .iter()
            .map(|code| CancellationReason::builder().code(*code).build())
            .collect()
    }

    /// Four items, of which the second has no outcome.
    fn outcomes() -> Outcomes<&'static str> {
        Outcomes::from([(0, "session"), (2, "account"), (3, "address")])
    }

    #[test]
    fn the_first_item_whose_condition_failed_decides() {
        for (codes, first) in [
            ([FAILED, FAILED, FAILED, FAILED], 0),
            (["None", FAILED, FAILED, FAILED], 2),
            (["None", "None", "None", FAILED], 3),
            (["TransactionConflict", "None", "None", FAILED], 3),
        ] {
            assert_eq!(
                first_failed(&reasons(&codes), &outcomes()),
                Some(first),
                "{codes:?}"
            );
        }
    }

    #[test]
    fn no_outcome_without_a_failed_condition_that_has_one() {
        for codes in [
            ["None", FAILED, "None", "None"],
            ["TransactionConflict", "None", "ThrottlingError", "None"],
        ] {
            assert_eq!(
                first_failed(&reasons(&codes), &outcomes()),
                None,
                "{codes:?}"
            );
        }
        assert_eq!(first_failed(&[], &outcomes()), None);
    }

    #[test]
    fn an_outcome_belongs_to_the_item_before_it() {
        let mut outcomes = Outcomes::new();
        for (position, outcome) in [(0, None), (1, Some("a")), (2, Some("b"))] {
            let added = Added {
                position,
                outcomes: &mut outcomes,
            };
            if let Some(outcome) = outcome {
                added.or(outcome);
            }
        }
        assert_eq!(outcomes, Outcomes::from([(1, "a"), (2, "b")]));
    }

    /// A store without a server: a call to it fails with [`StoreError::Unavailable`].
    fn store() -> Store {
        let aws = Aws {
            region: "eu-central-1".to_owned(),
            endpoints: Endpoints {
                dynamodb: Some("http://127.0.0.1:1".to_owned()),
                ..Endpoints::default()
            },
            access_key_id: "test".to_owned(),
            secret_access_key: Secret::new("test".to_owned()),
            session_token: None,
        };
        Store::new(&aws, "test", Arc::new(SystemRng))
    }

    #[tokio::test]
    async fn a_transaction_without_items_makes_no_call() {
        let store = store();
        let empty = store.transaction::<StoreError>();
        assert!(matches!(empty.commit().await, Ok(())));
    }

    #[tokio::test]
    async fn a_transaction_of_more_than_100_items_is_refused() {
        let store = store();
        let mut transaction = store.transaction::<StoreError>();
        transaction.add_all((0..=MAX_ITEMS).map(|number| {
            let item = Item::at(number.to_string());
            put("test", item, None)
        }));
        let refused = transaction.commit().await;
        assert!(matches!(refused, Err(StoreError::Refused(_))));
    }
}
