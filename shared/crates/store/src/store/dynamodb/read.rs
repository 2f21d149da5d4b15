//! Reads: one row (`GetItem`), rows by key (`BatchGetItem`) and the rows of a partition (`Query`),
//! all strongly consistent, and queries of an index.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{
        query::{QueryOutput, builders::QueryFluentBuilder},
        scan::{ScanOutput, builders::ScanFluentBuilder},
    },
    types::KeysAndAttributes,
};

use super::item::{Item, Map, Row, text};
use crate::{
    metrics::{self, Metric},
    store::{Store, StoreError},
};

/// The maximum number of repetitions for unprocessed keys.
const UNPROCESSED_RETRIES: u32 = 6;

impl Store {
    /// Reads one row by key.
    pub(in crate::store) async fn get(
        &self,
        table: &str,
        key: Item,
    ) -> Result<Option<Row>, StoreError> {
        let request = &self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(key.build()))
            .consistent_read(true);
        let answer = self
            .retry(|| async move { Ok(request.clone().send().await?) })
            .await?;
        Ok(answer.item.map(Row::new))
    }

    /// Reads rows of any tables by key, until DynamoDB has processed every key: an unprocessed key
    /// does not mean a missing row. Fails with [`StoreError::Contended`] after [`UNPROCESSED_RETRIES`] repetitions.
    pub(in crate::store) async fn batch_get(
        &self,
        keys: HashMap<String, Vec<Map>>,
    ) -> Result<HashMap<String, Vec<Map>>, StoreError> {
        let mut unprocessed: HashMap<String, KeysAndAttributes> = HashMap::new();
        for (table, keys) in keys {
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build();
            unprocessed.insert(
                table,
                keys.map_err(|_| StoreError::Refused("a read has no keys".to_owned()))?,
            );
        }
        let mut found: HashMap<String, Vec<Map>> = HashMap::new();
        let mut attempt = 0;
        while !unprocessed.is_empty() {
            let request = &self
                .client
                .batch_get_item()
                .set_request_items(Some(unprocessed));
            let answer = self
                .retry(|| async move { Ok(request.clone().send().await?) })
                .await?;
            for (table, rows) in answer.responses.unwrap_or_default() {
                found.entry(table).or_default().extend(rows);
            }
            unprocessed = answer.unprocessed_keys.unwrap_or_default();
            if !unprocessed.is_empty() {
                attempt += 1;
                if attempt > UNPROCESSED_RETRIES {
                    metrics::count(Metric::TableThrottles);
                    return Err(StoreError::Contended);
                }
                self.wait(attempt).await;
            }
        }
        Ok(found)
    }

    /// Reads all rows of a partition of `accounts` whose sort keys begin with `prefix`, in their
    /// order. One call for each page of one megabyte.
    pub(in crate::store) async fn rows_under(
        &self,
        pk: &str,
        prefix: &str,
    ) -> Result<Vec<Row>, StoreError> {
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

    /// Reads one page of the rows of [`rows_under`](Self::rows_under), from the row after `start` on, and returns
    /// the start of the next page if there is one. `attributes` is the projection expression; `None` means all.
    pub(in crate::store) async fn page_under(
        &self,
        pk: &str,
        prefix: &str,
        attributes: Option<&str>,
        start: Option<Map>,
    ) -> Result<(Vec<Row>, Option<Map>), StoreError> {
        let request = self
            .client
            .query()
            .table_name(&self.accounts)
            .consistent_read(true)
            .set_projection_expression(attributes.map(str::to_owned))
            .expression_attribute_values(":pk", text(pk))
            .set_exclusive_start_key(start);
        // DynamoDB rejects an empty string as the value of a key.
        let request = if prefix.is_empty() {
            request.key_condition_expression("pk = :pk")
        } else {
            request
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", text(prefix))
        };
        let page = self.query(request).await?;
        let rows = page.items.unwrap_or_default().into_iter().map(Row::new);
        Ok((rows.collect(), page.last_evaluated_key))
    }

    /// Reads one page of a table. Only the admin CLI may do this.
    pub(in crate::store) async fn scan(
        &self,
        request: ScanFluentBuilder,
    ) -> Result<ScanOutput, StoreError> {
        let request = &request;
        self.retry(|| async move { Ok(request.clone().send().await?) })
            .await
    }

    /// Calls `Query` and repeats the call while it is contended.
    pub(in crate::store) async fn query(
        &self,
        request: QueryFluentBuilder,
    ) -> Result<QueryOutput, StoreError> {
        let request = &request;
        self.retry(|| async move { Ok(request.clone().send().await?) })
            .await
    }
}
