//! Items to write, and rows that were read.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

use super::keys::{PK, SK};
use crate::{clock::Timestamp, store::StoreError};

/// The attributes of an item by name.
pub(in crate::store) type Map = HashMap<String, AttributeValue>;

pub(in crate::store) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(in crate::store) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(in crate::store) fn blob(bytes: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// An item, or the key of one, under construction.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Item(Map);

impl Item {
    /// An item of a table that has only a partition key.
    pub(in crate::store) fn at(pk: impl Into<String>) -> Self {
        Self::default().text(PK, pk)
    }

    /// An item of `accounts`.
    pub(in crate::store) fn under(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self::at(pk).text(SK, sk)
    }

    pub(in crate::store) fn text(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), text(value));
        self
    }

    pub(in crate::store) fn text_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(in crate::store) fn number(mut self, name: &str, value: i64) -> Self {
        self.0.insert(name.to_owned(), number(value));
        self
    }

    pub(in crate::store) fn number_if(self, name: &str, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    pub(in crate::store) fn bytes(mut self, name: &str, value: Vec<u8>) -> Self {
        self.0.insert(name.to_owned(), blob(value));
        self
    }

    pub(in crate::store) fn bytes_if(self, name: &str, value: Option<Vec<u8>>) -> Self {
        match value {
            Some(value) => self.bytes(name, value),
            None => self,
        }
    }

    pub(in crate::store) fn build(self) -> Map {
        self.0
    }
}

/// A row that was read. An attribute with a type or format that the store does not write is an error,
/// [`StoreError::Corrupt`], and is never ignored.
#[derive(Debug)]
pub(in crate::store) struct Row(Map);

impl Row {
    pub(in crate::store) fn new(map: Map) -> Self {
        Self(map)
    }

    /// The error for an attribute of this row. The error is logged, so its key must contain no
    /// 3PID and no ID of a validation session.
    pub(in crate::store) fn corrupt(&self, what: &'static str) -> StoreError {
        let part = |name| {
            let part = self.0.get(name).and_then(|value| value.as_s().ok());
            loggable(part.map_or("", String::as_str))
        };
        StoreError::Corrupt {
            key: format!("{}/{}", part(PK), part(SK)),
            what,
        }
    }

    pub(in crate::store) fn text(&self, name: &'static str) -> Result<&str, StoreError> {
        self.text_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(in crate::store) fn text_if(&self, name: &'static str) -> Result<Option<&str>, StoreError> {
        let text = self
            .0
            .get(name)
            .map(|value| value.as_s().map(String::as_str));
        text.transpose().map_err(|_| self.corrupt(name))
    }

    pub(in crate::store) fn number(&self, name: &'static str) -> Result<i64, StoreError> {
        self.number_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(in crate::store) fn number_if(
        &self,
        name: &'static str,
    ) -> Result<Option<i64>, StoreError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let number = value.as_n().ok().and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| self.corrupt(name))
    }

    pub(in crate::store) fn time(&self, name: &'static str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp)
    }

    pub(in crate::store) fn time_if(
        &self,
        name: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.number_if(name)?.map(Timestamp))
    }

    pub(in crate::store) fn bytes(&self, name: &'static str) -> Result<&[u8], StoreError> {
        self.bytes_if(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub(in crate::store) fn bytes_if(
        &self,
        name: &'static str,
    ) -> Result<Option<&[u8]>, StoreError> {
        let bytes = self.0.get(name).map(|value| value.as_b().map(Blob::as_ref));
        bytes.transpose().map_err(|_| self.corrupt(name))
    }
}

/// The part of a key that may be logged: no 3PID and no hash of a token. A key that contains a dot is the keyed hash that
/// identifies a validation session.
fn loggable(key: &str) -> &str {
    match key.split_once('#') {
        Some(("3PID", _)) => "3PID#\u{2026}",
        Some(("BIND", _)) => "BIND#\u{2026}",
        Some(("TOKEN", _)) => "TOKEN#\u{2026}",
        Some(("CODE", _)) => "CODE#\u{2026}",
        Some(("DEVICECODE", _)) => "DEVICECODE#\u{2026}",
        Some(("USERCODE", _)) => "USERCODE#\u{2026}",
        Some(("BROWSER", _)) => "BROWSER#\u{2026}",
        None if key.contains('.') => "\u{2026}",
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_row_is_logged_without_address_and_session() {
        let message = |item: Item| Row::new(item.build()).corrupt("what").to_string();
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
            ("USER#alice", "TOKEN#hash", "USER#alice/TOKEN#\u{2026}"),
            ("USER#alice", "DEV#PHONE", "USER#alice/DEV#PHONE"),
            ("APPSERVICES", "A", "APPSERVICES/A"),
        ] {
            assert!(
                message(Item::under(pk, sk)).contains(&format!("row {key} ")),
                "{pk}/{sk}"
            );
        }
        let session = Item::at("keyid123.4Bq0v4qHkYq2rXJ0c3m5wA");
        assert!(message(session).contains("row \u{2026}/ "));
    }
}
