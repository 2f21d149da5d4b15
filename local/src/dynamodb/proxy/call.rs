//! A call of the proxy: its caller, operation, tables and cost.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use http::{HeaderMap, StatusCode};
use hyper::body::Bytes;
use serde_json::Value;

use crate::{
    iam::caller,
    template::{Permission, Template},
};

/// The number of calls that are kept.
const REMEMBERED: usize = 10_000;

/// A call that was answered.
#[derive(Debug, Clone)]
pub struct Call {
    /// The number of the call. The first call is 1.
    pub seq: u64,
    /// The time of its arrival.
    pub at: Instant,
    /// The access key id of its signature: the logical id of a function, `admin` …
    pub caller: String,
    /// The operation, for example `GetItem`.
    pub operation: String,
    /// The logical ids of its tables.
    pub tables: Vec<String>,
    /// The consumed read capacity units.
    pub read_units: f64,
    /// The consumed write capacity units.
    pub write_units: f64,
    /// The HTTP status of the response, even if the response was lost, or 502 if there was no response.
    pub status: u16,
    /// The duration of the call.
    pub duration: Duration,
}

/// The last calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    seq: u64,
    calls: VecDeque<Call>,
}

impl Calls {
    /// Adds a call with the next number.
    pub(crate) fn push(&mut self, mut call: Call) {
        self.seq += 1;
        call.seq = self.seq;
        if self.calls.len() == REMEMBERED {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// All calls, oldest first.
    pub(crate) fn all(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    /// Removes and returns the calls, oldest first.
    pub(crate) fn take(&mut self) -> Vec<Call> {
        self.calls.drain(..).collect()
    }
}

/// The parts of a request that the proxy needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operation {
    pub(crate) caller: String,
    pub(crate) name: String,
    pub(crate) tables: Vec<String>,
    pub(crate) needs: BTreeSet<Permission>,
    /// The body, if it is a JSON object.
    pub(crate) body: Option<Value>,
    pub(crate) raw: Bytes,
}

impl Operation {
    pub(super) fn read(
        headers: &HeaderMap,
        raw: &Bytes,
        template: &Template,
        prefix: &str,
    ) -> Self {
        let target = headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let name = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body: Option<Value> = serde_json::from_slice(raw).ok().filter(Value::is_object);
        let logical = |name: &str| {
            let suffix = name.strip_prefix(prefix);
            let table = template
                .tables
                .iter()
                .find(|table| Some(table.suffix.as_str()) == suffix);
            table.map_or_else(|| name.to_owned(), |table| table.id.clone())
        };
        let needs: BTreeSet<Permission> = body
            .as_ref()
            .map(|body| needs(&name, body, logical))
            .unwrap_or_default();
        let tables: BTreeSet<String> = needs
            .iter()
            .filter_map(|need| need.resource.split('/').next())
            .map(ToOwned::to_owned)
            .collect();
        Self {
            caller: caller(headers),
            name,
            tables: tables.into_iter().collect(),
            needs,
            body,
            raw: raw.clone(),
        }
    }

    /// The record of the call, after its response.
    pub(crate) fn call(&self, at: Instant, status: StatusCode, units: (f64, f64)) -> Call {
        Call {
            seq: 0,
            at,
            caller: self.caller.clone(),
            operation: self.name.clone(),
            tables: self.tables.clone(),
            read_units: units.0,
            write_units: units.1,
            status: status.as_u16(),
            duration: at.elapsed(),
        }
    }

    /// Whether the operation has the parameter `ReturnConsumedCapacity`.
    pub(super) fn counts_capacity(&self) -> bool {
        self.reads() || self.writes()
    }

    pub(super) fn reads(&self) -> bool {
        matches!(
            &*self.name,
            "BatchGetItem" | "GetItem" | "Query" | "Scan" | "TransactGetItems"
        )
    }

    pub(super) fn writes(&self) -> bool {
        matches!(
            &*self.name,
            "BatchWriteItem" | "DeleteItem" | "PutItem" | "TransactWriteItems" | "UpdateItem"
        )
    }
}

/// The permissions that an operation needs.
fn needs(operation: &str, body: &Value, logical: impl Fn(&str) -> String) -> BTreeSet<Permission> {
    let need = |action: &str, table: &Value| {
        let resource = logical(table.as_str().unwrap_or_default());
        Permission {
            action: action.to_owned(),
            resource,
        }
    };
    let members = |value: &'_ Value| -> Vec<(String, Value)> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    match operation {
        "TransactWriteItems" | "TransactGetItems" => body["TransactItems"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(members)
            .map(|(kind, item)| {
                // `Put` needs `PutItem`, and so on. Only the permission of a condition check has another name.
                let action = if kind == "ConditionCheck" {
                    "ConditionCheckItem".to_owned()
                } else {
                    kind + "Item"
                };
                need(&action, &item["TableName"])
            })
            .collect(),
        "BatchGetItem" | "BatchWriteItem" => members(&body["RequestItems"])
            .into_iter()
            .map(|(table, _)| need(operation, &Value::String(table)))
            .collect(),
        _ if body.get("TableName").is_some() => {
            let mut need = need(operation, &body["TableName"]);
            if let Some(index) = body["IndexName"].as_str() {
                need.resource = format!("{}/index/{index}", need.resource);
            }
            BTreeSet::from([need])
        }
        _ => BTreeSet::new(),
    }
}

/// The consumed read and write capacity units of a response. The response of a transaction distinguishes read units
/// from write units, because repeating a completed write transaction consumes read units.
pub(super) fn units(operation: &Operation, answer: Option<&Value>) -> (f64, f64) {
    let tables: &[Value] = match answer.and_then(|answer| answer.get("ConsumedCapacity")) {
        Some(Value::Array(tables)) => tables,
        Some(table) => std::slice::from_ref(table),
        None => &[],
    };
    let sum = |member: &str| {
        let units = tables.iter().filter_map(|table| table[member].as_f64());
        // `Iterator::sum` of no elements would be -0.0.
        units.fold(0.0, |sum, units| sum + units)
    };
    match (
        sum("ReadCapacityUnits"),
        sum("WriteCapacityUnits"),
        sum("CapacityUnits"),
    ) {
        (read, write, _) if read + write > 0.0 => (read, write),
        (_, _, total) if operation.writes() => (0.0, total),
        (_, _, total) => (total, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, body: &Value) -> Operation {
        let mut headers = HeaderMap::new();
        let target = format!("DynamoDB_20120810.{name}");
        headers.insert("x-amz-target", target.parse().expect("a header"));
        let signature = "AWS4-HMAC-SHA256 Credential=Register/20261121/eu-central-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert("authorization", signature.parse().expect("a header"));
        let template = Template::ours().expect("our own template parses");
        Operation::read(&headers, &Bytes::from(body.to_string()), &template, "test")
    }

    fn needed(operation: &Operation) -> Vec<(&str, &str)> {
        operation
            .needs
            .iter()
            .map(|need| (need.action.as_str(), need.resource.as_str()))
            .collect()
    }

    #[test]
    fn a_transaction_needs_the_permission_of_each_item() {
        let operation = read(
            "TransactWriteItems",
            &json!({ "TransactItems": [
                { "Put": { "TableName": "test-accounts" } },
                { "Update": { "TableName": "test-uia-sessions" } },
                { "ConditionCheck": { "TableName": "test-accounts" } },
            ]}),
        );
        assert_eq!(operation.caller, "Register");
        let needs = [
            ("ConditionCheckItem", "Accounts"),
            ("PutItem", "Accounts"),
            ("UpdateItem", "UiaSessions"),
        ];
        assert_eq!(needed(&operation), needs);
        assert_eq!(operation.tables, ["Accounts", "UiaSessions"]);
    }

    #[test]
    fn a_batch_needs_every_table_and_a_query_its_index() {
        let batch = read(
            "BatchGetItem",
            &json!({ "RequestItems": { "test-limits": {}, "elsewhere": {} } }),
        );
        assert_eq!(
            needed(&batch),
            [("BatchGetItem", "Limits"), ("BatchGetItem", "elsewhere")]
        );
        let query = read(
            "Query",
            &json!({ "TableName": "test-accounts", "IndexName": "due" }),
        );
        assert_eq!(needed(&query), [("Query", "Accounts/index/due")]);
        assert_eq!(query.tables, ["Accounts"]);
    }

    #[test]
    fn capacity_units_of_all_tables_are_added() {
        let operation = read("TransactWriteItems", &json!({}));
        let answer =
            json!({ "ConsumedCapacity": [{ "CapacityUnits": 4.0 }, { "CapacityUnits": 2.0 }] });
        assert_eq!(units(&operation, Some(&answer)), (0.0, 6.0));
        let repeat =
            json!({ "ConsumedCapacity": [{ "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0 }] });
        assert_eq!(units(&operation, Some(&repeat)), (2.0, 0.0));
        assert_eq!(units(&read("GetItem", &json!({})), None), (0.0, 0.0));
    }
}
