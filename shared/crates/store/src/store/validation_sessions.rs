//! Rows of validation sessions.
//!
//! Every write is conditional on the version, or on the session nonce and the state, so that concurrent writes have the
//! same result as consecutive ones. The session nonce is stored in the attribute `generation`; the attribute `nonce`
//! holds the nonce of the last write.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number, text},
        keys::{self, PK},
        transaction::{put, put_version, transact_update},
        write::{ConditionalWrite, has_text},
    },
};
use crate::{
    clock::Timestamp,
    outbox::NewMessage,
    threepid::{Medium, ThreePid},
    validation_session::{LIFETIME, ValidatedThreePid, ValidationPurpose, ValidationState},
};

/// The time for which a row is kept after its session has expired. Until then a spent session is recognised.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;

/// A validation session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationRow {
    /// The session ID.
    pub sid: String,
    /// The number of writes. The write of each request for a message is conditional on it.
    pub version: i64,
    /// The operation that the 3PID is validated for.
    pub purpose: ValidationPurpose,
    /// The 3PID.
    pub threepid: ThreePid,
    /// A random text, new each time the session is started. Link tokens and codes are derived from it.
    pub session_nonce: String,
    /// The state.
    pub state: ValidationState,
    /// The highest `send_attempt` (3PID-20).
    pub send_attempt: i64,
    /// The number of messages enqueued under this nonce.
    pub sends: i64,
    /// The number of the first message whose code is still valid.
    pub first_valid_send: i64,
    /// The number of wrong guesses at the codes from `first_valid_send` on.
    pub wrong_guesses: i64,
    /// The time at which the session started, under this nonce.
    pub started_at: Timestamp,
    /// The time at which the session expires (3PID-49).
    pub expires: Timestamp,
    /// The time of the validation.
    pub validated_at: Option<Timestamp>,
    /// The sealed URL to which the browser is redirected after the validation.
    pub next_link: Option<Vec<u8>>,
    /// Whether `deliver` has found that the 3PID must not be validated for the purpose. If so, no token
    /// validates the session. The next request for a message resets this, and the delivery of that message checks
    /// again.
    pub suppressed: bool,
    /// The time of the last request that enqueued a message.
    pub requested_at: Option<Timestamp>,
    /// The sealed client network of that request.
    pub network: Option<Vec<u8>>,
    /// Whether `deliver` has found that the owner of the 3PID has used that network. The next request for a message
    /// resets this.
    pub is_known_network: bool,
    /// The country of a phone number, which has its own quota.
    pub country: Option<String>,
}

/// The reason why a session was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveValidationError {
    /// A concurrent request has written the session since it was read.
    #[error("a concurrent request has changed the validation session")]
    Conflict,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ValidationRow {
    /// The validated 3PID, if the session is validated. It may have expired.
    pub fn validated_threepid(&self) -> Option<ValidatedThreePid> {
        let validated_at = self
            .validated_at
            .filter(|_| self.state == ValidationState::Validated)?;
        Some(ValidatedThreePid {
            sid: self.sid.clone(),
            session_nonce: self.session_nonce.clone(),
            threepid: self.threepid.clone(),
            started_at: self.started_at,
            validated_at,
            delegated: None,
        })
    }

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
            session_nonce: row.text("generation")?.to_owned(),
            state: ValidationState::parse(row.text("state")?)
                .ok_or_else(|| row.corrupt("state"))?,
            send_attempt: row.number("attempt")?,
            sends: row.number("sends")?,
            first_valid_send: row.number("live_from")?,
            wrong_guesses: row.number("wrong")?,
            started_at: row.time_if("begun")?.unwrap_or_default(),
            expires: row.time("expires")?,
            validated_at: row.time_if("validated")?,
            next_link: row.bytes_if("next_link")?.map(<[u8]>::to_owned),
            suppressed: row.number_if("withheld")?.is_some(),
            requested_at: row.time_if("requested")?,
            network: row.bytes_if("network")?.map(<[u8]>::to_owned),
            is_known_network: row.number_if("known")?.is_some(),
            country: row.text_if("country")?.map(str::to_owned),
        })
    }

    fn item(&self) -> Item {
        Item::at(&self.sid)
            .number("schema", 1)
            .number("version", self.version)
            .text("purpose", self.purpose.as_str())
            .text("medium", self.threepid.medium.as_str())
            .text("address", &self.threepid.address)
            .text("generation", &self.session_nonce)
            .text("state", self.state.as_str())
            .number("attempt", self.send_attempt)
            .number("sends", self.sends)
            .number("live_from", self.first_valid_send)
            .number("wrong", self.wrong_guesses)
            .number("begun", self.started_at.0)
            .number("expires", self.expires.0)
            .number("ttl", ttl(self.expires))
            .number_if("validated", self.validated_at.map(|time| time.0))
            .bytes_if("next_link", self.next_link.clone())
            .number_if("withheld", self.suppressed.then_some(1))
            .number_if("requested", self.requested_at.map(|time| time.0))
            .bytes_if("network", self.network.clone())
            .number_if("known", self.is_known_network.then_some(1))
            .text_if("country", self.country.as_deref())
    }
}

impl Store {
    /// The session with this ID. One `GetItem` call, strongly consistent.
    pub async fn find_validation(&self, sid: &str) -> Result<Option<ValidationRow>, StoreError> {
        let row = self.get(&self.validations, Item::at(sid)).await?;
        row.as_ref().map(ValidationRow::read).transpose()
    }

    /// Writes a session and, in the same transaction, its message into the outbox. The write is conditional on the
    /// previous version.
    pub async fn save_validation(
        &self,
        row: &ValidationRow,
        message: Option<&NewMessage>,
    ) -> Result<(), SaveValidationError> {
        let mut transaction = self.transaction();
        transaction
            .add(put_version(&self.validations, row.item(), row.version - 1))
            .or(SaveValidationError::Conflict);
        transaction.add_all(message.map(|message| self.enqueue(message)));
        transaction.commit().await
    }

    /// Counts a guess as wrong before comparing it, and returns the new row. Returns `None` if no more guesses are
    /// allowed, or if the session has ended or was started again since it was read.
    pub async fn count_wrong_guess(
        &self,
        row: &ValidationRow,
        max: i64,
    ) -> Result<Option<ValidationRow>, StoreError> {
        let nonce = self.rng.base64::<12>();
        let request = self
            .update_validation(
                row,
                "SET wrong = wrong + :one, nonce = :nonce ADD version :one",
            )
            .condition_expression(
                "generation = :generation AND #state IN (:pending, :validated) AND wrong < :most \
                     AND (attribute_not_exists(nonce) OR nonce <> :nonce)",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", text(ValidationState::Pending.as_str()))
            .expression_attribute_values(":validated", text(ValidationState::Validated.as_str()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":most", number(max))
            .expression_attribute_values(":nonce", text(&nonce))
            .return_values(ReturnValue::AllNew);
        let item = match self.update_item(request).await? {
            ConditionalWrite::Written(output) => output.attributes,
            // The item has this nonce if an earlier attempt of this call wrote it and the response was lost.
            ConditionalWrite::ConditionFailed(item) => {
                item.filter(|item| has_text(item, "nonce", &nonce))
            }
        };
        item.map(|item| ValidationRow::read(&Row::new(item)))
            .transpose()
    }

    /// Marks a session as validated until `expires`, and subtracts the `guesses` that were correct from
    /// `wrong_guesses`. Returns `false` if the session has ended or was started again since it was read.
    pub async fn mark_validated(
        &self,
        row: &ValidationRow,
        guesses: i64,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let nonce = self.rng.base64::<12>();
        // A repeated validation does not extend the session.
        let first = row.state == ValidationState::Pending;
        let (now, expires) = if first {
            (now, expires)
        } else {
            (row.validated_at.unwrap_or(now), row.expires)
        };
        let request = self
                .update_validation(
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
                .expression_attribute_values(":nonce", text(&nonce));
        let validated = self.update_item(request).await?;
        Ok(validated.is_written_as("nonce", &nonce))
    }

    /// Invalidates a session because the recipient of its message did not request it. Returns `false` if the
    /// session is spent or was started again since it was read.
    pub async fn invalidate_validation(&self, row: &ValidationRow) -> Result<bool, StoreError> {
        let request = self
            .update_validation(row, "SET #state = :invalidated ADD version :one")
            .condition_expression("generation = :generation AND #state <> :spent")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(
                ":invalidated",
                text(ValidationState::Invalidated.as_str()),
            )
            .expression_attribute_values(":spent", text(ValidationState::Spent.as_str()))
            .expression_attribute_values(":one", number(1));
        Ok(self.update_item(request).await?.is_written())
    }

    /// Marks a session so that no message sent for it so far can validate it (3PID-05). `deliver` does this if the
    /// 3PID must not be validated for the purpose. Does nothing if the session was started again.
    pub async fn suppress_validation(
        &self,
        sid: &str,
        session_nonce: &str,
    ) -> Result<(), StoreError> {
        self.flag_validation(sid, session_nonce, "SET withheld = :one")
            .await
    }

    /// Records that the owner of the 3PID has used the client network that requested the last message. Does nothing if
    /// the session was started again.
    pub async fn mark_known_requester(
        &self,
        sid: &str,
        session_nonce: &str,
    ) -> Result<(), StoreError> {
        self.flag_validation(sid, session_nonce, "SET known = :one")
            .await
    }

    async fn flag_validation(
        &self,
        sid: &str,
        session_nonce: &str,
        update: &str,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.validations)
            .set_key(Some(Item::at(sid).build()))
            .update_expression(update)
            .condition_expression("generation = :generation")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":generation", text(session_nonce));
        self.update_item(request).await?;
        Ok(())
    }

    /// Marks the session of a validated 3PID as spent, in the transaction of the operation that uses it (UIA-54). A
    /// session of an identity server has no rows yet, so this creates two rows that mark the session as spent: one for
    /// its ID, and one for its address and client secret.
    pub(super) fn spend_validation(
        &self,
        validated: &ValidatedThreePid,
        now: Timestamp,
    ) -> Vec<TransactWriteItem> {
        let Some(delegated) = &validated.delegated else {
            return vec![self.spend_own_validation(validated, now)];
        };
        let (id_server, secret) = (&delegated.id_server, &delegated.client_secret);
        let keys = [
            keys::delegated_validation(id_server, &validated.sid),
            keys::delegated_threepid(id_server, &validated.threepid, secret),
        ];
        let spent = keys.into_iter().map(|key| {
            let spent = Item::at(key)
                .number("schema", 1)
                .text("state", ValidationState::Spent.as_str())
                .number("spent", now.0)
                .number("ttl", ttl(now.plus(LIFETIME)));
            put(&self.validations, spent, Some("attribute_not_exists(pk)"))
        });
        spent.collect()
    }

    fn spend_own_validation(
        &self,
        validated: &ValidatedThreePid,
        now: Timestamp,
    ) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.validations)
            .set_key(Some(Item::at(&validated.sid).build()))
            .update_expression("SET #state = :spent, spent = :now ADD version :one")
            .condition_expression(
                "#state = :validated AND generation = :generation AND expires > :now",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":spent", text(ValidationState::Spent.as_str()))
            .expression_attribute_values(":validated", text(ValidationState::Validated.as_str()))
            .expression_attribute_values(":generation", text(&validated.session_nonce))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":one", number(1));
        transact_update(update)
    }

    fn update_validation(&self, row: &ValidationRow, expression: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.validations)
            .set_key(Some(Item::at(&row.sid).build()))
            .update_expression(expression)
            .expression_attribute_values(":generation", text(&row.session_nonce))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

fn ttl(expires: Timestamp) -> i64 {
    Timestamp(expires.0 + KEEP_MS).seconds()
}
