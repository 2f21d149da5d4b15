//! The stream of a table: the changes of its rows, in order, each exactly once.

use std::fmt;

use anyhow::{Context, Result};
use dynoxide::Database;
use serde_json::{Value, json};

use super::{EmbeddedDynamoDb, engine_error};

/// A reader of a table's stream. It starts with the changes after its creation.
///
/// The engine never trims a stream, so a reader must not start at the beginning.
#[derive(Clone)]
pub struct Stream {
    engine: Database,
    iterator: Value,
    /// The table's name.
    table: String,
    label: String,
}

impl EmbeddedDynamoDb {
    /// A reader of the stream of a table, by its logical id.
    pub fn stream(&self, id: &str) -> Result<Stream> {
        let table = self.template.tables.iter().find(|table| table.id == id);
        let table = table.with_context(|| format!("there is no table {id}"))?;
        let name = self.table_name(table);
        let described = json!({ "TableName": name });
        let described = self
            .engine
            .describe_table(serde_json::from_value(described)?)
            .map_err(engine_error)?;
        let described = serde_json::to_value(described)?;
        let arn = &described["Table"]["LatestStreamArn"];
        let stream = json!({ "StreamArn": arn });
        let stream = self
            .engine
            .describe_stream(serde_json::from_value(stream).context("the table has no stream")?)
            .map_err(engine_error)?;
        let stream = serde_json::to_value(stream)?;
        let request = json!({
            "StreamArn": arn,
            // The engine has one shard for each table.
            "ShardId": stream["StreamDescription"]["Shards"][0]["ShardId"],
            "ShardIteratorType": "LATEST",
        });
        let answer = self
            .engine
            .get_shard_iterator(serde_json::from_value(request)?)
            .map_err(engine_error)?;
        Ok(Stream {
            engine: self.engine.clone(),
            iterator: serde_json::to_value(answer)?["ShardIterator"].take(),
            label: stream["StreamDescription"]["StreamLabel"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            table: name,
        })
    }
}

impl Stream {
    /// The next records, up to a thousand, or none if there was no change. This call blocks.
    pub fn read(&mut self) -> Result<Vec<Value>> {
        let request = json!({ "ShardIterator": self.iterator });
        let answer = self
            .engine
            .get_records(serde_json::from_value(request)?)
            .map_err(engine_error)?;
        let mut answer = serde_json::to_value(answer)?;
        self.iterator = answer["NextShardIterator"].take();
        Ok(match answer["Records"].take() {
            Value::Array(records) => records,
            _ => Vec::new(),
        })
    }

    /// The end of the stream's ARN: `table/…/stream/…`.
    pub fn resource(&self) -> String {
        format!("table/{}/stream/{}", self.table, self.label)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stream")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
