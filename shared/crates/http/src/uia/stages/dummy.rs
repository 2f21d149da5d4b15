//! `m.login.dummy`: always succeeds with its name alone (UIA-58). It is there so that no flow is
//! the beginning of another and so that nothing succeeds without `auth`.

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
