//! The registered clients of the OAuth 2.0 API.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number},
        keys::{self, PK},
    },
};
use crate::clock::Timestamp;

/// The row of a registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// The accepted metadata as JSON.
    pub metadata: String,
    /// The time of the registration.
    pub created: Timestamp,
    /// The time at which the registration expires. `None` after its first use.
    pub expires: Option<Timestamp>,
}

impl ClientRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            metadata: row.text("metadata")?.to_owned(),
            created: row.time("created")?,
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

    /// Reads at most 100 registered clients, by ID. One strongly consistent `BatchGetItem` call, or none for no ID.
    pub async fn find_clients(
        &self,
        ids: &[&str],
    ) -> Result<BTreeMap<String, ClientRow>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keys = ids
            .iter()
            .map(|id| Item::at(keys::oauth_client(id)).build());
        let request = HashMap::from([(self.oauth.clone(), keys.collect())]);
        let rows = self.batch_get(request).await?.into_values().flatten();
        let read = |row: Row| {
            let id = row.text(PK)?.strip_prefix(keys::CLIENTS);
            let id = id.ok_or_else(|| row.corrupt(PK))?.to_owned();
            Ok((id, ClientRow::read(&row)?))
        };
        rows.map(Row::new).map(read).collect()
    }

    /// Writes a new client. One `PutItem` call on the condition that there is no client with this ID, or an unused one that
    /// has expired and that TTL has not deleted yet. Returns `false` if the condition fails.
    pub async fn create_client(
        &self,
        id: &str,
        client: &ClientRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let item = Item::at(keys::oauth_client(id))
            .number("schema", 1)
            .text("metadata", &client.metadata)
            .number("created", client.created.0)
            .number_if("expires", client.expires.map(|expires| expires.0))
            .number_if("ttl", client.expires.map(Timestamp::seconds));
        let request = self
            .client
            .put_item()
            .table_name(&self.oauth)
            .set_item(Some(item.build()))
            .condition_expression("attribute_not_exists(pk) OR expires <= :now")
            .expression_attribute_values(":now", number(now.0));
        Ok(self.put_item(request).await?.is_written())
    }
}
