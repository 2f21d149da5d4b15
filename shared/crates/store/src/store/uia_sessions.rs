//! Rows of UIA sessions. What they hold is sealed by `uia`; here they are bytes with a version.

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};

use super::{
    Store, StoreError,
    item::{Item, Row, number, put_over},
    keys::PK,
    retry::CallError,
};
use crate::clock::Timestamp;

/// How long the row of a finished session outlives it, so that it is still known as such. One that
/// was abandoned, with a password in its seal, goes as soon as it has expired.
const KEEP_MS: i64 = 72 * 60 * 60 * 1000;

/// A UIA session's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The hash of the session string.
    pub key: String,
    /// Counts the writes: each is made on top of the version it read.
    pub version: i64,
    /// When the session expires.
    pub expires: Timestamp,
    /// Whether its operation has been done.
    pub finished: bool,
    /// Everything else, sealed.
    pub sealed: Vec<u8>,
}

/// The row that finishes a session, for the operation's own transaction.
#[derive(Debug, Clone)]
pub struct SessionCommit {
    /// The row to be written on top of the version before its own.
    pub row: SessionRow,
}

/// Why a session was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveSessionError {
    /// Somebody else saved it in between.
    #[error("the UIA session has moved on")]
    Moved,
    /// The write failed.
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
    /// The session with this key. One call, strongly consistent.
    pub async fn find_uia_session(&self, key: &str) -> Result<Option<SessionRow>, StoreError> {
        let row = self.get(&self.uia_sessions, Item::at(key)).await?;
        row.as_ref().map(SessionRow::read).transpose()
    }

    /// Saves a session on top of the version before its own (a new one has version 1). The nonce
    /// lets a write recognise itself whose answer was lost.
    pub async fn save_uia_session(&self, row: &SessionRow) -> Result<(), SaveSessionError> {
        let nonce = &self.rng.base64::<12>();
        self.retry(|| async move {
            let call = self
                .client
                .put_item()
                .table_name(&self.uia_sessions)
                .set_item(Some(row.item(nonce).build()))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            let call = if row.version == 1 {
                call.condition_expression("attribute_not_exists(pk)")
            } else {
                call.condition_expression("version = :before")
                    .expression_attribute_values(":before", number(row.version - 1))
            };
            match call.send().await {
                Ok(_) => Ok(()),
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                        let found = failed.item().cloned().map(Row::new);
                        let own = found
                            .is_some_and(|row| row.text("nonce").is_ok_and(|found| found == nonce));
                        if own {
                            Ok(())
                        } else {
                            Err(CallError::Final(SaveSessionError::Moved))
                        }
                    }
                    _ => Err(CallError::from(error)),
                },
            }
        })
        .await
    }

    pub(super) fn commit_session(&self, commit: &SessionCommit) -> TransactWriteItem {
        let item = commit.row.item(&self.rng.base64::<12>());
        put_over(&self.uia_sessions, item, commit.row.version - 1)
    }
}
