//! Parsed identifiers: a value of these types obeys the Matrix grammar, wherever it came from.
//!
//! Knows the grammar and nothing of an operator's policy (see `accounts`), of storage or of HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest user ID, in bytes, with sigil, colon and server name (REG-07).
pub const MAX_USER_ID_BYTES: usize = 255;
/// The longest display name of a device, in characters.
pub const MAX_DISPLAY_NAME_CHARS: usize = 100;
/// The longest device ID, in characters.
pub const MAX_DEVICE_ID_CHARS: usize = 255;

/// The homeserver's name: what follows the colon of its users' IDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

impl ServerName {
    /// Parses a server name: a DNS name or an IP literal with an optional port.
    pub fn parse(name: &str) -> Option<Self> {
        let short_enough = name.len() + "@a:".len() <= MAX_USER_ID_BYTES;
        (short_enough && ruma_identifiers_validation::server_name::validate(name).is_ok())
            .then(|| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no localpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalpartError {
    /// There is nothing in it.
    #[error("The name is empty")]
    Empty,
    /// The whole user ID would be longer than [`MAX_USER_ID_BYTES`].
    #[error("The name is too long")]
    TooLong,
    /// It holds a character outside `a-z 0-9 . _ = - / +`.
    #[error("The name holds a character that user IDs may not have")]
    Character,
}

/// The part of a user ID between `@` and `:`, in today's grammar (REG-06).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Localpart(String);

impl Localpart {
    /// Parses a localpart for `server`, folding ASCII capitals and nothing else (REG-04): the
    /// Kelvin sign is no `k`.
    pub fn parse(text: &str, server: &ServerName) -> Result<Self, LocalpartError> {
        let name = text.to_ascii_lowercase();
        if name.is_empty() {
            return Err(LocalpartError::Empty);
        }
        if name.len() + server.as_str().len() + "@:".len() > MAX_USER_ID_BYTES {
            return Err(LocalpartError::TooLong);
        }
        if !is_localpart(&name) {
            return Err(LocalpartError::Character);
        }
        Ok(Self(name))
    }

    /// One that was stored: parsed when it came to this server, and as it stands since.
    pub fn stored(text: &str) -> Option<Self> {
        is_localpart(text).then(|| Self(text.to_owned()))
    }

    /// The shortest there is, which no new user can choose.
    pub fn shortest() -> Self {
        Self("_".to_owned())
    }

    /// The localpart as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full user ID on `server` (REG-08).
    pub fn user_id(&self, server: &ServerName) -> String {
        format!("@{}:{server}", self.0)
    }
}

/// Whether `text` is a localpart as it stands, on a server with a short enough name.
pub fn is_localpart(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// A device ID: 1 to 255 characters without controls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    /// Parses a device ID; `None` if it is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_DEVICE_ID_CHARS).contains(&text.chars().count());
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// A new device ID: ten random capitals, as clients know them from other homeservers.
    pub fn generate(rng: &dyn crate::rng::Rng) -> Self {
        Self(rng.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10))
    }

    /// The device ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server() -> ServerName {
        ServerName::parse("example.org").unwrap()
    }

    #[test]
    fn reg_04_only_ascii_capitals_are_folded() {
        assert_eq!(
            Localpart::parse("User-UPPER", &server()).unwrap().as_str(),
            "user-upper"
        );
        assert_eq!(
            Localpart::parse("\u{212A}elvin", &server()),
            Err(LocalpartError::Character)
        );
    }

    #[test]
    fn reg_07_a_user_id_of_255_bytes_passes_and_256_fails() {
        let longest = MAX_USER_ID_BYTES - "@:example.org".len();
        assert!(Localpart::parse(&"a".repeat(longest), &server()).is_ok());
        assert_eq!(
            Localpart::parse(&"a".repeat(longest + 1), &server()),
            Err(LocalpartError::TooLong)
        );
    }

    #[test]
    fn server_names_may_have_ports_and_no_paths() {
        assert!(ServerName::parse("localhost:8008").is_some());
        assert!(ServerName::parse("example.org/x").is_none());
        assert!(ServerName::parse("").is_none());
    }

    proptest! {
        #[test]
        fn parsing_a_localpart_twice_changes_nothing(text in ".*") {
            if let Ok(name) = Localpart::parse(&text, &server()) {
                prop_assert_eq!(Localpart::parse(name.as_str(), &server()), Ok(name));
            }
        }
    }
}
