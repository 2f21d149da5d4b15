//! A validation session as it begins.

use super::{LIFETIME, ValidationPurpose, ValidationState};
use crate::{clock::Timestamp, rng::Rng, store::ValidationRow, threepid::ThreePid};

/// A session whose first message is under way.
pub(super) fn begin(
    sid: &str,
    purpose: ValidationPurpose,
    to: &ThreePid,
    attempt: i64,
    now: Timestamp,
    rng: &dyn Rng,
) -> ValidationRow {
    ValidationRow {
        sid: sid.to_owned(),
        version: 1,
        purpose,
        threepid: to.clone(),
        generation: rng.base64::<16>(),
        state: ValidationState::Pending,
        attempt,
        sends: 1,
        live_from: 1,
        wrong: 0,
        begun: now,
        expires: now.plus(LIFETIME),
        validated: None,
        next_link: None,
        withheld: false,
    }
}
