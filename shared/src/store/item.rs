//! Items: writing attributes without noise, and reading them without trust.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

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
        self.0
            .insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
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

/// A row that was read. An attribute that is not as we write it is `Corrupt`, never skipped.
#[derive(Debug)]
pub(super) struct Row(Map);

impl Row {
    pub(super) fn new(map: Map) -> Self {
        Self(map)
    }

    pub(super) fn corrupt(&self, what: &'static str) -> StoreError {
        let part = |name| {
            self.0
                .get(name)
                .and_then(|value| value.as_s().ok())
                .map_or("", String::as_str)
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
