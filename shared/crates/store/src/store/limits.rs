//! Buckets of the rate limits: one item of the limits table each.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::ReturnValuesOnConditionCheckFailure,
};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number, text},
        write::ConditionalWrite,
    },
};
use crate::clock::Timestamp;

/// How long TTL keeps a bucket after the time at which it is certain to be empty, in milliseconds.
const KEEP_MS: i64 = 60 * 60 * 1000;

/// The numbers of one request, for the two conditional updates of the store.
#[derive(Debug, Clone, Copy)]
pub struct GcraUpdate {
    /// The current time.
    pub now: Timestamp,
    /// The cost of one request, in milliseconds.
    pub cost: i64,
    /// The maximum time by which the TAT may be ahead of `now` before this request, in milliseconds.
    pub tolerance: i64,
    /// The maximum time by which requests can move the TAT ahead of `now`, in milliseconds. It is larger than the
    /// tolerance and the cost if requests with a larger tolerance share the bucket.
    pub reach: i64,
}

impl GcraUpdate {
    /// The highest TAT that requests can reach.
    const fn highest(self) -> Timestamp {
        Timestamp(self.now.0 + self.reach)
    }
}

/// Whether a request is within a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitDecision {
    /// The request is allowed and has been counted.
    Allowed,
    /// The request is rejected and has not been counted.
    Exceeded {
        /// The bucket's theoretical arrival time (TAT).
        arrival: Timestamp,
    },
}

/// A conditional update of a bucket.
struct BucketUpdate {
    update: &'static str,
    condition: &'static str,
    /// The number that the update sets or adds.
    value: i64,
    /// The TAT of the condition: the highest at which the request is allowed, or the one that was read.
    limit: i64,
    /// A time at which the bucket is certain to be empty, in milliseconds. TTL keeps the bucket until then.
    empty_at: i64,
}

impl Store {
    /// Counts one request. An empty bucket, which is the usual case, takes one `UpdateItem`; any other bucket takes
    /// two. The second update also has a condition, so that concurrent requests cannot exceed the limit. A call
    /// whose response was lost may be counted twice: the client then waits one interval longer.
    pub async fn consume_limit(
        &self,
        bucket: &str,
        gcra: GcraUpdate,
    ) -> Result<LimitDecision, StoreError> {
        let decision = self.begin_bucket(bucket, gcra).await?;
        let LimitDecision::Exceeded { arrival } = decision else {
            return Ok(decision);
        };
        let highest = gcra.highest();
        if arrival > highest {
            return self.cap_bucket(bucket, arrival, highest).await;
        }
        if arrival.0 > gcra.now.0 + gcra.tolerance {
            return Ok(decision);
        }
        self.add_to_bucket(bucket, gcra).await
    }

    /// Like [`consume_limit`](Self::consume_limit), for a bucket whose TAT has just been read. Makes one `UpdateItem`
    /// call, whether the bucket is empty, in use or exhausted, so that the duration does not disclose the state of the
    /// bucket. A second call follows only if a concurrent request has changed the bucket since.
    pub async fn consume_read_limit(
        &self,
        bucket: &str,
        gcra: GcraUpdate,
        read: Option<Timestamp>,
    ) -> Result<LimitDecision, StoreError> {
        match read {
            Some(arrival) if gcra.now < arrival && arrival <= gcra.highest() => {
                self.add_to_bucket(bucket, gcra).await
            }
            _ => self.consume_limit(bucket, gcra).await,
        }
    }

    /// Counts the first request of an empty bucket.
    async fn begin_bucket(
        &self,
        bucket: &str,
        gcra: GcraUpdate,
    ) -> Result<LimitDecision, StoreError> {
        let empty_at = gcra.now.0 + gcra.cost;
        let begin = BucketUpdate {
            update: "SET tat = :value, #ttl = :ttl",
            condition: "attribute_not_exists(tat) OR tat <= :limit",
            value: empty_at,
            limit: gcra.now.0,
            empty_at,
        };
        self.update_bucket(bucket, begin).await
    }

    /// Counts one more request of a bucket that is in use.
    async fn add_to_bucket(
        &self,
        bucket: &str,
        gcra: GcraUpdate,
    ) -> Result<LimitDecision, StoreError> {
        let add = BucketUpdate {
            update: "SET tat = tat + :value, #ttl = :ttl",
            condition: "tat <= :limit",
            value: gcra.cost,
            limit: gcra.now.0 + gcra.tolerance,
            // The condition bounds the TAT that this update writes, whatever concurrent requests have added since the
            // bucket was read. A TTL computed from the TAT that was read could end before the bucket is empty.
            empty_at: gcra.highest().0,
        };
        self.update_bucket(bucket, add).await
    }

    /// Lowers a TAT that is higher than requests can make it to the highest possible TAT. A server whose clock was
    /// ahead of time has written it. Without this call, the client would be locked out until that time.
    async fn cap_bucket(
        &self,
        bucket: &str,
        seen: Timestamp,
        highest: Timestamp,
    ) -> Result<LimitDecision, StoreError> {
        let cap = BucketUpdate {
            update: "SET tat = :value, #ttl = :ttl",
            condition: "tat = :limit",
            value: highest.0,
            limit: seen.0,
            empty_at: highest.0,
        };
        self.update_bucket(bucket, cap).await?;
        Ok(LimitDecision::Exceeded { arrival: highest })
    }

    /// Refunds one request. The TTL does not change: the bucket is empty earlier than it was before. The nonce keeps a
    /// repetition after a lost response from refunding twice.
    pub async fn refund_limit(&self, bucket: &str, cost: i64) -> Result<(), StoreError> {
        let request = self
            .bucket(bucket)
            .update_expression("SET tat = tat - :cost, refund = :refund")
            .condition_expression("attribute_exists(tat) AND NOT refund = :refund")
            .expression_attribute_values(":cost", number(cost))
            .expression_attribute_values(":refund", text(self.rng.base64::<12>()));
        self.update_item(request).await?;
        Ok(())
    }

    /// Acquires an empty bucket for `holder`. A repeated call for the same holder is allowed and is not counted
    /// again, so a lost response has no effect.
    pub async fn acquire_limit(
        &self,
        bucket: &str,
        gcra: GcraUpdate,
        holder: &str,
    ) -> Result<LimitDecision, StoreError> {
        let arrival = gcra.now.0 + gcra.cost;
        let ttl = Timestamp(arrival + KEEP_MS).seconds();
        let request = self
            .bucket(bucket)
            .update_expression("SET tat = :arrival, holder = :holder, #ttl = :ttl")
            .condition_expression("attribute_not_exists(tat) OR tat <= :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":arrival", number(arrival))
            .expression_attribute_values(":holder", text(holder))
            .expression_attribute_values(":ttl", number(ttl))
            .expression_attribute_values(":now", number(gcra.now.0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let written = self.update_item(request).await?;
        if written.is_written_as("holder", holder) {
            return Ok(LimitDecision::Allowed);
        }
        match decision(written)? {
            LimitDecision::Exceeded { arrival: seen } if seen.0 > arrival => {
                self.cap_bucket(bucket, seen, Timestamp(arrival)).await
            }
            other => Ok(other),
        }
    }

    /// Marks the network that a bucket belongs to as known until a time.
    pub async fn mark_known_until(&self, bucket: &str, until: Timestamp) -> Result<(), StoreError> {
        let request = self
            .bucket(bucket)
            .update_expression("SET known_until = :until, #ttl = :ttl")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":until", number(until.0))
            .expression_attribute_values(":ttl", number(until.seconds()));
        self.update_item(request).await?;
        Ok(())
    }

    /// The time until which the network of a bucket is known, if it was marked.
    pub async fn known_until(&self, bucket: &str) -> Result<Option<Timestamp>, StoreError> {
        let row = self.get(&self.limits, Item::at(bucket)).await?;
        row.map_or(Ok(None), |row| row.time_if("known_until"))
    }

    /// An `UpdateItem` on a bucket.
    fn bucket(&self, bucket: &str) -> UpdateItemFluentBuilder {
        let request = self.client.update_item().table_name(&self.limits);
        request.set_key(Some(Item::at(bucket).build()))
    }

    async fn update_bucket(
        &self,
        bucket: &str,
        update: BucketUpdate,
    ) -> Result<LimitDecision, StoreError> {
        let ttl = Timestamp(update.empty_at + KEEP_MS).seconds();
        let request = self
            .bucket(bucket)
            .update_expression(update.update)
            .condition_expression(update.condition)
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":ttl", number(ttl))
            .expression_attribute_values(":limit", number(update.limit))
            .expression_attribute_values(":value", number(update.value))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        decision(self.update_item(request).await?)
    }
}

/// The decision from the result of an update. A missing bucket is empty: TTL has just deleted it.
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
