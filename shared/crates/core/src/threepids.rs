//! Third-party identifiers: e-mail addresses and phone numbers, their one canonical form, which of
//! them the operator lets in, and the proof that somebody receives what is sent to one.
//!
//! `email` and `phone` make a canonical [`ThreePid`] or nothing, before any rule looks at it: what
//! is checked, written to, and stored is the same text. `proofs` is the state machine from a
//! request to a proof that is spent. Knows neither bodies nor the tables' keys. Who owns an address
//! is asked by `deliver` and by the finishing transaction; here only where the operator chose to
//! tell strangers.

pub mod link;
mod phone;

pub use crate::threepid::{Medium, ThreePid, parse_email};
pub use phone::{
    Phone, PhoneError, canonical as canonical_phone, parse as parse_phone, read_any as read_phone,
};

use crate::config::Config;

/// The operator does not want this address here (3PID-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not allowed")]
pub struct ThreePidDeniedError;

/// Whether the operator lets this address in: not denied, and allowed if anything is listed as
/// allowed.
pub fn admit(config: &Config, threepid: &ThreePid) -> Result<(), ThreePidDeniedError> {
    let policy = match threepid.medium {
        Medium::Email => &config.email_policy,
        Medium::Msisdn => &config.phone_policy,
    };
    let matches = |patterns: &[regex_lite::Regex]| {
        patterns
            .iter()
            .any(|pattern| pattern.is_match(&threepid.address))
    };
    let allowed = policy.allowed.is_empty() || matches(&policy.allowed);
    if allowed && !matches(&policy.denied) {
        Ok(())
    } else {
        Err(ThreePidDeniedError)
    }
}
