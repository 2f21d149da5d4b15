//! The calls: what goes over the wire, how long that may take, and what an answer means.
//!
//! One call is one request: no redirect is followed and nothing is tried again (IDS-21). The
//! connector is the AWS SDK's own, so no second HTTP stack is linked.

mod resolver;

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::{Map, Value};

use crate::{id_server_name::TrustedServer, secrets::Secret};
use resolver::PublicResolver;

/// How long a call may take, the look-up of the name included.
const TIMEOUT: Duration = Duration::from_secs(3);
/// No answer is longer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// An errcode and what is said with it are passed on up to here, in characters.
const MAX_ERRCODE_CHARS: usize = 64;
const MAX_MESSAGE_CHARS: usize = 256;
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// The connectors. Making them reads the root certificates, so that is done once.
#[derive(Debug)]
pub struct Client {
    /// Reaches the public internet and nothing else.
    public: SharedHttpConnector,
    /// Reaches what the operator has written down.
    anywhere: SharedHttpConnector,
}

/// Why a call has brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdServerError {
    /// The identity server refused, in Matrix's own words.
    #[error("the identity server refused: {}", .0.errcode)]
    Refused(IdServerRejection),
    /// It answered with this status and nothing that Matrix has words for.
    #[error("the identity server answered {0}")]
    Unclear(u16),
    /// There was no answer.
    #[error("the identity server does not answer: {0}")]
    Unreached(&'static str),
}

/// A Matrix error of an identity server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdServerRejection {
    /// The status it came with.
    pub status: u16,
    /// Its errcode.
    pub errcode: String,
    /// What it says to a person.
    pub message: String,
    /// When to try again, if it says so.
    pub retry_after: Option<Duration>,
}

impl IdServerRejection {
    /// Whether the user has not validated the session there yet.
    pub fn is_not_validated_yet(&self) -> bool {
        self.errcode == "M_SESSION_NOT_VALIDATED"
    }
}

/// What is asked of an identity server.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a TrustedServer,
    pub(crate) method: &'static str,
    /// Path and query, from `/_matrix` on.
    pub(crate) uri: &'a str,
    /// The value of the header.
    pub(crate) authorization: Option<Secret>,
    /// JSON.
    pub(crate) body: Option<String>,
}

impl Default for Client {
    fn default() -> Self {
        let builder = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(TIMEOUT)
                .read_timeout(TIMEOUT)
                .build();
            Connector::builder()
                .connector_settings(settings)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
        };
        Self {
            public: SharedHttpConnector::new(builder().build_with_resolver(PublicResolver)),
            anywhere: SharedHttpConnector::new(builder().build()),
        }
    }
}

impl Client {
    /// Makes a call and returns the object of a 200.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Map<String, Value>, IdServerError> {
        let name = call.server.name.as_str().to_owned();
        let outcome = tokio::time::timeout(TIMEOUT, self.exchange(call)).await;
        let outcome = outcome.unwrap_or(Err(IdServerError::Unreached("no answer in time")));
        let outcome = outcome.and_then(|(status, bytes)| understand(status, &bytes));
        if let Err(error) = &outcome {
            tracing::warn!(id_server = name, %error, "a call to an identity server has failed");
        }
        outcome
    }

    async fn exchange(&self, call: Call<'_>) -> Result<(u16, Vec<u8>), IdServerError> {
        let unreached = IdServerError::Unreached;
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
            .map_err(|_| unreached("the request cannot be written"))?;
        let request = HttpRequest::try_from(request)
            .map_err(|_| unreached("the request cannot be written"))?;
        let connector = match server.address {
            Some(_) => &self.anywhere,
            None => &self.public,
        };
        let answer = connector.call(request).await;
        let answer = answer.map_err(|_| unreached("no connection"))?;
        let status = answer.status().as_u16();
        Ok((status, read(answer).await?))
    }
}

async fn read(answer: HttpResponse) -> Result<Vec<u8>, IdServerError> {
    let unreached = IdServerError::Unreached;
    let mut body = ByteStream::new(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| unreached("the answer broke off"))?);
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(unreached("the answer is too long"));
        }
    }
    Ok(bytes)
}

/// What an answer means. Old servers answer 200 to what they refuse (IDS-09).
fn understand(status: u16, bytes: &[u8]) -> Result<Map<String, Value>, IdServerError> {
    let object: Option<Map<String, Value>> = serde_json::from_slice(bytes).ok();
    if let Some(refusal) = object.as_ref().and_then(|object| refusal(status, object)) {
        return Err(IdServerError::Refused(refusal));
    }
    match object {
        Some(object) if status == 200 => Ok(object),
        _ => Err(IdServerError::Unclear(status)),
    }
}

fn refusal(status: u16, object: &Map<String, Value>) -> Option<IdServerRejection> {
    let errcode = object.get("errcode")?.as_str()?;
    let lawful = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"._".contains(&b);
    let is_lawful = (1..=MAX_ERRCODE_CHARS).contains(&errcode.len()) && errcode.bytes().all(lawful);
    let message = object.get("error").and_then(Value::as_str);
    let retry_after = object.get("retry_after_ms").and_then(Value::as_u64);
    Some(IdServerRejection {
        status,
        errcode: if is_lawful { errcode } else { "M_UNKNOWN" }.to_owned(),
        message: message
            .unwrap_or("The identity server refused")
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
    fn ids_07_a_refusal_is_told_from_an_answer_and_from_noise() {
        let told = |status, text: &str| understand(status, text.as_bytes());
        assert!(told(200, "{}").unwrap().is_empty());
        let refused = |status, text: &str| match told(status, text) {
            Err(IdServerError::Refused(refusal)) => refusal,
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
            assert_eq!(told(status, text), Err(IdServerError::Unclear(status)));
        }
    }
}
