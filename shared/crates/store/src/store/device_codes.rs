//! The device codes of the OAuth 2.0 API, and the user codes that lead to them.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{Put, ReturnValue, Update},
};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number, text},
        keys,
        transaction::{put, transact_put, transact_update},
        write::ConditionalWrite,
    },
};
use crate::{clock::Timestamp, ids::Localpart, secrets::TokenHash};

/// The time that the rows exist after the expiry of the codes, in milliseconds. In this time a client learns that its code
/// has expired.
const KEEP_MS: i64 = 60 * 60 * 1000;
pub(super) const PENDING: &str = "pending";
pub(super) const APPROVED: &str = "approved";
const DENIED: &str = "denied";
pub(super) const EXCHANGED: &str = "exchanged";

/// The row of a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCodeRow {
    /// The hash of the device code.
    pub hash: TokenHash,
    /// The ID of the client.
    pub client: String,
    /// The requested scope.
    pub scope: String,
    /// The sealed description of the device.
    pub requester: Vec<u8>,
    /// The time of the request.
    pub created: Timestamp,
    /// The time at which the code expires.
    pub expires: Timestamp,
    /// The time between two polls in milliseconds.
    pub interval: i64,
    /// The state.
    pub state: DeviceCodeState,
}

/// The state of a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCodeState {
    /// No user has decided yet.
    Pending,
    /// A user gave consent.
    Approved(Approval),
    /// A user refused.
    Denied,
    /// The client has exchanged the code.
    Exchanged {
        /// The user who gave consent.
        approval: Approval,
        /// The hash of the ID of the new session.
        session: TokenHash,
        /// The time until which the client gets its response again.
        repeat_until: Timestamp,
    },
}

/// The consent of a user to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The user.
    pub user: Localpart,
    /// The epoch of the account at that time.
    pub epoch: i64,
}

/// The decision of a user about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceDecision {
    /// The device gets access.
    Approve,
    /// The device gets no access.
    Deny,
}

/// The reason why a decision was not written.
#[derive(Debug, thiserror::Error)]
pub enum DecideDeviceError {
    /// The code has expired, or a decision was made before.
    #[error("the device code is no longer pending")]
    NotPending,
    /// The epoch of the account has changed since the login of the user, or the account is locked or deactivated.
    #[error("the account has changed since the login")]
    AccountChanged,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reason why a code was not written.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error("another device has the user code")]
    Taken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeviceCodeRow {
    pub(super) fn read(hash: &TokenHash, row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            hash: hash.clone(),
            client: row.text("client")?.to_owned(),
            scope: row.text("scope")?.to_owned(),
            requester: row.bytes("requester")?.to_owned(),
            created: row.time("created")?,
            expires: row.time("expires")?,
            interval: row.number("interval")?,
            state: DeviceCodeState::read(row)?,
        })
    }
}

impl DeviceCodeState {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let approval = || {
            let user = Localpart::stored(row.text("localpart")?);
            Ok::<_, StoreError>(Approval {
                user: user.ok_or_else(|| row.corrupt("localpart"))?,
                epoch: row.number("epoch")?,
            })
        };
        Ok(match row.text("state")? {
            PENDING => Self::Pending,
            APPROVED => Self::Approved(approval()?),
            DENIED => Self::Denied,
            EXCHANGED => Self::Exchanged {
                approval: approval()?,
                session: TokenHash(row.text("oauth_session")?.to_owned()),
                repeat_until: row.time("repeat_until")?,
            },
            _ => return Err(row.corrupt("state")),
        })
    }
}

impl Store {
    /// Writes the row of a pending device code, and the row that leads from the user code to it. One `TransactWriteItems`
    /// call on the condition that no other device has the user code. Returns `false` if the condition fails.
    pub async fn create_device_code(
        &self,
        row: &DeviceCodeRow,
        user_code: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let ttl = Timestamp(row.expires.0 + KEEP_MS).seconds();
        let device = Item::at(keys::device_code(&row.hash))
            .number("schema", 1)
            .text("state", PENDING)
            .text("client", &row.client)
            .text("scope", &row.scope)
            .bytes("requester", row.requester.clone())
            .number("created", row.created.0)
            .number("expires", row.expires.0)
            .number("interval", row.interval)
            .number("next_poll", now.0)
            .number("looked_up", 0)
            .number("ttl", ttl);
        let pointer = Item::at(keys::user_code(user_code))
            .number("schema", 1)
            .text("device_code", &row.hash.0)
            .number("expires", row.expires.0)
            .number("ttl", ttl);
        let pointer = Put::builder()
            .table_name(&self.oauth)
            .set_item(Some(pointer.build()))
            .condition_expression("attribute_not_exists(pk) OR expires <= :now")
            .expression_attribute_values(":now", number(now.0));
        let mut transaction = self.transaction();
        transaction
            .add(transact_put(pointer))
            .or(CreateError::Taken);
        // The device code is random, so there is no earlier row.
        transaction.add(put(&self.oauth, device, Some("attribute_not_exists(pk)")));
        match transaction.commit().await {
            Ok(()) => Ok(true),
            Err(CreateError::Taken) => Ok(false),
            Err(CreateError::Store(error)) => Err(error),
        }
    }

    /// The hash of the device code that a user code leads to. `user_code` contains the keyed hashes that may be stored for
    /// the code. One strongly consistent `BatchGetItem` call.
    pub async fn find_user_code(
        &self,
        user_code: &[String],
    ) -> Result<Option<TokenHash>, StoreError> {
        let keys = user_code.iter().map(|hash| keys::user_code(hash));
        let keys = keys.map(|key| Item::at(key).build()).collect();
        let rows = self.batch_get(HashMap::from([(self.oauth.clone(), keys)]));
        let rows = rows.await?.into_values().flatten().map(Row::new);
        let mut newest: Option<(Timestamp, TokenHash)> = None;
        for row in rows {
            let expires = row.time("expires")?;
            // After a change of the key, a code may have two rows.
            if newest.as_ref().is_none_or(|(other, _)| *other < expires) {
                newest = Some((expires, TokenHash(row.text("device_code")?.to_owned())));
            }
        }
        Ok(newest.map(|(_, hash)| hash))
    }

    /// Reads a device code. One strongly consistent `GetItem` call.
    pub async fn find_device_code(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<DeviceCodeRow>, StoreError> {
        let key = Item::at(keys::device_code(hash));
        let row = self.get(&self.oauth, key).await?;
        row.map(|row| DeviceCodeRow::read(hash, &row)).transpose()
    }

    /// Counts a look-up of a device code and returns its row. One `UpdateItem` call on the condition that the code is
    /// pending and was looked up less than `maximum` times. Returns `None` if the condition fails.
    pub async fn look_up_device_code(
        &self,
        hash: &TokenHash,
        now: Timestamp,
        maximum: i64,
    ) -> Result<Option<DeviceCodeRow>, StoreError> {
        let request = self
            .update_device_code(hash)
            .update_expression("SET looked_up = looked_up + :one")
            .condition_expression("#state = :pending AND expires > :now AND looked_up < :maximum")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", text(PENDING))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":maximum", number(maximum))
            .return_values(ReturnValue::AllNew);
        let row = match self.update_item(request).await? {
            ConditionalWrite::Written(output) => output.attributes,
            ConditionalWrite::ConditionFailed(_) => None,
        };
        let row = row.map(|row| DeviceCodeRow::read(hash, &Row::new(row)));
        row.transpose()
    }

    /// Writes the decision of a user. One `TransactWriteItems` call on the condition that the code is pending, and that the
    /// account still has the epoch of the login and is neither locked nor deactivated.
    pub async fn decide_device_code(
        &self,
        hash: &TokenHash,
        approval: &Approval,
        decision: DeviceDecision,
        now: Timestamp,
    ) -> Result<(), DecideDeviceError> {
        let (state, change) = match decision {
            DeviceDecision::Approve => (
                APPROVED,
                "SET #state = :state, localpart = :user, epoch = :epoch",
            ),
            DeviceDecision::Deny => (DENIED, "SET #state = :state"),
        };
        let mut update = Update::builder()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::device_code(hash)).build()))
            .update_expression(change)
            .condition_expression("#state = :pending AND expires > :now")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", text(PENDING))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":state", text(state));
        if decision == DeviceDecision::Approve {
            update = update
                .expression_attribute_values(":user", text(approval.user.as_str()))
                .expression_attribute_values(":epoch", number(approval.epoch));
        }
        let mut transaction = self.transaction();
        transaction
            .add(transact_update(update))
            .or(DecideDeviceError::NotPending);
        transaction
            .add(self.check_epoch(&keys::user(&approval.user), approval.epoch, "locked"))
            .or(DecideDeviceError::AccountChanged);
        transaction.commit().await
    }

    pub(super) fn update_device_code(&self, hash: &TokenHash) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::device_code(hash)).build()))
    }
}
