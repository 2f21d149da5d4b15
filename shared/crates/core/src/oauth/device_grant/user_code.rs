//! User codes: what the device shows and the user enters (OA-113).

use serde::{Deserialize, Serialize};

use crate::{app::App, secrets::KeyPurpose};

/// Letters without vowels, so that a code is no word, and without `Y` (RFC 8628, section 6.1).
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
/// The letters of a code: 34.6 random bits.
const LETTERS: usize = 8;
/// The letters before the hyphen.
const GROUP: usize = 4;
/// The maximum length of an entered text.
const MAX_BYTES: usize = 64;

/// A user code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserCode(String);

crate::opaque_debug!(UserCode);

impl UserCode {
    /// A random code.
    pub(super) fn generate(app: &App) -> Self {
        Self(app.rng.text(ALPHABET, LETTERS))
    }

    /// Parses an entered text. Case, spaces and hyphens have no meaning. Returns `None` for a text that is no code.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let is_hyphen = |letter: char| matches!(letter, '-' | '\u{2010}'..='\u{2015}');
        let letters = text
            .chars()
            .filter(|letter| !letter.is_whitespace() && !is_hyphen(*letter));
        let code: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
        let is_valid =
            code.len() == LETTERS && code.bytes().all(|letter| ALPHABET.contains(&letter));
        is_valid.then_some(Self(code))
    }

    /// The code as devices and pages show it.
    pub fn display(&self) -> String {
        let (first, second) = self.0.split_at(GROUP);
        format!("{first}-{second}")
    }

    /// The keyed hash with which a new code is stored.
    pub(super) fn hash(&self, app: &App) -> String {
        app.config
            .keys
            .hash(KeyPurpose::UserCode, self.0.as_bytes())
    }

    /// The keyed hashes with which the code may be stored.
    pub(super) fn hashes(&self, app: &App) -> Vec<String> {
        app.config
            .keys
            .hashes(KeyPurpose::UserCode, self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oa_113_case_spaces_and_hyphens_have_no_meaning() {
        for text in [
            "BCDF-GHJK",
            "bcdfghjk",
            " bcdf ghjk ",
            "b-c-d-f-g-h-j-k",
            "BCDF\u{2011}GHJK",
            "BCDF\u{a0}GHJK",
        ] {
            let code = UserCode::parse(text).unwrap();
            assert_eq!(code.display(), "BCDF-GHJK", "{text}");
        }
    }

    #[test]
    fn oa_113_other_texts_are_no_codes() {
        for text in [
            "",
            "BCDF-GHJ",
            "BCDF-GHJKL",
            "ACDF-GHJK",
            "BCDF-GHJ0",
            "BCDF_GHJK",
            "BCDF-GHJ\u{212a}",
            &"-".repeat(80),
        ] {
            assert!(UserCode::parse(text).is_none(), "{text}");
        }
    }
}
