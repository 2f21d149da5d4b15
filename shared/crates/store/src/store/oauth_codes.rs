//! The authorization codes of the OAuth 2.0 API.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, text},
        keys,
        transaction::transact_update,
    },
};
use crate::{clock::Timestamp, secrets::TokenHash};

/// The time that the row of a code exists after its expiry, in milliseconds. A code that is used again in this time ends
/// the session of its first use.
const KEEP_MS: i64 = 24 * 60 * 60 * 1000;
const ISSUED: &str = "issued";
const EXCHANGED: &str = "exchanged";

/// The row of an authorization code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// The hash of the code.
    pub hash: TokenHash,
    /// The time at which the code expires.
    pub expires: Timestamp,
    /// The grant, sealed with the code.
    pub sealed: Vec<u8>,
    /// The hash of the ID of the session that the code was exchanged for.
    pub session: Option<TokenHash>,
}

impl Store {
    /// Writes the row of a code that is not exchanged. One `PutItem` call on the condition that the code was not
    /// exchanged before; returns `false` otherwise. An earlier row of the same code gets the new expiry.
    pub async fn issue_code(&self, row: &CodeRow) -> Result<bool, StoreError> {
        let item = Item::at(keys::authorization_code(&row.hash))
            .number("schema", 1)
            .text("state", ISSUED)
            .number("expires", row.expires.0)
            .number("ttl", Timestamp(row.expires.0 + KEEP_MS).seconds())
            .bytes("sealed", row.sealed.clone());
        let request = self
            .client
            .put_item()
            .table_name(&self.oauth)
            .set_item(Some(item.build()))
            .condition_expression("attribute_not_exists(pk) OR #state = :issued")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":issued", text(ISSUED));
        Ok(self.put_item(request).await?.is_written())
    }

    /// Reads a code. One strongly consistent `GetItem` call.
    pub async fn find_code(&self, hash: &TokenHash) -> Result<Option<CodeRow>, StoreError> {
        let key = Item::at(keys::authorization_code(hash));
        let row = self.get(&self.oauth, key).await?;
        row.map(|row| CodeRow::read(hash, &row)).transpose()
    }

    /// The write of an exchanged code, on the condition that it was not exchanged before.
    pub(super) fn exchange_code(&self, code: &CodeRow, session: &TokenHash) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::authorization_code(&code.hash)).build()))
            .update_expression("SET #state = :exchanged, oauth_session = :session")
            .condition_expression("#state = :issued")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":issued", text(ISSUED))
            .expression_attribute_values(":exchanged", text(EXCHANGED))
            .expression_attribute_values(":session", text(&session.0));
        transact_update(update)
    }

    /// The `UpdateItem` call of [`reopen`](Self::reopen).
    pub(super) async fn reopen_code(
        &self,
        code: &CodeRow,
        session: &TokenHash,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::authorization_code(&code.hash)).build()))
            .update_expression("SET #state = :issued REMOVE oauth_session")
            .condition_expression("oauth_session = :session")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":issued", text(ISSUED))
            .expression_attribute_values(":session", text(&session.0));
        self.update_item(request).await?;
        Ok(())
    }
}

impl CodeRow {
    fn read(hash: &TokenHash, row: &Row) -> Result<Self, StoreError> {
        let session = row.text_if("oauth_session")?;
        Ok(Self {
            hash: hash.clone(),
            expires: row.time("expires")?,
            sealed: row.bytes("sealed")?.to_owned(),
            session: session.map(|hash| TokenHash(hash.to_owned())),
        })
    }
}
