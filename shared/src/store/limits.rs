//! Cells of the rate limiter.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

use super::{
    Store, StoreError,
    item::{Item, Row, number},
    retry::Failure,
};
use crate::{clock::Timestamp, limits::Attempt};

/// How long after it has emptied a cell may be forgotten, in milliseconds.
const KEEP_MS: i64 = 60 * 60 * 1000;

/// What a cell says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellVerdict {
    /// It may go on, and the cell has counted it.
    Allowed,
    /// It may not, and has not been counted.
    Exceeded {
        /// The cell's theoretical arrival time.
        arrival: Timestamp,
    },
}

impl Store {
    /// Spends one request of a cell: one call while the cell is empty, as it is for nearly
    /// everybody, else two. The second is bounded too, so that racing requests cannot overspend.
    pub async fn spend_limit(
        &self,
        cell: &str,
        attempt: Attempt,
    ) -> Result<CellVerdict, StoreError> {
        let (now, cost) = (attempt.now.0, attempt.cost);
        let fresh = self
            .update_cell(
                cell,
                "SET tat = :tat, #ttl = :ttl",
                "attribute_not_exists(tat) OR tat <= :limit",
                now + cost,
                now,
                cost,
            )
            .await?;
        let CellVerdict::Exceeded { arrival } = fresh else {
            return Ok(fresh);
        };
        if arrival.0 > now + attempt.tolerance {
            return Ok(fresh);
        }
        self.update_cell(
            cell,
            "SET tat = tat + :cost, #ttl = :ttl",
            "tat <= :limit",
            arrival.0 + cost,
            now + attempt.tolerance,
            cost,
        )
        .await
    }

    /// Gives one request back.
    pub async fn refund_limit(&self, cell: &str, cost: i64) -> Result<(), StoreError> {
        self.retry(|| async move {
            let request = self
                .client
                .update_item()
                .table_name(&self.limits)
                .set_key(Some(Item::at(cell).build()))
                .update_expression("SET tat = tat - :cost")
                .condition_expression("attribute_exists(tat)")
                .expression_attribute_values(":cost", number(cost));
            match request.send().await {
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

    async fn update_cell(
        &self,
        cell: &str,
        update: &str,
        condition: &str,
        arrival: i64,
        limit: i64,
        cost: i64,
    ) -> Result<CellVerdict, StoreError> {
        let adds = update.contains(":cost");
        self.retry(|| async move {
            let request = self
                .client
                .update_item()
                .table_name(&self.limits)
                .set_key(Some(Item::at(cell).build()))
                .update_expression(update)
                .condition_expression(condition)
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":ttl", number(Timestamp(arrival + KEEP_MS).seconds()))
                .expression_attribute_values(":limit", number(limit))
                .expression_attribute_values(
                    if adds { ":cost" } else { ":tat" },
                    number(if adds { cost } else { arrival }),
                )
                .return_values_on_condition_check_failure(
                    aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
                );
            match request.send().await {
                Ok(_) => Ok(CellVerdict::Allowed),
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                        // A cell that TTL has just removed is empty.
                        let Some(item) = failed.item() else {
                            return Ok(CellVerdict::Allowed);
                        };
                        let row = Row::new(item.clone());
                        row.time("tat")
                            .map(|arrival| CellVerdict::Exceeded { arrival })
                            .map_err(Failure::Final)
                    }
                    _ => Err(Failure::<StoreError>::from(error)),
                },
            }
        })
        .await
    }
}
