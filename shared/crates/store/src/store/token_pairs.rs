//! Token refresh: the current pair of tokens of a device, and the next one (REFR-03).
//!
//! The next pair is stored beside the current one until the client uses one of its tokens. Each
//! step is one `UpdateItem` call on the device row, on the condition that the row has certain
//! tokens.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::ReturnValuesOnConditionCheckFailure,
};

use super::{
    Store, StoreError,
    devices::{DeviceRow, NEXT, NextPair, PREVIOUS},
    dynamodb::{
        expression::UpdateExpression,
        item::{Item, Row, blob, number, text},
        keys,
        write::ConditionalWrite,
    },
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    secrets::TokenHash,
};

/// The place of a new pair of tokens in the device row.
#[derive(Debug, Clone, Copy)]
pub enum PairSlot<'a> {
    /// After the current pair. There is no next pair yet.
    AfterCurrent,
    /// After this pair, which was the next pair and becomes the current pair.
    After(&'a NextPair),
    /// Replaces this next pair, which expired before the client used it.
    InsteadOf(&'a NextPair),
}

/// The result of a refresh.
#[derive(Debug)]
pub enum RefreshOutcome {
    /// The next pair is written.
    Written,
    /// Nothing is written, because the row had changed since it was read. Contains the row, if it still exists.
    Conflict(Option<Box<DeviceRow>>),
}

impl NextPair {
    /// Makes this pair the current one. If there is a time, the refresh token that was exchanged for this pair gets the
    /// same response until then.
    fn become_current(
        &self,
        mut update: UpdateExpression,
        previous_until: Option<Timestamp>,
    ) -> UpdateExpression {
        if let Some(until) = previous_until {
            update = update
                .copy(PREVIOUS[0], "refresh_hash")
                .copy(PREVIOUS[1], NEXT[3])
                .set(PREVIOUS[2], number(until.0));
        }
        update
            .set("access_hash", text(&self.access_hash.0))
            .set_or_remove(
                "access_expires",
                self.access_expires.map(|time| number(time.0)),
            )
            .set("refresh_hash", text(&self.refresh_hash.0))
    }
}

impl Store {
    /// Writes the pair that follows the pair with the refresh token `refresh`. One `UpdateItem` call on the
    /// condition that the row has the tokens that `slot` requires; returns [`RefreshOutcome::Conflict`] otherwise.
    /// `previous_until` has the meaning that it has in [`promote_next_pair`](Self::promote_next_pair).
    pub async fn save_next_pair(
        &self,
        user: &Localpart,
        device: &DeviceId,
        refresh: &TokenHash,
        slot: PairSlot<'_>,
        next: &NextPair,
        previous_until: Option<Timestamp>,
    ) -> Result<RefreshOutcome, StoreError> {
        let mut update = UpdateExpression::default();
        let (condition, replaced) = match slot {
            PairSlot::AfterCurrent => (
                "refresh_hash = :refresh AND attribute_not_exists(next_refresh_hash)",
                None,
            ),
            PairSlot::After(pair) => {
                update = pair.become_current(update, previous_until);
                ("next_refresh_hash = :refresh", None)
            }
            PairSlot::InsteadOf(pair) => (
                "refresh_hash = :refresh AND next_refresh_hash = :replaced",
                Some(pair),
            ),
        };
        let update = update
            .set(NEXT[0], text(&next.access_hash.0))
            .set_or_remove(NEXT[1], next.access_expires.map(|time| number(time.0)))
            .set(NEXT[2], text(&next.refresh_hash.0))
            .set(NEXT[3], blob(next.answer.clone()));
        let mut request = self
            .update_device(user, device, update)
            .condition_expression(condition)
            .expression_attribute_values(":refresh", text(&refresh.0));
        if let Some(pair) = replaced {
            request = request.expression_attribute_values(":replaced", text(&pair.refresh_hash.0));
        }
        match self.update_item(request).await? {
            ConditionalWrite::Written(_) => Ok(RefreshOutcome::Written),
            ConditionalWrite::ConditionFailed(item) => {
                let row = item.map(|item| DeviceRow::read(&Row::new(item)));
                Ok(RefreshOutcome::Conflict(row.transpose()?.map(Box::new)))
            }
        }
    }

    /// Makes the next pair the current one, which invalidates the tokens before it. One
    /// `UpdateItem` call on the condition that `next` is the next pair. Returns `false` if `next` is neither the
    /// next pair nor the current pair. Until `previous_until`, the refresh token that was exchanged for `next` gets the
    /// same response; `None` if it gets none.
    pub async fn promote_next_pair(
        &self,
        user: &Localpart,
        device: &DeviceId,
        next: &NextPair,
        previous_until: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let mut update = next.become_current(UpdateExpression::default(), previous_until);
        for attribute in NEXT {
            update = update.remove(attribute);
        }
        let request = self
            .update_device(user, device, update)
            // `:access_hash` is the value that the update sets.
            .condition_expression("next_access_hash = :access_hash");
        let promoted = self.update_item(request).await?;
        // Another request may have promoted the pair, or an earlier attempt of this call if its response was lost.
        Ok(promoted.is_written_as("access_hash", &next.access_hash.0))
    }

    /// An `UpdateItem` call on a device row. If the condition fails, the response contains the stored item.
    pub(super) fn update_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        update: UpdateExpression,
    ) -> UpdateItemFluentBuilder {
        let key = Item::under(keys::user(user), keys::device(device));
        let values = Some(&update.values).filter(|values| !values.is_empty());
        self.client
            .update_item()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression(update.expression())
            .set_expression_attribute_values(values.cloned())
            .set_expression_attribute_names(Some(update.names))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}
