//! `m.login.dummy`: succeeds if the client sends its name (UIA-58). A flow that ends with this stage is not a prefix
//! of a longer flow, and a flow with only this stage still rejects a request without `auth`.

use super::{StageOutcome, StageResult};
use crate::uia::stage_page::Form;

pub(super) fn attempt() -> StageOutcome {
    StageOutcome::passed(StageResult::Presence)
}

pub(super) fn form() -> Form {
    Form {
        button: "Continue",
        ..Form::default()
    }
}
