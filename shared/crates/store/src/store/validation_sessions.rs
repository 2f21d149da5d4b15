//! Rows of validation sessions: from a request for a message to a proof that is spent.
//!
//! Every write is made on top of a version, or on a generation and a state, so that two of
//! anything that race leave what one after the other would have left.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};

use super::{
    Store, StoreError,
    item::{Item, Map, Row, number, put, put_over, text, updating},
    keys::{self, PK},
    retry::{CallError, condition_failed, failed_condition, holds},
};
use crate::{
    clock::Timestamp,
    outbox::NewMessage,
    threepid::{Medium, ThreePid},
    validation_session::{LIFETIME, ValidatedThreePid, ValidationPurpose, ValidationState},
};

/// How long a row outlives its session, so that a spent proof stays known as such.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;

/// A validation session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationRow {
    /// The session's id.
    pub sid: String,
    /// Counts the writes that are made on top of one another.
    pub version: i64,
    /// What the proof is for.
    pub purpose: ValidationPurpose,
    /// What it is about.
    pub threepid: ThreePid,
    /// Random, new each time the session begins anew: links and codes are derived from it.
    pub generation: String,
    /// How far it is.
    pub state: ValidationState,
    /// The highest `send_attempt` (3PID-20).
    pub attempt: i64,
    /// How many messages have been called for.
    pub sends: i64,
    /// The first message whose code still counts.
    pub live_from: i64,
    /// Wrong guesses at the codes from `live_from` on.
    pub wrong: i64,
    /// When the generation began.
    pub begun: Timestamp,
    /// When it ends (3PID-49).
    pub expires: Timestamp,
    /// When the address was validated.
    pub validated: Option<Timestamp>,
    /// Where the browser goes then, sealed.
    pub next_link: Option<Vec<u8>>,
    /// Whether `deliver` has found the address on an account: nothing validates the session, unless
    /// another message is called for, whose delivery looks again.
    pub withheld: bool,
}

/// Why a session was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveValidationError {
    /// Somebody else wrote it in between.
    #[error("the validation session has moved on")]
    Moved,
    /// The write failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ValidationRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let medium = Medium::parse(row.text("medium")?).ok_or_else(|| row.corrupt("medium"))?;
        Ok(Self {
            sid: row.text(PK)?.to_owned(),
            version: row.number("version")?,
            purpose: ValidationPurpose::parse(row.text("purpose")?)
                .ok_or_else(|| row.corrupt("purpose"))?,
            threepid: ThreePid {
                medium,
                address: row.text("address")?.to_owned(),
            },
            generation: row.text("generation")?.to_owned(),
            state: ValidationState::parse(row.text("state")?)
                .ok_or_else(|| row.corrupt("state"))?,
            attempt: row.number("attempt")?,
            sends: row.number("sends")?,
            live_from: row.number("live_from")?,
            wrong: row.number("wrong")?,
            begun: row.time_if("begun")?.unwrap_or_default(),
            expires: row.time("expires")?,
            validated: row.time_if("validated")?,
            next_link: row.bytes_if("next_link")?.map(<[u8]>::to_owned),
            withheld: row.number_if("withheld")?.is_some(),
        })
    }

    fn item(&self) -> Item {
        Item::at(&self.sid)
            .number("schema", 1)
            .number("version", self.version)
            .text("purpose", self.purpose.as_str())
            .text("medium", self.threepid.medium.as_str())
            .text("address", &self.threepid.address)
            .text("generation", &self.generation)
            .text("state", self.state.as_str())
            .number("attempt", self.attempt)
            .number("sends", self.sends)
            .number("live_from", self.live_from)
            .number("wrong", self.wrong)
            .number("begun", self.begun.0)
            .number("expires", self.expires.0)
            .number("ttl", ttl(self.expires))
            .number_if("validated", self.validated.map(|time| time.0))
            .bytes_if("next_link", self.next_link.clone())
            .number_if("withheld", self.withheld.then_some(1))
    }
}

impl Store {
    /// The session with this id. One call, strongly consistent.
    pub async fn find_proof(&self, sid: &str) -> Result<Option<ValidationRow>, StoreError> {
        let row = self.get(&self.proofs, Item::at(sid)).await?;
        row.as_ref().map(ValidationRow::read).transpose()
    }

    /// Writes a session on top of the version before its own, and the message that it calls for, if
    /// it does, into the outbox: both or neither.
    pub async fn save_proof(
        &self,
        row: &ValidationRow,
        message: Option<&NewMessage>,
    ) -> Result<(), SaveValidationError> {
        let mut items = vec![put_over(&self.proofs, row.item(), row.version - 1)];
        items.extend(message.map(|message| self.enqueue(message)));
        self.transact(items, |reasons| {
            condition_failed(reasons, 0).then_some(SaveValidationError::Moved)
        })
        .await
    }

    /// Counts a guess before it is compared; `None` if no more guesses are allowed or the session
    /// is not as it was read. Gives the row as it is now.
    pub async fn count_guess(
        &self,
        row: &ValidationRow,
        most: i64,
    ) -> Result<Option<ValidationRow>, StoreError> {
        let nonce = self.rng.base64::<12>();
        let (row, nonce) = (row, &nonce);
        self.retry(|| async move {
            let call = self
                .update_proof(row, "SET wrong = wrong + :one, nonce = :nonce ADD version :one")
                .condition_expression(
                    "generation = :generation AND #state IN (:pending, :validated) AND wrong < :most \
                     AND (attribute_not_exists(nonce) OR nonce <> :nonce)",
                )
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":pending", text(ValidationState::Pending.as_str()))
                .expression_attribute_values(":validated", text(ValidationState::Validated.as_str()))
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":most", number(most))
                .expression_attribute_values(":nonce", text(nonce))
                .return_values(ReturnValue::AllNew);
            match call.send().await {
                Ok(answer) => read_back(answer.attributes),
                // Ours after all, if an answer was lost.
                Err(error) => match failed_condition(&error) {
                    Some(item) => read_back(item.filter(|item| holds(item, "nonce", nonce)).cloned()),
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    /// Marks a session validated until `expires`, and forgets `guesses` counted ones that were
    /// right. `false` if it is neither pending nor validated in this generation any more.
    pub async fn validate_proof(
        &self,
        row: &ValidationRow,
        guesses: i64,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let nonce = self.rng.base64::<12>();
        let nonce = &nonce;
        // Validated again, it ends when it would have ended anyway.
        let first = row.state == ValidationState::Pending;
        let (now, expires) = if first {
            (now, expires)
        } else {
            (row.validated.unwrap_or(now), row.expires)
        };
        self.retry(|| async move {
            let call = self
                .update_proof(
                    row,
                    "SET #state = :validated, validated = :now, expires = :expires, #ttl = :ttl, \
                     wrong = wrong - :guesses, nonce = :nonce ADD version :one",
                )
                .condition_expression(
                    "generation = :generation AND #state IN (:pending, :validated) AND wrong >= :guesses AND (attribute_not_exists(nonce) OR nonce <> :nonce)",
                )
                .expression_attribute_names("#state", "state")
                .expression_attribute_names("#ttl", "ttl")
                .expression_attribute_values(":pending", text(ValidationState::Pending.as_str()))
                .expression_attribute_values(":validated", text(ValidationState::Validated.as_str()))
                .expression_attribute_values(":now", number(now.0))
                .expression_attribute_values(":expires", number(expires.0))
                .expression_attribute_values(":ttl", number(ttl(expires)))
                .expression_attribute_values(":guesses", number(guesses))
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":nonce", text(nonce));
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) => match failed_condition(&error) {
                    Some(item) => Ok(item.is_some_and(|item| holds(item, "nonce", nonce))),
                    None => Err(CallError::<StoreError>::from(error)),
                },
            }
        })
        .await
    }

    /// Ends a session for good: its owner says that it was somebody else's doing.
    pub async fn burn_proof(&self, row: &ValidationRow) -> Result<bool, StoreError> {
        self.retry(|| async move {
            let call = self
                .update_proof(row, "SET #state = :burned ADD version :one")
                .condition_expression("generation = :generation AND #state <> :spent")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":burned", text(ValidationState::Burned.as_str()))
                .expression_attribute_values(":spent", text(ValidationState::Spent.as_str()))
                .expression_attribute_values(":one", number(1));
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) if failed_condition(&error).is_some() => Ok(false),
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }

    /// Keeps a session from being validated by what it has called for so far (3PID-05): `deliver` has
    /// found the address on an account. Does nothing if the generation has passed.
    pub async fn withhold_proof(&self, sid: &str, generation: &str) -> Result<(), StoreError> {
        self.retry(|| async move {
            let call = self
                .client
                .update_item()
                .table_name(&self.proofs)
                .set_key(Some(Item::at(sid).build()))
                .update_expression("SET withheld = :one")
                .condition_expression("generation = :generation")
                .expression_attribute_values(":one", number(1))
                .expression_attribute_values(":generation", text(generation));
            match call.send().await {
                Ok(_) => Ok(()),
                Err(error) if failed_condition(&error).is_some() => Ok(()),
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }

    /// Spends a proof, in the transaction of what it is for (UIA-54). One of an identity server has no
    /// row here until then: that there is one is that it has been spent.
    pub(super) fn spend_proof(
        &self,
        proven: &ValidatedThreePid,
        now: Timestamp,
    ) -> TransactWriteItem {
        if let Some(elsewhere) = &proven.elsewhere {
            let spent = Item::at(keys::proof_elsewhere(&elsewhere.id_server, &proven.sid))
                .number("schema", 1)
                .text("state", ValidationState::Spent.as_str())
                .number("spent", now.0)
                .number("ttl", ttl(now.plus(LIFETIME)));
            return put(&self.proofs, spent, Some("attribute_not_exists(pk)"));
        }
        let update = Update::builder()
            .table_name(&self.proofs)
            .set_key(Some(Item::at(&proven.sid).build()))
            .update_expression("SET #state = :spent, spent = :now ADD version :one")
            .condition_expression(
                "#state = :validated AND generation = :generation AND expires > :now",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":spent", text(ValidationState::Spent.as_str()))
            .expression_attribute_values(":validated", text(ValidationState::Validated.as_str()))
            .expression_attribute_values(":generation", text(&proven.generation))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":one", number(1));
        updating(update)
    }

    fn update_proof(&self, row: &ValidationRow, expression: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.proofs)
            .set_key(Some(Item::at(&row.sid).build()))
            .update_expression(expression)
            .expression_attribute_values(":generation", text(&row.generation))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

fn ttl(expires: Timestamp) -> i64 {
    Timestamp(expires.0 + KEEP_MS).seconds()
}

fn read_back(item: Option<Map>) -> Result<Option<ValidationRow>, CallError<StoreError>> {
    let row = item.map(|item| ValidationRow::read(&Row::new(item)));
    row.transpose().map_err(CallError::Final)
}
