//! The registered clients of the OAuth 2.0 API.

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row},
        keys,
    },
};
use crate::clock::Timestamp;

/// The row of a registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// The accepted metadata as JSON.
    pub metadata: String,
    /// The time at which the registration expires. `None` after its first use.
    pub expires: Option<Timestamp>,
}

impl ClientRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            metadata: row.text("metadata")?.to_owned(),
            expires: row.time_if("expires")?,
        })
    }

    /// The error of a row whose metadata is not readable.
    pub fn corrupt(&self) -> StoreError {
        StoreError::Corrupt {
            key: keys::CLIENTS.to_owned(),
            what: "metadata",
        }
    }
}

impl Store {
    /// Reads a registered client. One strongly consistent `GetItem` call.
    pub async fn find_client(&self, id: &str) -> Result<Option<ClientRow>, StoreError> {
        let key = Item::at(keys::oauth_client(id));
        let row = self.get(&self.oauth, key).await?;
        row.map(|row| ClientRow::read(&row)).transpose()
    }
}
