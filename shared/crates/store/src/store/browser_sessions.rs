//! The browser sessions of the pages.

use std::collections::HashMap;

use super::{
    ClientRow, Store, StoreError,
    dynamodb::{
        item::{Item, Row, number},
        keys::{self, PK},
    },
};
use crate::{clock::Timestamp, ids::Localpart, secrets::TokenHash};

/// The row of a browser session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSessionRow {
    /// The hash of the cookie.
    pub hash: TokenHash,
    /// The user.
    pub localpart: Localpart,
    /// The epoch of the account when the session began.
    pub epoch: i64,
    /// The time at which the user entered the password or signed up.
    pub authenticated: Timestamp,
    /// The time of the last recorded use.
    pub last_use: Timestamp,
    /// The time at which the session ends in any case.
    pub ends: Timestamp,
}

impl BrowserSessionRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let hash = row.text(PK)?.strip_prefix(keys::BROWSERS);
        let hash = hash.ok_or_else(|| row.corrupt(PK))?;
        let localpart = Localpart::stored(row.text("localpart")?);
        Ok(Self {
            hash: TokenHash(hash.to_owned()),
            localpart: localpart.ok_or_else(|| row.corrupt("localpart"))?,
            epoch: row.number("epoch")?,
            authenticated: row.time("authenticated")?,
            last_use: row.time("last_use")?,
            ends: row.time("ends")?,
        })
    }

    /// The item of a new session.
    pub(super) fn item(&self) -> Item {
        Item::at(keys::browser_session(&self.hash))
            .number("schema", 1)
            .text("localpart", self.localpart.as_str())
            .number("epoch", self.epoch)
            .number("authenticated", self.authenticated.0)
            .number("last_use", self.last_use.0)
            .number("ends", self.ends.0)
            .number("ttl", self.ends.seconds())
    }
}

impl Store {
    /// Reads a registered client and a browser session. One strongly consistent `BatchGetItem` call.
    pub async fn find_client_and_browser_session(
        &self,
        client: &str,
        session: Option<&TokenHash>,
    ) -> Result<(Option<ClientRow>, Option<BrowserSessionRow>), StoreError> {
        let mut keys = vec![Item::at(keys::oauth_client(client)).build()];
        keys.extend(session.map(|hash| Item::at(keys::browser_session(hash)).build()));
        let request = HashMap::from([(self.oauth.clone(), keys)]);
        let (mut client, mut session) = (None, None);
        let rows = self.batch_get(request).await?.into_values().flatten();
        for row in rows.map(Row::new) {
            if row.text(PK)?.starts_with(keys::BROWSERS) {
                session = Some(BrowserSessionRow::read(&row)?);
            } else {
                client = Some(ClientRow::read(&row)?);
            }
        }
        Ok((client, session))
    }

    /// Reads a browser session. One strongly consistent `GetItem` call.
    pub async fn find_browser_session(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<BrowserSessionRow>, StoreError> {
        let key = Item::at(keys::browser_session(hash));
        let row = self.get(&self.oauth, key).await?;
        row.map(|row| BrowserSessionRow::read(&row)).transpose()
    }

    /// Writes a new browser session. One `PutItem` call. The cookie is random, so there is no earlier row.
    pub async fn save_browser_session(&self, row: &BrowserSessionRow) -> Result<(), StoreError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.oauth)
            .set_item(Some(row.item().build()));
        self.put_item(request).await?;
        Ok(())
    }

    /// Records the time of the last use. One `UpdateItem` call on the condition that the session exists, so that a
    /// concurrent logout is not undone.
    pub async fn record_browser_use(
        &self,
        hash: &TokenHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::browser_session(hash)).build()))
            .update_expression("SET last_use = :now")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", number(now.0));
        self.update_item(request).await?;
        Ok(())
    }

    /// Deletes a browser session. One `DeleteItem` call. A missing row is not an error.
    pub async fn delete_browser_session(&self, hash: &TokenHash) -> Result<(), StoreError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::browser_session(hash)).build()));
        self.delete_item(request).await?;
        Ok(())
    }
}
