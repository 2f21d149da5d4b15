//! The result of a check, and its construction.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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

    /// The result of a check whose call failed.
    pub(super) fn call_failed<E: ProvideErrorMetadata>(
        name: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self {
        let SdkError::ServiceError(response) = error else {
            let advice = "Check the region and the network connection.";
            return Self::fail(name, "the service does not respond", advice);
        };
        let error = response.err();
        let Some(code) = error.code() else {
            let status = response.raw().status();
            let found = format!("the service responds with status {status} and no error code");
            return Self::fail(name, found, "Try again later.");
        };
        // Services with an XML protocol respond with "InvalidAction".
        if code.starts_with("UnknownOperation") || code == "InvalidAction" {
            return Self::skipped(name, "the service does not implement the call");
        }
        if code.starts_with("AccessDenied") || code.starts_with("Authorization") {
            let advice = "Give these credentials the permission, or use credentials that have it.";
            return Self::warn(name, "the credentials do not have the permission", advice);
        }
        let found = format!("{code}: {}", error.message().unwrap_or_default());
        Self::fail(name, found, "See the error message of the service.")
    }
}
