//! The challenge of User-Interactive Authentication.

use std::collections::BTreeSet;

use serde_json::Value;

/// Why a stage was not accepted. The client may try it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageError {
    /// The errcode in the 401 body.
    pub code: &'static str,
    /// The sentence for the user.
    pub message: &'static str,
}

/// A 401 response that asks for further stages: an answer, not a failure (UIA-02 to UIA-08).
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
    /// The errcode, if a stage was not accepted.
    pub fn code(&self) -> Option<&'static str> {
        self.refusal.map(|refusal| refusal.code)
    }

    /// The stages that can be completed now.
    pub fn next(&self) -> impl Iterator<Item = &'static str> {
        self.next.iter().copied()
    }
}
