//! Items: writing attributes without noise, and reading them without trust.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    primitives::Blob,
    types::{
        AttributeValue, Put, TransactWriteItem,
        builders::{ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder},
    },
};

use super::{
    StoreError,
    keys::{PK, SK},
};
use crate::clock::Timestamp;

pub(super) type Map = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn blob(bytes: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// An item under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct Item(Map);

impl Item {
    /// An item of a table with a partition key alone.
    pub(super) fn at(pk: impl Into<String>) -> Self {
        Self::default().text(PK, pk)
    }

    /// An item of `accounts`.
    pub(super) fn under(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self::at(pk).text(SK, sk)
    }

    pub(super) fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), text(value));
        self
    }

    pub(super) fn text_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(super) fn number(mut self, name: &str, value: i64) -> Self {
        self.0.insert(name.to_owned(), number(value));
        self
    }

    pub(super) fn number_if(self, name: &str, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    pub(super) fn bytes(mut self, name: &str, value: Vec<u8>) -> Self {
        self.0.insert(name.to_owned(), blob(value));
        self
    }

    pub(super) fn bytes_if(self, name: &str, value: Option<Vec<u8>>) -> Self {
        match value {
            Some(value) => self.bytes(name, value),
            None => self,
        }
    }

    pub(super) fn build(self) -> Map {
        self.0
    }
}

/// Writes an item, for a transaction; all of it, or not if `condition` does not hold.
pub(super) fn put(table: &str, item: Item, condition: Option<&str>) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item.build()))
        .set_condition_expression(condition.map(str::to_owned));
    putting(put)
}

/// Writes an item with a `version`, for a transaction, on top of the version `before`; 0 if there is
/// to be none yet.
pub(super) fn put_over(table: &str, item: Item, before: i64) -> TransactWriteItem {
    if before == 0 {
        return put(table, item, Some("attribute_not_exists(pk)"));
    }
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item.build()))
        .condition_expression("version = :before")
        .expression_attribute_values(":before", number(before));
    putting(put)
}

/// An item of a transaction.
pub(super) fn putting(put: PutBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_put(put.build().ok())
        .build()
}

/// An item of a transaction.
pub(super) fn updating(update: UpdateBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_update(update.build().ok())
        .build()
}

/// An item of a transaction.
pub(super) fn deleting(delete: DeleteBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_delete(delete.build().ok())
        .build()
}

/// An item of a transaction.
pub(super) fn checking(check: ConditionCheckBuilder) -> TransactWriteItem {
    TransactWriteItem::builder()
        .set_condition_check(check.build().ok())
        .build()
}

/// A row that was read. An attribute that is not as we write it is `Corrupt`, never skipped.
#[derive(Debug)]
pub(super) struct Row(Map);

impl Row {
    pub(super) fn new(map: Map) -> Self {
        Self(map)
    }

    /// A fault of this row. It is logged, so its key names no address and no validation session.
    pub(super) fn corrupt(&self, what: &'static str) -> StoreError {
        let part = |name| {
            let part = self.0.get(name).and_then(|value| value.as_s().ok());
            loggable(part.map_or("", String::as_str))
        };
        StoreError::Corrupt {
            key: format!("{}/{}", part(PK), part(SK)),
            what,
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&str, StoreError> {
        self.text_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn text_if(&self, name: &'static str) -> Result<Option<&str>, StoreError> {
        let text = self
            .0
            .get(name)
            .map(|value| value.as_s().map(String::as_str));
        text.transpose().map_err(|_| self.corrupt(name))
    }

    pub(super) fn number(&self, name: &'static str) -> Result<i64, StoreError> {
        self.number_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn number_if(&self, name: &'static str) -> Result<Option<i64>, StoreError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let number = value.as_n().ok().and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp)
    }

    pub(super) fn time_if(&self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.number_if(name)?.map(Timestamp))
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<&[u8], StoreError> {
        self.bytes_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(super) fn bytes_if(&self, name: &'static str) -> Result<Option<&[u8]>, StoreError> {
        let bytes = self.0.get(name).map(|value| value.as_b().map(Blob::as_ref));
        bytes.transpose().map_err(|_| self.corrupt(name))
    }
}

/// As much of a key as may stand in a log. What is no kind of row and no name is a keyed hash.
fn loggable(key: &str) -> &str {
    match key.split_once('#') {
        Some(("3PID", _)) => "3PID#\u{2026}",
        Some(("BIND", _)) => "BIND#\u{2026}",
        None if key.contains('.') => "\u{2026}",
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_corrupt_row_names_no_address_and_no_session() {
        let told = |item: Item| Row::new(item.build()).corrupt("what").to_string();
        for (pk, sk, key) in [
            ("3PID#email#alice@example.org", "A", "3PID#\u{2026}/A"),
            (
                "USER#alice",
                "3PID#email#alice@example.org",
                "USER#alice/3PID#\u{2026}",
            ),
            (
                "USER#alice",
                "BIND#id.example#email#alice@example.org",
                "USER#alice/BIND#\u{2026}",
            ),
            ("USER#alice", "DEV#PHONE", "USER#alice/DEV#PHONE"),
            ("APPSERVICES", "A", "APPSERVICES/A"),
        ] {
            assert!(
                told(Item::under(pk, sk)).contains(&format!("row {key} ")),
                "{pk}/{sk}"
            );
        }
        let session = Item::at("keyid123.4Bq0v4qHkYq2rXJ0c3m5wA");
        assert!(told(session).contains("row \u{2026}/ "));
    }
}
