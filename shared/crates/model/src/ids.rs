//! Parsed identifiers. A value of these types always conforms to the Matrix grammar.
//!
//! This module depends neither on the operator's policy (see `accounts`), nor on storage, nor on HTTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The maximum length of a user ID, in bytes, including sigil, colon and server name (REG-07).
pub const MAX_USER_ID_BYTES: usize = 255;
/// The maximum length of a device's display name, in characters.
pub const MAX_DISPLAY_NAME_CHARS: usize = 100;
/// The maximum length of a device ID, in characters.
pub const MAX_DEVICE_ID_CHARS: usize = 255;

/// The name of the homeserver: the part of a user ID after the colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

impl ServerName {
    /// Parses a server name: a DNS name or an IP address with an optional port. Returns `None` if it is invalid
    /// or leaves no space for a user ID.
    pub fn parse(name: &str) -> Option<Self> {
        let short_enough = name.len() + "@a:".len() <= MAX_USER_ID_BYTES;
        (short_enough && ruma_identifiers_validation::server_name::validate(name).is_ok())
            .then(|| Self(name.to_owned()))
    }

    /// The name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The reason why a text is not a valid localpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalpartError {
    /// The text is empty.
    #[error("The name is empty")]
    Empty,
    /// The full user ID would be longer than [`MAX_USER_ID_BYTES`].
    #[error("The name is too long")]
    TooLong,
    /// The text contains a character other than `a-z 0-9 . _ = - / +`.
    #[error("The name contains a character that is not allowed in user IDs")]
    Character,
}

/// The part of a user ID between `@` and `:`, in the current grammar (REG-06).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Localpart(String);

impl Localpart {
    /// Parses a localpart for `server`. Converts only ASCII capitals to lower case (REG-04): the Kelvin sign
    /// does not become `k`.
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

    /// The localpart of a complete user ID on `server`.
    pub fn of_user_id(user_id: &str, server: &ServerName) -> Option<Self> {
        let name = user_id.strip_prefix('@')?.strip_suffix(server.as_str())?;
        Self::parse(name.strip_suffix(':')?, server).ok()
    }

    /// A localpart from storage. Checks only the characters, because the localpart was parsed when it was
    /// created.
    pub fn stored(text: &str) -> Option<Self> {
        is_localpart(text).then(|| Self(text.to_owned()))
    }

    /// The shortest localpart that no new user can choose.
    pub fn shortest() -> Self {
        Self("_".to_owned())
    }

    /// The localpart as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full user ID on `server` (REG-08).
    pub fn user_id(&self, server: &ServerName) -> String {
        format!("@{}:{server}", self.0)
    }
}

/// Whether `text` is a localpart without any conversion. Does not check the length of the user ID.
pub fn is_localpart(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._=-/+".contains(&b);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// A device ID: 1 to 255 characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    /// Parses a device ID. Returns `None` if it is empty, too long or contains a control character.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=MAX_DEVICE_ID_CHARS).contains(&text.chars().count());
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// Generates a device ID: ten random capital letters, as in other homeservers.
    pub fn generate(rng: &dyn crate::rng::Rng) -> Self {
        Self(rng.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10))
    }

    /// The device ID as a string.
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
    fn reg_07_a_user_id_has_at_most_255_bytes() {
        let longest = MAX_USER_ID_BYTES - "@:example.org".len();
        assert!(Localpart::parse(&"a".repeat(longest), &server()).is_ok());
        assert_eq!(
            Localpart::parse(&"a".repeat(longest + 1), &server()),
            Err(LocalpartError::TooLong)
        );
    }

    #[test]
    fn a_server_name_may_have_a_port_but_no_path() {
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
