//! `m.login.dummy`: always succeeds with its name alone (UIA-58). It is there so that no flow is
//! the beginning of another and so that nothing succeeds without `auth`.

use super::{Evidence, Verdict};
use crate::uia::fallback::Form;

pub(super) fn attempt() -> Verdict {
    Verdict::passed(Evidence::Presence)
}

pub(super) fn form() -> Form {
    Form {
        button: "Continue",
        ..Form::default()
    }
}
