//! `m.login.dummy`: succeeds with its name alone (UIA-58). It keeps a flow from being the beginning
//! of another one, and a request without `auth` from succeeding.

use super::{StageOutcome, StageResult};
use crate::uia::fallback::Form;

pub(super) fn attempt() -> StageOutcome {
    StageOutcome::passed(StageResult::Presence)
}

pub(super) fn form() -> Form {
    Form {
        button: "Continue",
        ..Form::default()
    }
}
