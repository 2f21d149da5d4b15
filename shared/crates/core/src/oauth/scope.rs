//! Scopes: the access that a client asks for, and the device ID in it.

use serde::{Deserialize, Serialize};

/// Both spellings of the scope of the whole API (OA-36).
const API: [&str; 2] = [
    "urn:matrix:client:api:*",
    "urn:matrix:org.matrix.msc2967.client:api:*",
];
/// Both spellings of the start of a device's scope (OA-36).
const DEVICE: [&str; 2] = [
    "urn:matrix:client:device:",
    "urn:matrix:org.matrix.msc2967.client:device:",
];
/// The scopes of administrators start like this.
const ADMIN: &str = "urn:synapse:admin:";
/// The accepted lengths of a device ID (OA-39).
const DEVICE_ID_CHARS: std::ops::RangeInclusive<usize> = 8..=255;

/// The reason why a scope is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The scope of the API is missing.
    #[error("the scope of the API is missing")]
    NoApi,
    /// There is no device ID, more than one, or an invalid one.
    #[error("the scope does not contain exactly one valid device ID")]
    NotOneDevice,
    /// Administration cannot be granted.
    #[error("the scope contains administration")]
    Admin,
}

/// A scope that can be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedScope {
    /// The scope without unknown values, in the spelling of the request (OA-38, OA-82).
    pub text: String,
    /// The device ID.
    pub device_id: String,
}

impl GrantedScope {
    /// Parses a requested scope. Unknown values are dropped, `openid` among them (OA-38).
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let mut granted: Vec<&str> = Vec::new();
        let mut device_id: Option<&str> = None;
        for value in text.split(' ') {
            if value.starts_with(ADMIN) {
                return Err(ScopeError::Admin);
            }
            let device = DEVICE.iter().find_map(|start| value.strip_prefix(start));
            if let Some(device) = device {
                // OA-37: both spellings of one ID count once.
                if !is_device_id(device) || device_id.is_some_and(|other| other != device) {
                    return Err(ScopeError::NotOneDevice);
                }
                device_id = Some(device);
            } else if !API.contains(&value) {
                continue;
            }
            if !granted.contains(&value) {
                granted.push(value);
            }
        }
        if !granted.iter().any(|value| API.contains(value)) {
            return Err(ScopeError::NoApi);
        }
        let device_id = device_id.ok_or(ScopeError::NotOneDevice)?.to_owned();
        let text = granted.join(" ");
        Ok(Self { text, device_id })
    }
}

/// Whether the text has the characters of a scope value (RFC 6749, section 3.3) and the length of a device ID.
fn is_device_id(text: &str) -> bool {
    let is_allowed = |byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    DEVICE_ID_CHARS.contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String), ScopeError> {
        let scope = GrantedScope::parse(text)?;
        Ok((scope.text, scope.device_id))
    }

    #[test]
    fn oa_36_both_spellings_are_granted_as_requested() {
        for (text, granted) in [
            (
                "urn:matrix:client:api:* urn:matrix:client:device:ABCDEFGH",
                None,
            ),
            (
                "urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:ABCDEFGH",
                None,
            ),
            (
                "openid urn:matrix:client:device:ABCDEFGH urn:matrix:org.matrix.msc2967.client:api:* x",
                Some(
                    "urn:matrix:client:device:ABCDEFGH urn:matrix:org.matrix.msc2967.client:api:*",
                ),
            ),
        ] {
            let expected = (granted.unwrap_or(text).to_owned(), "ABCDEFGH".to_owned());
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn oa_37_the_api_and_exactly_one_device_are_needed() {
        let (api, device) = ("urn:matrix:client:api:*", "urn:matrix:client:device:");
        let other = "urn:matrix:org.matrix.msc2967.client:device:";
        for (text, expected) in [
            (String::new(), ScopeError::NoApi),
            ("openid".to_owned(), ScopeError::NoApi),
            (format!("{device}ABCDEFGH"), ScopeError::NoApi),
            (api.to_owned(), ScopeError::NotOneDevice),
            (format!("{api} {device}"), ScopeError::NotOneDevice),
            (
                format!("{api} {device}ABCDEFGH {device}ABCDEFGI"),
                ScopeError::NotOneDevice,
            ),
            (
                format!("{api} {device}ABCDEFGH {other}abcdefgh"),
                ScopeError::NotOneDevice,
            ),
            (
                format!("{api} {device}ABCDEFGH urn:synapse:admin:*"),
                ScopeError::Admin,
            ),
        ] {
            assert_eq!(parse(&text), Err(expected), "{text}");
        }
        assert!(parse(&format!("{api} {device}ABCDEFGH {other}ABCDEFGH")).is_ok());
    }

    #[test]
    fn oa_39_a_device_id_has_the_characters_of_a_scope() {
        let scope = |id: &str| format!("urn:matrix:client:api:* urn:matrix:client:device:{id}");
        for id in [
            "ABCDEFGH",
            "wjLpTLRqbqBzLs63aYaEv2Boi6cFEbbM/sSRQ2oAKk4",
            "a+/=.~_-!#",
            &"a".repeat(255),
        ] {
            assert_eq!(parse(&scope(id)).unwrap().1, id);
        }
        for id in [
            "ABCDEFG",
            "ABCDEFG\"",
            "ABCDEFG\\",
            "ABCDEFGÜ",
            "ABCDEFG\t",
            &"a".repeat(256),
        ] {
            assert_eq!(parse(&scope(id)), Err(ScopeError::NotOneDevice), "{id}");
        }
    }
}
