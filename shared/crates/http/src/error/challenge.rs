//! The challenge of User-Interactive Authentication.

use std::collections::BTreeSet;

use serde_json::Value;

/// The reason why a stage was not accepted. The client may try the stage again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageError {
    /// The errcode in the 401 body.
    pub code: &'static str,
    /// The human-readable message (`error`) in the 401 body.
    pub message: &'static str,
}

/// A 401 that lists the flows and the completed stages (UIA-02 to UIA-08). It is not a failure.
pub struct Challenge {
    pub(crate) flows: Value,
    pub(crate) params: Value,
    pub(crate) session: String,
    pub(crate) completed: Vec<&'static str>,
    pub(crate) next: BTreeSet<&'static str>,
    pub(crate) refusal: Option<StageError>,
}

crate::opaque_debug!(Challenge);

impl Challenge {
    /// The errcode, if a stage was rejected.
    pub fn code(&self) -> Option<&'static str> {
        self.refusal.map(|refusal| refusal.code)
    }

    /// The stages that can be completed now.
    pub fn next(&self) -> impl Iterator<Item = &'static str> {
        self.next.iter().copied()
    }
}
