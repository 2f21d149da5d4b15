//! A device's tokens: the pair that is good, and the one that is to come after it (REFR-03).
//!
//! The next pair stands beside the current one until somebody uses it; each step is one update of
//! the device's row, conditional on the tokens that the row has.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::ReturnValuesOnConditionCheckFailure,
};

use super::{
    Store, StoreError,
    change::Change,
    devices::DeviceRow,
    item::{Item, Row, blob, number, text},
    keys,
    retry::{CallError, failed_condition, holds},
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    secrets::TokenHash,
};

/// The attributes of the next pair.
pub(super) const NEXT: [&str; 4] = [
    "next_access_hash",
    "next_access_expires",
    "next_refresh_hash",
    "next_answer",
];

/// A pair of tokens that nobody has used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextPair {
    /// The access token.
    pub access_hash: TokenHash,
    /// When that expires.
    pub access_expires: Option<Timestamp>,
    /// The refresh token.
    pub refresh_hash: TokenHash,
    /// Both as the client was told, sealed under the refresh token that they were given for.
    pub answer: Vec<u8>,
}

/// Where a pair takes its place.
#[derive(Debug, Clone, Copy)]
pub enum PairSlot<'a> {
    /// After the current one, which has none after it.
    AfterCurrent,
    /// After this: the next one until now, which is the current one from here on.
    After(&'a NextPair),
    /// Instead of this, the next one, whose time is over before anybody has used it.
    InsteadOf(&'a NextPair),
}

/// What became of an offer.
#[derive(Debug)]
pub enum RefreshOutcome {
    /// The next pair is written.
    Made,
    /// It is not, since the row was not as it had been read: it is this, if it is there at all.
    Moved(Option<DeviceRow>),
}

impl NextPair {
    pub(super) fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(access_hash) = row.text_if(NEXT[0])? else {
            return Ok(None);
        };
        Ok(Some(Self {
            access_hash: TokenHash(access_hash.to_owned()),
            access_expires: row.time_if(NEXT[1])?,
            refresh_hash: TokenHash(row.text(NEXT[2])?.to_owned()),
            answer: row.bytes(NEXT[3])?.to_vec(),
        }))
    }

    /// Whether its access token's time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.access_expires.is_some_and(|expires| expires <= now)
    }

    /// Makes it the current pair.
    fn become_current(&self, change: Change) -> Change {
        change
            .set("access_hash", text(&self.access_hash.0))
            .set_or_remove(
                "access_expires",
                self.access_expires.map(|time| number(time.0)),
            )
            .set("refresh_hash", text(&self.refresh_hash.0))
    }
}

impl Store {
    /// Writes the pair that is to come after the one whose refresh token is `mine`.
    pub async fn offer_tokens(
        &self,
        (user, device): (&Localpart, &DeviceId),
        mine: &TokenHash,
        place: PairSlot<'_>,
        next: &NextPair,
    ) -> Result<RefreshOutcome, StoreError> {
        let (change, condition, given) = match place {
            PairSlot::AfterCurrent => (
                Change::default(),
                "refresh_hash = :mine AND attribute_not_exists(next_refresh_hash)",
                None,
            ),
            PairSlot::After(pair) => (
                pair.become_current(Change::default()),
                "next_refresh_hash = :mine",
                None,
            ),
            PairSlot::InsteadOf(pair) => (
                Change::default(),
                "refresh_hash = :mine AND next_refresh_hash = :given",
                Some(text(&pair.refresh_hash.0)),
            ),
        };
        let given = given.as_ref();
        let change = &change
            .set(NEXT[0], text(&next.access_hash.0))
            .set_or_remove(NEXT[1], next.access_expires.map(|time| number(time.0)))
            .set(NEXT[2], text(&next.refresh_hash.0))
            .set(NEXT[3], blob(next.answer.clone()));
        self.retry(|| async move {
            let mut call = self
                .change_device(user, device, change)
                .condition_expression(condition)
                .expression_attribute_values(":mine", text(&mine.0));
            if let Some(given) = given {
                call = call.expression_attribute_values(":given", given.clone());
            }
            match call.send().await {
                Ok(_) => Ok(RefreshOutcome::Made),
                Err(error) => match failed_condition(&error) {
                    Some(item) => {
                        let row = item.map(|item| DeviceRow::read(&Row::new(item.clone())));
                        row.transpose()
                            .map(RefreshOutcome::Moved)
                            .map_err(CallError::Final)
                    }
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    /// Makes the next pair the current one, and so ends the one before it. `false` if it is neither
    /// any more.
    pub async fn promote_tokens(
        &self,
        user: &Localpart,
        device: &DeviceId,
        next: &NextPair,
    ) -> Result<bool, StoreError> {
        let change = next.become_current(Change::default());
        let change = &NEXT.iter().fold(change, |change, name| change.remove(name));
        self.retry(|| async move {
            let call = self
                .change_device(user, device, change)
                // The value that the change sets.
                .condition_expression("next_access_hash = :access_hash");
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) => match failed_condition(&error) {
                    // Somebody has done so already; we ourselves, if an answer was lost.
                    Some(item) => Ok(
                        item.is_some_and(|item| holds(item, "access_hash", &next.access_hash.0))
                    ),
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    pub(super) fn change_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        change: &Change,
    ) -> UpdateItemFluentBuilder {
        let key = Item::under(keys::user(user), keys::device(device));
        self.client
            .update_item()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression(change.expression())
            .set_expression_attribute_names(Some(change.names.clone()))
            .set_expression_attribute_values(
                (!change.values.is_empty()).then(|| change.values.clone()),
            )
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}
