//! Fault injection: the faults that the proxy can inject, and the choice of the calls.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Operation;

/// A kind of fault. Each kind applies only to the operations that can have it on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Another transaction is in progress for an item. This kind applies to writes and to all transactions.
    Conflict,
    /// The throughput of the table, or the sending rate, is exceeded.
    Throttle,
    /// A transaction is cancelled because its first item is throttled.
    ThrottledItem,
    /// All items of a batch are returned as unprocessed.
    Unprocessed,
    /// The second half of a batch, for each table, is returned as unprocessed. A single item is unprocessed.
    HalfUnprocessed,
    /// The call is delayed.
    Delay(Duration),
    /// The connection closes before the call is executed.
    ConnectionReset,
    /// The call is executed, and the connection closes without a response.
    LostAnswer,
    /// The service returns an internal error, and the call is not executed.
    InternalError,
    /// SES or SNS rejects the message because of its content.
    Rejected,
}

impl FaultKind {
    fn fits(self, operation: &Operation) -> bool {
        let batch = matches!(&*operation.name, "BatchGetItem" | "BatchWriteItem");
        let transaction = operation.name.starts_with("Transact");
        match self {
            Self::Conflict => transaction || (operation.writes() && !batch),
            Self::ThrottledItem => transaction,
            Self::Unprocessed | Self::HalfUnprocessed => batch,
            Self::Rejected => matches!(&*operation.name, "SendEmail" | "Publish"),
            _ => true,
        }
    }
}

/// A fault and the calls that it is injected into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The operation of the calls. `None` matches any operation.
    pub operation: Option<String>,
    /// The caller. `None` matches any caller.
    pub caller: Option<String>,
    /// The logical id of a table that the calls name. `None` matches any table.
    pub table: Option<String>,
    /// The number of the first matching call that has the fault. The next matching call is 1.
    pub nth: u64,
    /// The number of consecutive matching calls that have the fault.
    pub times: u64,
    /// The kind of fault.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of this kind for the next call that the kind applies to.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            operation: None,
            caller: None,
            table: None,
            nth: 1,
            times: 1,
            kind,
        }
    }

    /// Limits the fault to calls of `operation`.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// Limits the fault to calls of `caller`.
    #[must_use]
    pub fn by(mut self, caller: &str) -> Self {
        self.caller = Some(caller.to_owned());
        self
    }

    /// Limits the fault to calls that name `table`.
    #[must_use]
    pub fn at(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }

    /// Injects the fault into the `nth` matching call. The next matching call is 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth.max(1);
        self
    }

    /// Injects the fault into `times` consecutive matching calls.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    fn matches(&self, operation: &Operation) -> bool {
        self.kind.fits(operation)
            && self
                .operation
                .as_ref()
                .is_none_or(|name| *name == operation.name)
            && self
                .caller
                .as_ref()
                .is_none_or(|caller| *caller == operation.caller)
            && self
                .table
                .as_ref()
                .is_none_or(|table| operation.tables.contains(table))
    }
}

/// The faults to inject.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    /// Each fault with the number of calls that it has matched.
    faults: Vec<(Fault, u64)>,
    random: Option<RandomFaults>,
}

#[derive(Debug)]
struct RandomFaults {
    state: u64,
    per_mille: u16,
    kinds: Vec<FaultKind>,
}

/// The proxy's action on a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FaultAction {
    None,
    Delay(Duration),
    Answer(StatusCode, Value),
    /// Forward `request`, and add the other items to the response under the given name.
    Partial {
        request: Value,
        unprocessed: (&'static str, Value),
    },
    ConnectionReset,
    LostAnswer,
}

impl FaultPlan {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.faults.push((fault, 0));
    }

    pub(crate) fn pending(&self) -> usize {
        self.faults.len()
    }

    pub(crate) fn random_faults(&mut self, seed: u64, per_mille: u16, kinds: &[FaultKind]) {
        self.random = Some(RandomFaults {
            state: seed,
            per_mille,
            kinds: kinds.to_vec(),
        });
    }

    /// The action on this call.
    pub(super) fn next(&mut self, operation: &Operation, is_function: bool) -> FaultAction {
        let kind = self.next_fault(operation, is_function);
        kind.map_or(FaultAction::None, |kind| action(kind, operation))
    }

    /// The fault of this call. Every matching fault counts the call, and the first fault that is due is injected.
    pub(crate) fn next_fault(
        &mut self,
        operation: &Operation,
        is_function: bool,
    ) -> Option<FaultKind> {
        let mut kind = None;
        self.faults.retain_mut(|(fault, seen)| {
            if !fault.matches(operation) {
                return true;
            }
            *seen += 1;
            let is_due = *seen >= fault.nth && kind.is_none();
            if is_due {
                kind = Some(fault.kind);
            }
            *seen < fault.nth.saturating_add(fault.times).saturating_sub(1)
        });
        kind.or_else(|| {
            self.random
                .as_mut()
                .filter(|_| is_function)?
                .draw(operation)
        })
    }
}

impl RandomFaults {
    fn draw(&mut self, operation: &Operation) -> Option<FaultKind> {
        let hit = self.random() % 1000 < u64::from(self.per_mille);
        let choice = self.random();
        let fitting: Vec<FaultKind> = self
            .kinds
            .iter()
            .copied()
            .filter(|kind| kind.fits(operation))
            .collect();
        let count = u64::try_from(fitting.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(choice.checked_rem(count)?).ok()?;
        fitting.get(index).copied().filter(|_| hit)
    }

    /// `SplitMix64`.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn action(kind: FaultKind, operation: &Operation) -> FaultAction {
    let rejected =
        |error, message| FaultAction::Answer(StatusCode::BAD_REQUEST, error_body(error, message));
    match kind {
        FaultKind::Conflict if operation.name.starts_with("Transact") => transaction_cancelled(
            operation,
            "TransactionConflict",
            "Transaction is ongoing for the item",
        ),
        FaultKind::Conflict => rejected(
            "TransactionConflictException",
            "Transaction is ongoing for the item",
        ),
        FaultKind::ThrottledItem => transaction_cancelled(
            operation,
            "ThrottlingError",
            "Throughput exceeds the current capacity of your table or index",
        ),
        FaultKind::Throttle => rejected(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded",
        ),
        FaultKind::Unprocessed => partial(operation, |_| 0),
        FaultKind::HalfUnprocessed => partial(operation, |count| count / 2),
        FaultKind::Delay(time) => FaultAction::Delay(time),
        // This kind applies to no operation of `DynamoDB`.
        FaultKind::Rejected => FaultAction::None,
        FaultKind::ConnectionReset => FaultAction::ConnectionReset,
        FaultKind::LostAnswer => FaultAction::LostAnswer,
        FaultKind::InternalError => {
            let body = error_body(
                "InternalServerError",
                "The request processing has failed because of an unknown error",
            );
            FaultAction::Answer(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}

/// The error of a cancelled transaction. The first item has the given reason, and the others have none.
fn transaction_cancelled(operation: &Operation, code: &str, message: &str) -> FaultAction {
    let items = operation
        .body
        .as_ref()
        .and_then(|body| body["TransactItems"].as_array());
    let count = items.map_or(1, Vec::len).max(1);
    let codes: Vec<&str> = std::iter::once(code)
        .chain(std::iter::repeat_n("None", count - 1))
        .collect();
    let reasons: Vec<Value> = codes
        .iter()
        .map(|code| {
            if *code == "None" {
                json!({ "Code": code })
            } else {
                json!({ "Code": code, "Message": message })
            }
        })
        .collect();
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons,
    });
    FaultAction::Answer(StatusCode::BAD_REQUEST, body)
}

/// A partly executed batch. `keep` returns the number of executed items from the number of items of a table.
fn partial(operation: &Operation, keep: impl Fn(usize) -> usize) -> FaultAction {
    let (name, empty) = if operation.name == "BatchGetItem" {
        ("UnprocessedKeys", json!({ "Responses": {} }))
    } else {
        ("UnprocessedItems", json!({}))
    };
    let body = operation.body.clone().unwrap_or_default();
    let (mut done, mut left) = (Map::new(), Map::new());
    for (table, request) in body["RequestItems"].as_object().into_iter().flatten() {
        let list = |request: &Value| match request {
            Value::Array(items) => items.clone(),
            other => other["Keys"].as_array().cloned().unwrap_or_default(),
        };
        let with = |items: Vec<Value>| match request {
            Value::Array(_) => Value::Array(items),
            other => {
                let mut other = other.clone();
                other["Keys"] = Value::Array(items);
                other
            }
        };
        let mut first = list(request);
        let rest = first.split_off(keep(first.len()));
        if !first.is_empty() {
            done.insert(table.clone(), with(first));
        }
        if !rest.is_empty() {
            left.insert(table.clone(), with(rest));
        }
    }
    let left = Value::Object(left);
    if done.is_empty() {
        let mut answer = empty;
        answer[name] = left;
        return FaultAction::Answer(StatusCode::OK, answer);
    }
    let mut request = body;
    request["RequestItems"] = Value::Object(done);
    FaultAction::Partial {
        request,
        unprocessed: (name, left),
    }
}

/// The body of a `DynamoDB` error.
pub(super) fn error_body(error: &str, message: &str) -> Value {
    let space = if error == "AccessDeniedException" {
        "com.amazon.coral.service"
    } else {
        "com.amazonaws.dynamodb.v20120810"
    };
    json!({ "__type": format!("{space}#{error}"), "message": message })
}

#[cfg(test)]
mod tests;
