//! Third-party identifiers (3PIDs): e-mail addresses and phone numbers, and the operator's rules for them.
//!
//! `parse_email` and `parse_phone` return the canonical [`ThreePid`] or fail. All later steps use only the canonical
//! form, so that the 3PID that is checked is also the 3PID that is stored and that a message is sent to.

pub mod link;
mod phone;

pub use crate::threepid::{Medium, ThreePid, parse_email, trim};
pub use phone::{
    Phone, PhoneError, canonical as canonical_phone, parse as parse_phone, read_any as read_phone,
};

use crate::config::Config;

/// The operator's settings do not allow the 3PID (3PID-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not allowed")]
pub struct ThreePidDeniedError;

/// The canonical form of a 3PID from another server. A phone number has its calling code, with or without a plus, and
/// may have a trunk prefix after it: the same number must not get two spellings.
pub fn parse_foreign(medium: Medium, address: &str) -> Option<ThreePid> {
    match medium {
        Medium::Email => parse_email(address),
        Medium::Msisdn => phone::canonical_international(address),
    }
}

/// The 3PID that a client names. The digits of a phone number are used as they are; a number with other characters is
/// converted to its canonical form.
pub fn parse_named(medium: Medium, address: &str) -> Option<ThreePid> {
    ThreePid::parse(medium, address).or_else(|| parse_foreign(medium, address))
}

/// Checks a 3PID against the operator's patterns: no denied pattern may match, and an allowed pattern must match if
/// there are any.
pub fn check_allowed(config: &Config, threepid: &ThreePid) -> Result<(), ThreePidDeniedError> {
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
