//! Cells of the rate limiter.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number, text},
        write::ConditionalWrite,
    },
};
use crate::{clock::Timestamp, limits::GcraUpdate};

/// How long after it has emptied a cell may be forgotten, in milliseconds.
const KEEP_MS: i64 = 60 * 60 * 1000;

/// What a cell says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitDecision {
    /// It may go on, and the cell has counted it.
    Allowed,
    /// It may not, and has not been counted.
    Exceeded {
        /// The cell's theoretical arrival time.
        arrival: Timestamp,
    },
}

/// One of the two ways to count a request.
struct Step {
    update: &'static str,
    condition: &'static str,
    /// What the update sets or adds.
    value: i64,
    /// What the cell may have reached at most.
    limit: i64,
    /// When the cell will be empty again.
    empty_at: i64,
}

impl Store {
    /// Spends one request of a cell: one call while the cell is empty, as it is for nearly
    /// everybody, else two. The second is bounded too, so that racing requests cannot overspend. A
    /// call whose answer was lost may count twice, which costs its client a moment.
    pub async fn spend_limit(
        &self,
        cell: &str,
        attempt: GcraUpdate,
    ) -> Result<LimitDecision, StoreError> {
        let (now, cost) = (attempt.now.0, attempt.cost);
        let begin = Step {
            update: "SET tat = :value, #ttl = :ttl",
            condition: "attribute_not_exists(tat) OR tat <= :limit",
            value: now + cost,
            limit: now,
            empty_at: now + cost,
        };
        let verdict = self.update_cell(cell, begin).await?;
        let LimitDecision::Exceeded { arrival } = verdict else {
            return Ok(verdict);
        };
        let limit = now + attempt.tolerance;
        if arrival.0 > limit {
            return Ok(verdict);
        }
        let add = Step {
            update: "SET tat = tat + :value, #ttl = :ttl",
            condition: "tat <= :limit",
            value: cost,
            limit,
            empty_at: arrival.0 + cost,
        };
        self.update_cell(cell, add).await
    }

    /// Gives one request back.
    pub async fn refund_limit(&self, cell: &str, cost: i64) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.limits)
            .set_key(Some(Item::at(cell).build()))
            .update_expression("SET tat = tat - :cost")
            .condition_expression("attribute_exists(tat)")
            .expression_attribute_values(":cost", number(cost));
        self.update_item(request).await?;
        Ok(())
    }

    /// Takes a cell that nobody holds, or says that `holder` has it already: however often one
    /// holder asks, it counts once, also if an answer was lost.
    pub async fn hold_limit(
        &self,
        cell: &str,
        attempt: GcraUpdate,
        holder: &str,
    ) -> Result<LimitDecision, StoreError> {
        let arrival = attempt.now.0 + attempt.cost;
        let ttl = Timestamp(arrival + KEEP_MS).seconds();
        let request = self
            .client
            .update_item()
            .table_name(&self.limits)
            .set_key(Some(Item::at(cell).build()))
            .update_expression("SET tat = :arrival, holder = :holder, #ttl = :ttl")
            .condition_expression("attribute_not_exists(tat) OR tat <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":arrival", number(arrival))
            .expression_attribute_values(":holder", text(holder))
            .expression_attribute_values(":ttl", number(ttl))
            .expression_attribute_values(":now", number(attempt.now.0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let written = self.update_item(request).await?;
        if written.is_written_as("holder", holder) {
            return Ok(LimitDecision::Allowed);
        }
        decision(written)
    }

    /// Remembers something until a time, under a key that says what.
    pub async fn remember_in_cell(&self, cell: &str, until: Timestamp) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.limits)
            .set_key(Some(Item::at(cell).build()))
            .update_expression("SET known_until = :until, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", number(until.0))
            .expression_attribute_values(":ttl", number(until.seconds()));
        self.update_item(request).await?;
        Ok(())
    }

    /// Until when that is remembered, if it is.
    pub async fn remembered_in_cell(&self, cell: &str) -> Result<Option<Timestamp>, StoreError> {
        let row = self.get(&self.limits, Item::at(cell)).await?;
        row.map_or(Ok(None), |row| row.time_if("known_until"))
    }

    async fn update_cell(&self, cell: &str, step: Step) -> Result<LimitDecision, StoreError> {
        let ttl = Timestamp(step.empty_at + KEEP_MS).seconds();
        let request = self
            .client
            .update_item()
            .table_name(&self.limits)
            .set_key(Some(Item::at(cell).build()))
            .update_expression(step.update)
            .condition_expression(step.condition)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", number(ttl))
            .expression_attribute_values(":limit", number(step.limit))
            .expression_attribute_values(":value", number(step.value))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        decision(self.update_item(request).await?)
    }
}

/// The decision that an update means. A missing bucket is empty: TTL has just deleted it.
fn decision<T>(update: ConditionalWrite<T>) -> Result<LimitDecision, StoreError> {
    match update {
        ConditionalWrite::Written(_) | ConditionalWrite::ConditionFailed(None) => {
            Ok(LimitDecision::Allowed)
        }
        ConditionalWrite::ConditionFailed(Some(item)) => {
            let arrival = Row::new(item).time("tat")?;
            Ok(LimitDecision::Exceeded { arrival })
        }
    }
}
