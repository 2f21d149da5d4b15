//! The third-party identifier (3PID): an e-mail address or a phone number in its canonical form.

mod email;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use email::parse as parse_email;

/// The most digits that a number has, by E.164.
const MAX_DIGITS: usize = 15;

/// How a third party is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// By mail.
    Email,
    /// By text message.
    Msisdn,
}

impl Medium {
    /// Its name on the wire (3PID-63).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Msisdn => "msisdn",
        }
    }

    /// The medium of this name.
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

/// An address in its canonical form: a folded mailbox (3PID-61), or E.164 digits without `+`
/// (3PID-65).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreePid {
    /// How it is reached.
    pub medium: Medium,
    /// The canonical address.
    pub address: String,
}

crate::opaque_debug!(ThreePid);

impl ThreePid {
    /// An address that a client says somebody has, in whatever spelling (3PID-63): the digits of a
    /// number as they are stored, or with the `+` that some write all the same. `None` if nobody can
    /// have it.
    pub fn parse(medium: Medium, address: &str) -> Option<Self> {
        match medium {
            Medium::Email => email::parse(address),
            Medium::Msisdn => {
                let digits = address.strip_prefix('+').unwrap_or(address);
                let lawful = (1..=MAX_DIGITS).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit());
                lawful.then(|| Self {
                    medium,
                    address: digits.to_owned(),
                })
            }
        }
    }
}
