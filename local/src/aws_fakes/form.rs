//! The AWS query protocol: a form comes in, XML goes out.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;

use super::id;
use crate::runtime::local_listener::typed;

/// The fields of a request.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// A field, if it is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// A field that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, ErrorResponse> {
        let missing = || {
            let message = format!(
                "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
            );
            ErrorResponse::new("ValidationError", message)
        };
        self.text(name).ok_or_else(missing)
    }

    /// The elements of a list, in order: the fields `<name>.1`, `<name>.2` …
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        (1..)
            .map_while(|index: u32| self.0.get(&format!("{name}.{index}")))
            .map(String::as_str)
            .collect()
    }

    /// The beginnings of the fields of each element of a list of structures: `<name>.1.`, `<name>.2.` …
    pub(super) fn structures(&self, name: &str) -> Vec<String> {
        let starts = (1..).map_while(|index: u32| {
            let start = format!("{name}.{index}.");
            let is_there = self.0.keys().any(|key| key.starts_with(&start));
            is_there.then_some(start)
        });
        starts.collect()
    }
}

/// A refusal, as AWS writes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ErrorResponse {
    /// The client's fault.
    pub(super) fn new(code: &'static str, message: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message,
        }
    }

    pub(super) fn with(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn response(&self, namespace: &str) -> Response<Full<Bytes>> {
        let kind = if self.status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        let body = format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{}</RequestId></ErrorResponse>",
            self.code,
            escaped(&self.message),
            id()
        );
        typed(self.status, "text/xml", body)
    }
}

/// Text as XML holds it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML has no way to write the others.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
