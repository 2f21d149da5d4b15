//! The HTTP client for identity servers: requests, timeouts and parsing of responses.
//!
//! One call is one request: redirects are not followed and nothing is retried (IDS-21). The connector comes from
//! the AWS SDK, so that no second HTTP stack is linked.

mod resolver;

use std::time::Duration;

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Map, Value};

use crate::{http_exchange, id_server_name::TrustedServer, secrets::Secret};
use resolver::PublicResolver;

/// The timeout of a call, including the resolution of the name.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum size of a response, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The maximum length of an errcode and of an error message that are passed on to the client, in characters.
const MAX_ERRCODE_CHARS: usize = 64;
const MAX_MESSAGE_CHARS: usize = 256;
/// The maximum `retry_after_ms` that is passed on.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The connectors. Creating them reads the root certificates, so it should be done once per process.
#[derive(Debug)]
pub struct Client {
    /// Connects only to the public internet.
    public: SharedHttpConnector,
    /// Connects to any address, for URLs that the operator configured.
    anywhere: SharedHttpConnector,
}

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdServerError {
    /// The identity server returned a Matrix error.
    #[error("the identity server rejected the request: {}", .0.errcode)]
    Refused(IdServerRejection),
    /// The identity server returned this status with neither the expected object nor a Matrix error.
    #[error("the identity server returned an unexpected response with status {0}")]
    UnexpectedResponse(u16),
    /// There was no response.
    #[error("the identity server could not be reached: {0}")]
    Unreachable(&'static str),
}

/// A Matrix error of an identity server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdServerRejection {
    /// The HTTP status of the response.
    pub status: u16,
    /// The errcode; `M_UNKNOWN` if the identity server's own errcode is malformed.
    pub errcode: String,
    /// The error message, without control characters and truncated.
    pub message: String,
    /// The time to wait before the next attempt, if the response contains one.
    pub retry_after: Option<Duration>,
}

impl IdServerRejection {
    /// Whether the user has not validated the session at the identity server yet.
    pub fn is_not_validated_yet(&self) -> bool {
        self.errcode == "M_SESSION_NOT_VALIDATED"
    }
}

/// A request to an identity server.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a TrustedServer,
    pub(crate) method: &'static str,
    /// Path and query. Begins with `/_matrix`.
    pub(crate) uri: &'a str,
    /// The value of the `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    /// The JSON body.
    pub(crate) body: Option<String>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            public: http_exchange::connector_with_resolver(TIMEOUT, PublicResolver),
            anywhere: http_exchange::connector(TIMEOUT),
        }
    }
}

impl Client {
    /// Sends a request and returns the object of a response with status 200. Errors are logged.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Map<String, Value>, IdServerError> {
        let name = call.server.name.as_str().to_owned();
        let outcome = tokio::time::timeout(TIMEOUT, self.exchange(call)).await;
        let outcome = outcome.unwrap_or(Err(IdServerError::Unreachable(
            "there was no response in time",
        )));
        let outcome = outcome.and_then(|(status, bytes)| parse_response(status, &bytes));
        if let Err(error) = &outcome {
            tracing::warn!(id_server = name, %error, "a call to an identity server failed");
        }
        outcome
    }

    async fn exchange(&self, call: Call<'_>) -> Result<(u16, Vec<u8>), IdServerError> {
        let unreachable = IdServerError::Unreachable;
        let server = call.server;
        let mut request = ::http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", server.base(), call.uri))
            .header("accept", "application/json");
        if let Some(authorization) = &call.authorization {
            request = request.header("authorization", authorization.reveal());
        }
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request
            .body(call.body.map_or_else(SdkBody::empty, SdkBody::from))
            .map_err(|_| unreachable("the request is invalid"))?;
        let request =
            HttpRequest::try_from(request).map_err(|_| unreachable("the request is invalid"))?;
        let connector = match server.address {
            Some(_) => &self.anywhere,
            None => &self.public,
        };
        let answer = connector.call(request).await;
        let answer = answer.map_err(|_| unreachable("the connection failed"))?;
        let status = answer.status().as_u16();
        let body = http_exchange::read_body(answer, MAX_ANSWER_BYTES).await;
        Ok((status, body.map_err(unreachable)?))
    }
}

/// Parses a response. Old identity servers return errors with status 200 (IDS-09).
fn parse_response(status: u16, bytes: &[u8]) -> Result<Map<String, Value>, IdServerError> {
    let object: Option<Map<String, Value>> = serde_json::from_slice(bytes).ok();
    if let Some(rejection) = object
        .as_ref()
        .and_then(|object| parse_rejection(status, object))
    {
        return Err(IdServerError::Refused(rejection));
    }
    match object {
        Some(object) if status == 200 => Ok(object),
        _ => Err(IdServerError::UnexpectedResponse(status)),
    }
}

fn parse_rejection(status: u16, object: &Map<String, Value>) -> Option<IdServerRejection> {
    let errcode = object.get("errcode")?.as_str()?;
    let is_errcode_char =
        |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"._".contains(&b);
    let is_valid =
        (1..=MAX_ERRCODE_CHARS).contains(&errcode.len()) && errcode.bytes().all(is_errcode_char);
    let message = object.get("error").and_then(Value::as_str);
    let retry_after = object.get("retry_after_ms").and_then(Value::as_u64);
    Some(IdServerRejection {
        status,
        errcode: if is_valid { errcode } else { "M_UNKNOWN" }.to_owned(),
        message: message
            .unwrap_or("The identity server rejected the request")
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_MESSAGE_CHARS)
            .collect(),
        retry_after: retry_after.map(|wait| Duration::from_millis(wait).min(LONGEST_WAIT)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_07_errors_results_and_other_responses_are_distinguished() {
        let parsed = |status, text: &str| parse_response(status, text.as_bytes());
        assert!(parsed(200, "{}").unwrap().is_empty());
        let refused = |status, text: &str| match parsed(status, text) {
            Err(IdServerError::Refused(rejection)) => rejection,
            other => panic!("{other:?}"),
        };
        let terms = refused(
            403,
            r#"{"errcode":"M_TERMS_NOT_SIGNED","error":"Read\nthem"}"#,
        );
        assert_eq!(
            (terms.status, terms.errcode.as_str(), terms.message.as_str()),
            (403, "M_TERMS_NOT_SIGNED", "Readthem")
        );
        let old = refused(
            200,
            r#"{"errcode":"M_SESSION_NOT_VALIDATED","success":false}"#,
        );
        assert_eq!(old.errcode, "M_SESSION_NOT_VALIDATED");
        assert_eq!(refused(400, r#"{"errcode":"<b>"}"#).errcode, "M_UNKNOWN");
        let long = format!(r#"{{"errcode":"M_X","error":"{}"}}"#, "é".repeat(5000));
        assert_eq!(refused(400, &long).message.chars().count(), 256);
        for (status, text) in [
            (404, "<html>"),
            (400, "{}"),
            (501, "[]"),
            (200, "not JSON"),
            (200, "[]"),
            (302, "{}"),
            (400, r#"{"errcode":5}"#),
        ] {
            assert_eq!(
                parsed(status, text),
                Err(IdServerError::UnexpectedResponse(status))
            );
        }
    }
}
