//! The AWS query protocol: requests are forms, and responses are XML.

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

    /// The value of a field. Returns `None` if it is missing or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of a required field.
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

    /// The prefixes of the fields of each element in a list of structures: `<name>.1.`, `<name>.2.` …
    pub(super) fn structures(&self, name: &str) -> Vec<String> {
        let starts = (1..).map_while(|index: u32| {
            let start = format!("{name}.{index}.");
            let exists = self.0.keys().any(|key| key.starts_with(&start));
            exists.then_some(start)
        });
        starts.collect()
    }
}

/// An error in the form of AWS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ErrorResponse {
    /// An error with the status 400.
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

/// The text with XML escapes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 cannot represent most control characters.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
