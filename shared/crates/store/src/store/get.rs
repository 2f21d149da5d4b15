//! Reading rows by key: one, several at once, or those under one partition.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;

use super::{
    Store, StoreError,
    item::{Item, Map, Row, text},
    retry::CallError,
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
                call.send().await.map_err(CallError::<StoreError>::from)
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
                    call.send().await.map_err(CallError::<StoreError>::from)
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

    /// Reads the rows of a partition of `accounts` whose sort keys begin with `prefix`, in their
    /// order: all of them, page by page, strongly consistent.
    pub(super) async fn rows_under(&self, pk: &str, prefix: &str) -> Result<Vec<Row>, StoreError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let (page, next) = self.page_under(pk, prefix, None, start).await?;
            rows.extend(page);
            start = next;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Reads a page of these rows, or of some attributes of them, from after the row `start`; and
    /// says where to go on if there are more.
    pub(super) async fn page_under(
        &self,
        pk: &str,
        prefix: &str,
        attributes: Option<&str>,
        start: Option<Map>,
    ) -> Result<(Vec<Row>, Option<Map>), StoreError> {
        let start = &start;
        let page = self
            .retry(|| async move {
                let call = self
                    .client
                    .query()
                    .table_name(&self.accounts)
                    .consistent_read(true)
                    .set_projection_expression(attributes.map(str::to_owned))
                    .expression_attribute_values(":pk", text(pk))
                    .set_exclusive_start_key(start.clone());
                // An empty text is no value of a key.
                let call = if prefix.is_empty() {
                    call.key_condition_expression("pk = :pk")
                } else {
                    call.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                        .expression_attribute_values(":prefix", text(prefix))
                };
                call.send().await.map_err(CallError::<StoreError>::from)
            })
            .await?;
        let rows = page.items.unwrap_or_default().into_iter().map(Row::new);
        Ok((rows.collect(), page.last_evaluated_key))
    }
}
