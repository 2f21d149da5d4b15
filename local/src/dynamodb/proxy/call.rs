//! One call as the tap sees it: who calls, what for, on which tables, and what it cost.

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

/// How many calls are remembered.
const REMEMBERED: usize = 10_000;

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When it arrived.
    pub at: Instant,
    /// The access key id it was signed with: a function's logical id, `admin` …
    pub caller: String,
    /// The operation, for example `GetItem`.
    pub operation: String,
    /// The logical ids of the tables it names.
    pub tables: Vec<String>,
    /// Read capacity units consumed.
    pub read_units: f64,
    /// Write capacity units consumed.
    pub write_units: f64,
    /// The HTTP status of the answer, of one that was lost too; 502 if there was none.
    pub status: u16,
    /// How long it took.
    pub duration: Duration,
}

/// The last calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    seq: u64,
    calls: VecDeque<Call>,
}

impl Calls {
    /// Adds one, and gives it its number.
    pub(crate) fn push(&mut self, mut call: Call) {
        self.seq += 1;
        call.seq = self.seq;
        if self.calls.len() == REMEMBERED {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    /// Those since the last time they were taken.
    pub(crate) fn take(&mut self) -> Vec<Call> {
        self.calls.drain(..).collect()
    }
}

/// A request, understood as far as the tap needs to.
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

    /// The call it was, now that it is answered.
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

    /// Whether the operation takes `ReturnConsumedCapacity`.
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

/// What an operation needs to be allowed.
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
                // `Put` needs PutItem, and so on; only the condition check's name is not so regular.
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

/// The read and the write capacity units an answer says were consumed. A transaction says which they are:
/// the repeat of one that is done reads.
pub(super) fn units(operation: &Operation, answer: Option<&Value>) -> (f64, f64) {
    let tables: &[Value] = match answer.and_then(|answer| answer.get("ConsumedCapacity")) {
        Some(Value::Array(tables)) => tables,
        Some(table) => std::slice::from_ref(table),
        None => &[],
    };
    let sum = |member: &str| {
        let units = tables.iter().filter_map(|table| table[member].as_f64());
        // Not `sum`, whose zero is a negative one.
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
        Operation::read(&headers, &Bytes::from(body.to_string()), &template, "house")
    }

    fn needed(operation: &Operation) -> Vec<(&str, &str)> {
        operation
            .needs
            .iter()
            .map(|need| (need.action.as_str(), need.resource.as_str()))
            .collect()
    }

    #[test]
    fn a_transaction_needs_what_each_item_needs() {
        let operation = read(
            "TransactWriteItems",
            &json!({ "TransactItems": [
                { "Put": { "TableName": "house-accounts" } },
                { "Update": { "TableName": "house-uia-sessions" } },
                { "ConditionCheck": { "TableName": "house-accounts" } },
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
    fn a_batch_needs_its_action_on_every_table_and_a_query_its_index() {
        let batch = read(
            "BatchGetItem",
            &json!({ "RequestItems": { "house-limits": {}, "elsewhere": {} } }),
        );
        assert_eq!(
            needed(&batch),
            [("BatchGetItem", "Limits"), ("BatchGetItem", "elsewhere")]
        );
        let query = read(
            "Query",
            &json!({ "TableName": "house-accounts", "IndexName": "due" }),
        );
        assert_eq!(needed(&query), [("Query", "Accounts/index/due")]);
        assert_eq!(query.tables, ["Accounts"]);
    }

    #[test]
    fn capacity_is_summed_over_the_tables_of_an_answer() {
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
