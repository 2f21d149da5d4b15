//! Reading rows by key: one, or several at once.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::{
    Store, StoreError,
    item::{Item, Map, Row},
    retry::Failure,
};

/// How often unprocessed keys are asked for again.
const UNPROCESSED_TRIES: u32 = 6;

impl Store {
    /// Reads one row by key, strongly consistent.
    pub(super) async fn get(&self, table: &str, key: Item) -> Result<Option<Row>, StoreError> {
        let key = &key.build();
        let answer = self
            .retry(|| async move {
                let call = self
                    .client
                    .get_item()
                    .table_name(table)
                    .set_key(Some(key.clone()))
                    .consistent_read(true);
                call.send().await.map_err(Failure::<StoreError>::from)
            })
            .await?;
        Ok(answer.item.map(Row::new))
    }

    /// Reads rows of any tables by key, until every key is answered (an unprocessed key is not an
    /// absent row).
    pub(super) async fn batch_get(
        &self,
        request: HashMap<String, Vec<Map>>,
    ) -> Result<HashMap<String, Vec<Map>>, StoreError> {
        let mut open: HashMap<String, KeysAndAttributes> = HashMap::new();
        for (table, keys) in request {
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build();
            open.insert(
                table,
                wanted.map_err(|_| StoreError::Refused("a read without keys".to_owned()))?,
            );
        }
        let mut found: HashMap<String, Vec<Map>> = HashMap::new();
        let mut attempt = 0;
        while !open.is_empty() {
            let request = &open;
            let answer = self
                .retry(|| async move {
                    let call = self
                        .client
                        .batch_get_item()
                        .set_request_items(Some(request.clone()));
                    call.send().await.map_err(Failure::<StoreError>::from)
                })
                .await?;
            for (table, rows) in answer.responses.unwrap_or_default() {
                found.entry(table).or_default().extend(rows);
            }
            open = answer.unprocessed_keys.unwrap_or_default();
            if !open.is_empty() {
                attempt += 1;
                if attempt > UNPROCESSED_TRIES {
                    return Err(StoreError::Contended);
                }
                self.wait(attempt).await;
            }
        }
        Ok(found)
    }
}
