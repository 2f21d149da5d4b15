//! The polls of device codes, and their exchange.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};

use super::{
    DeviceCodeRow, Store, StoreError,
    device_codes::{APPROVED, EXCHANGED, PENDING},
    dynamodb::{
        item::{Item, Row, number, text},
        keys,
        transaction::transact_update,
        write::ConditionalWrite,
    },
};
use crate::{clock::Timestamp, secrets::TokenHash};

/// The result of a poll.
#[derive(Debug)]
pub enum PollOutcome {
    /// The code is pending, and the poll is not too early. The time of the next poll is written.
    Pending,
    /// Nothing is written. Contains the row, if there is one.
    Refused(Option<Box<DeviceCodeRow>>),
}

impl Store {
    /// Polls a device code. One `UpdateItem` call on the condition that the code belongs to the client and is pending, and
    /// that the time of the next poll is at `latest` at the latest. A poll whose response was lost is not a second poll.
    pub async fn poll_device_code(
        &self,
        hash: &TokenHash,
        client: &str,
        (now, latest): (Timestamp, Timestamp),
    ) -> Result<PollOutcome, StoreError> {
        let nonce = self.rng.base64::<12>();
        let request = self
            .update_device_code(hash)
            .update_expression("SET next_poll = :now + #interval, nonce = :nonce")
            .condition_expression(
                "#state = :pending AND #client = :client AND expires > :now AND next_poll <= :latest",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#client", "client")
            .expression_attribute_names("#interval", "interval")
            .expression_attribute_values(":pending", text(PENDING))
            .expression_attribute_values(":client", text(client))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":latest", number(latest.0))
            .expression_attribute_values(":nonce", text(&nonce))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let written = self.update_item(request).await?;
        let is_own = written.is_written_as("nonce", &nonce);
        Ok(match written {
            ConditionalWrite::Written(_) => PollOutcome::Pending,
            ConditionalWrite::ConditionFailed(_) if is_own => PollOutcome::Pending,
            ConditionalWrite::ConditionFailed(item) => {
                let row = item.map(|item| DeviceCodeRow::read(hash, &Row::new(item)));
                PollOutcome::Refused(row.transpose()?.map(Box::new))
            }
        })
    }

    /// Makes the time between two polls of a pending code longer. One `UpdateItem` call on the condition that the row has
    /// the interval that was read, so that concurrent polls count as one.
    pub async fn slow_down_device_code(
        &self,
        row: &DeviceCodeRow,
        interval: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let request = self
            .update_device_code(&row.hash)
            .update_expression("SET #interval = :interval, next_poll = :next")
            .condition_expression("#state = :pending AND #interval = :read")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#interval", "interval")
            .expression_attribute_values(":pending", text(PENDING))
            .expression_attribute_values(":read", number(row.interval))
            .expression_attribute_values(":interval", number(interval))
            .expression_attribute_values(":next", number(now.0 + interval));
        self.update_item(request).await?;
        Ok(())
    }

    /// The write of an exchanged device code, on the condition that it is approved and has not expired.
    pub(super) fn exchange_device_code(
        &self,
        row: &DeviceCodeRow,
        session: &TokenHash,
        (now, repeat_until): (Timestamp, Timestamp),
    ) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::device_code(&row.hash)).build()))
            .update_expression(
                "SET #state = :exchanged, oauth_session = :session, repeat_until = :until",
            )
            .condition_expression("#state = :approved AND expires > :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":approved", text(APPROVED))
            .expression_attribute_values(":exchanged", text(EXCHANGED))
            .expression_attribute_values(":session", text(&session.0))
            .expression_attribute_values(":until", number(repeat_until.0))
            .expression_attribute_values(":now", number(now.0));
        transact_update(update)
    }

    /// The `UpdateItem` call of [`reopen`](Self::reopen).
    pub(super) async fn reopen_device_code(
        &self,
        row: &DeviceCodeRow,
        session: &TokenHash,
    ) -> Result<(), StoreError> {
        let request = self
            .update_device_code(&row.hash)
            .update_expression("SET #state = :approved REMOVE oauth_session, repeat_until")
            .condition_expression("oauth_session = :session")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":approved", text(APPROVED))
            .expression_attribute_values(":session", text(&session.0));
        self.update_item(request).await?;
        Ok(())
    }
}
