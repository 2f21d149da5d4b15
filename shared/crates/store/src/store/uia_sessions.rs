//! UIA session rows. `uia` seals their content; the store handles only bytes and a version.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number},
        keys::PK,
        transaction::put_version,
    },
};
use crate::clock::Timestamp;

/// The time between the expiry of a finished session and the TTL of its row, in milliseconds. Until
/// then the session is recognised as finished. An abandoned session may contain a password, so its row is not kept
/// longer.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;

/// A UIA session row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The hash of the session string.
    pub key: String,
    /// The number of writes. Each write is conditional on the version that was read.
    pub version: i64,
    /// The time at which the session expires.
    pub expires: Timestamp,
    /// Whether its operation has been completed.
    pub finished: bool,
    /// The rest of the session, sealed.
    pub sealed: Vec<u8>,
}

/// The row of a finished session, for the final transaction of its operation.
#[derive(Debug, Clone)]
pub struct SessionCommit {
    /// The row, with the version after the stored one.
    pub row: SessionRow,
}

/// The reason why a session was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveSessionError {
    /// A concurrent request has saved the session.
    #[error("a concurrent request has changed the UIA session")]
    Conflict,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SessionRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            key: row.text(PK)?.to_owned(),
            version: row.number("version")?,
            expires: row.time("expires")?,
            finished: row.number_if("finished")?.is_some(),
            sealed: row.bytes("sealed")?.to_owned(),
        })
    }

    fn item(&self, nonce: &str) -> Item {
        let keep = if self.finished { KEEP_MS } else { 0 };
        Item::at(&self.key)
            .number("schema", 1)
            .number("version", self.version)
            .number("expires", self.expires.0)
            .number("ttl", Timestamp(self.expires.0 + keep).seconds())
            .number_if("finished", self.finished.then_some(1))
            .text("nonce", nonce)
            .bytes("sealed", self.sealed.clone())
    }
}

impl Store {
    /// Writes a session. One `PutItem` call on the condition that the stored version is `row.version - 1`, or that
    /// there is no row if `row.version` is 1; fails with [`SaveSessionError::Conflict`] otherwise. The nonce
    /// identifies this write if the response to an earlier attempt was lost.
    pub async fn save_uia_session(&self, row: &SessionRow) -> Result<(), SaveSessionError> {
        let nonce = self.rng.base64::<12>();
        let request = self
            .client
            .put_item()
            .table_name(&self.uia_sessions)
            .set_item(Some(row.item(&nonce).build()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = if row.version == 1 {
            request.condition_expression("attribute_not_exists(pk)")
        } else {
            request
                .condition_expression("version = :before")
                .expression_attribute_values(":before", number(row.version - 1))
        };
        if self.put_item(request).await?.is_written_as("nonce", &nonce) {
            Ok(())
        } else {
            Err(SaveSessionError::Conflict)
        }
    }

    /// The write of a finished session, for the final transaction of its operation. The condition is that the
    /// stored version is the version before it.
    pub(super) fn commit_session(&self, commit: &SessionCommit) -> TransactWriteItem {
        let item = commit.row.item(&self.rng.base64::<12>());
        put_version(&self.uia_sessions, item, commit.row.version - 1)
    }
}
