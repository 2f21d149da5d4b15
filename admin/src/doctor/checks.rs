//! The result of a check, and its construction.

use std::error::Error;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use shared::aws::operation;

use crate::{explain::missing_action, services::innermost};

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The check found no problem.
    Ok,
    /// The subject of the check works, but the operator should look at the finding.
    Warn,
    /// The subject of the check does not work, or will stop working.
    Fail,
    /// The check could not be made.
    Skipped,
}

/// The result of a check, as `doctor` prints it.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    /// The finding, as text for the operator.
    pub(super) found: String,
    /// The action that solves the problem.
    pub(super) advice: Option<String>,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    fn new(name: &str, state: State, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state,
            found: found.into(),
            advice: None,
        }
    }

    pub(super) fn ok(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found)
    }

    pub(super) fn skipped(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, found)
    }

    pub(super) fn warn(name: &str, found: impl Into<String>, advice: &str) -> Self {
        Self {
            advice: Some(advice.to_owned()),
            ..Self::new(name, State::Warn, found)
        }
    }

    pub(super) fn fail(name: &str, found: impl Into<String>, advice: &str) -> Self {
        Self {
            advice: Some(advice.to_owned()),
            ..Self::new(name, State::Fail, found)
        }
    }

    /// The result of a check without the permission for this action.
    pub(super) fn access_denied(name: &str, action: &str) -> Self {
        let found = format!("the credentials do not have the permission {action}");
        let advice = "Give these credentials the permission, or use credentials that have it.";
        Self::warn(name, found, advice)
    }

    /// The result of a check whose call failed.
    pub(super) fn call_failed<E: ProvideErrorMetadata + Error + 'static>(
        name: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self {
        let (service, operation) = operation::<E>();
        let answer = match error {
            SdkError::ServiceError(response) => Some(response.err()),
            _ => None,
        };
        let Some((code, answer)) = answer.and_then(|answer| Some((answer.code()?, answer))) else {
            let variable = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
            let advice = format!(
                "Check the network connection, AWS_REGION and, if they are set, {variable} and AWS_ENDPOINT_URL."
            );
            return Self::fail(name, unanswered(error), &advice);
        };
        let message = answer.message().unwrap_or_default();
        // Services with an XML protocol respond with "InvalidAction".
        if code.starts_with("UnknownOperation") || code == "InvalidAction" {
            return Self::skipped(name, "the service does not implement the call");
        }
        if code.starts_with("AccessDenied") || code.starts_with("Authorization") {
            return Self::access_denied(name, &missing_action(service, operation, message));
        }
        let advice = if INVALID_CREDENTIALS.contains(&code) {
            "AWS does not accept these credentials: they are wrong, expired or for another partition."
        } else {
            "See the error message of the service."
        };
        Self::fail(name, format!("{code}: {message}"), advice)
    }
}

/// The error codes of services for credentials that are unknown, expired or wrong.
const INVALID_CREDENTIALS: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Describes a call that the service has not answered: nothing answered, or another server did.
pub(super) fn unanswered<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::TimeoutError(_) => "the service does not respond in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            "the service does not respond in time".to_owned()
        }
        SdkError::DispatchFailure(failure) => {
            let cause = failure
                .as_connector_error()
                .map(|error| innermost(error))
                .unwrap_or_default();
            format!("there is no connection to the service: {cause}")
        }
        SdkError::ServiceError(service) => describe_other_server(service.raw()),
        SdkError::ResponseError(response) => describe_other_server(response.raw()),
        other => format!("the call cannot be made: {}", innermost(other)),
    }
}

/// Describes a response that has no error code, which every AWS service gives.
fn describe_other_server(response: &HttpResponse) -> String {
    let header = |name: &str| response.headers().get(name);
    let kind = header("content-type").unwrap_or("unknown type");
    let server = header("server").map_or_else(String::new, |server| format!(" of `{server}`"));
    format!(
        "another server answers, with status {} and a response{server} ({kind})",
        response.status().as_u16()
    )
}
