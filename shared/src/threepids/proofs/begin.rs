//! A validation session as it begins.

use super::{LIFETIME, ProofState, Purpose};
use crate::{chance::Chance, clock::Timestamp, store::ProofRow, threepids::ThreePid};

/// A session whose first message is under way.
pub(super) fn begin(
    sid: &str,
    purpose: Purpose,
    to: &ThreePid,
    attempt: i64,
    now: Timestamp,
    chance: &dyn Chance,
) -> ProofRow {
    ProofRow {
        sid: sid.to_owned(),
        version: 1,
        purpose,
        threepid: to.clone(),
        generation: chance.base64::<16>(),
        state: ProofState::Pending,
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
