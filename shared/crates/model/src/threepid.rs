//! Third-party identifiers (3PIDs): e-mail addresses and phone numbers in their canonical form.

mod domain;
mod email;
mod mailbox;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use email::parse as parse_email;
pub use mailbox::mailbox;

/// The maximum number of digits of a phone number (E.164).
const MAX_DIGITS: usize = 15;

/// The kind of a 3PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// An e-mail address.
    Email,
    /// A phone number.
    Msisdn,
}

impl Medium {
    /// The name in the Client-Server API (3PID-63).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Msisdn => "msisdn",
        }
    }

    /// The medium with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Email, Self::Msisdn]
            .into_iter()
            .find(|medium| medium.as_str() == name)
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address in its canonical form: a case-folded e-mail address (3PID-61), or the E.164 digits of
/// a phone number without `+` (3PID-65).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreePid {
    /// The kind of the 3PID.
    pub medium: Medium,
    /// The canonical address.
    pub address: String,
}

crate::opaque_debug!(ThreePid);

impl ThreePid {
    /// The canonical form of a 3PID that a client names (3PID-63). A phone number consists of its
    /// E.164 digits; some clients write a `+` before them. Returns `None` if the 3PID is not valid.
    pub fn parse(medium: Medium, address: &str) -> Option<Self> {
        match medium {
            Medium::Email => email::parse(address),
            Medium::Msisdn => {
                let address = trim(address);
                let digits = address.strip_prefix('+').unwrap_or(address);
                let is_valid = (1..=MAX_DIGITS).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit());
                is_valid.then(|| Self {
                    medium,
                    address: digits.to_owned(),
                })
            }
        }
    }
}

/// The text without white space and invisible characters at both ends: the completion of an on-screen keyboard adds a
/// space, and copied text may contain direction marks.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// Whether the character has no shape: the soft hyphen, zero-width characters and direction marks.
pub const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}
