//! The challenge of User-Interactive Authentication.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ErrorCode;

/// The reason why a stage was not accepted. The client may try the stage again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageError {
    /// The errcode in the body of the 401 response. [`ErrorCode::status`] is not used.
    pub code: ErrorCode,
    /// The human-readable message (`error`) in the body.
    pub message: &'static str,
}

/// A 401 response that requires further stages (UIA-02 to UIA-08). It is not a failure.
pub struct Challenge {
    pub(crate) flows: Value,
    pub(crate) params: Value,
    pub(crate) session: String,
    pub(crate) completed: Vec<&'static str>,
    pub(crate) next: BTreeSet<&'static str>,
    pub(crate) error: Option<StageError>,
}

crate::opaque_debug!(Challenge);

impl Challenge {
    /// The errcode, if a stage was not accepted.
    pub fn code(&self) -> Option<&'static str> {
        self.error.map(|error| error.code.as_str())
    }

    /// The message, if a stage was not accepted.
    pub fn message(&self) -> Option<&'static str> {
        self.error.map(|error| error.message)
    }

    /// The stages that can be completed now.
    pub fn next(&self) -> impl Iterator<Item = &'static str> {
        self.next.iter().copied()
    }
}
