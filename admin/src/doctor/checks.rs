//! What one check says.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It works, and somebody should look.
    Warn,
    /// Something does not work, or will not.
    Fail,
    /// It could not be asked.
    Skipped,
}

/// A check.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    /// How it is.
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
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

    pub(super) fn good(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, State::Good, found)
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

    /// Of a call that was not answered.
    pub(super) fn unanswered<E: ProvideErrorMetadata, R>(
        name: &str,
        error: &SdkError<E, R>,
    ) -> Self {
        let Some(told) = error.as_service_error() else {
            let advice = "Is the region right, and does the network lead there?";
            return Self::fail(name, "the service does not answer", advice);
        };
        let code = told.code().unwrap_or("unknown");
        // "InvalidAction" is what the services say that speak XML.
        if code.starts_with("UnknownOperation") || code == "InvalidAction" {
            return Self::skipped(name, "the service does not know the question");
        }
        if code.starts_with("AccessDenied") || code.starts_with("Authorization") {
            let advice = "Give these credentials the permission, or ask somebody who has it.";
            return Self::warn(name, "the credentials may not ask", advice);
        }
        let found = format!("{code}: {}", told.message().unwrap_or_default());
        Self::fail(name, found, "See what the service says.")
    }
}
