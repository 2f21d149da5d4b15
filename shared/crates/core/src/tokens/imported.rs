//! The tokens of Synapse, which stay valid after an import (HS-21).
//!
//! A token is `syt_` (or `syr_` for a refresh token), the localpart in base64, twenty random letters and a checksum, with
//! `_` between them. It names no device, so a row of its account does. Everything else, such as its expiry and its end,
//! is decided by the row of the device, as for the tokens of this server. A row that is left of a token whose device has
//! other tokens, or no longer exists, has no effect.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};

use super::{Issued, Token, TokenKind, pairs::seal_answer};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart, ServerName},
    rng::Rng,
    secrets::KeyRing,
    store::{ImportedDevice, NextPair},
};

/// The digits of the checksum.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The length of the largest CRC-32 in base 62.
const CHECKSUM_CHARS: usize = 6;

const fn prefix(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Access => "syt_",
        TokenKind::Refresh => "syr_",
    }
}

/// Whether `text` begins like a token of Synapse.
pub(super) fn has_prefix(text: &str) -> bool {
    [TokenKind::Access, TokenKind::Refresh]
        .into_iter()
        .any(|kind| text.starts_with(prefix(kind)))
}

/// The user in a token of this kind. Returns `None` if the token is malformed, or if its user cannot have an account.
pub(super) fn localpart_of(kind: TokenKind, whole: &str, server: &ServerName) -> Option<Localpart> {
    let (body, sum) = whole.rsplit_once('_')?;
    if sum != checksum(body) {
        return None;
    }
    let (encoded, random) = body.strip_prefix(prefix(kind))?.split_once('_')?;
    if random.is_empty() || !random.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let name = String::from_utf8(BASE64_STANDARD_NO_PAD.decode(encoded).ok()?).ok()?;
    // `parse` converts capitals, but the user with the name in lower case is another user of Synapse.
    let localpart = Localpart::parse(&name, server).ok();
    localpart.filter(|localpart| localpart.as_str() == name)
}

/// The CRC-32 of the text as a number in base 62.
fn checksum(body: &str) -> String {
    let mut number = crc32(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(number % 62).unwrap_or_default();
        *digit = BASE62.get(index).copied().unwrap_or_default();
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// CRC-32 with the polynomial of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..u8::BITS {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0xedb8_8320;
            }
        }
    }
    !crc
}

/// A pair of tokens of a device at Synapse. Either token may be missing.
#[derive(Debug, Default)]
pub struct ImportedPair {
    /// The access token.
    pub access: Option<Token>,
    /// The time at which the access token expires.
    pub access_expires: Option<Timestamp>,
    /// The refresh token.
    pub refresh: Option<Token>,
}

/// The device of an imported account with the hashes of its tokens. `next` is the pair that Synapse has issued for the
/// refresh token of the current pair, and that the client has not used yet: after a lost response the client still has
/// the current pair.
pub fn imported_device(
    (keys, rng): (&KeyRing, &dyn Rng),
    now: Timestamp,
    (id, display_name): (DeviceId, Option<String>),
    current: &ImportedPair,
    next: Option<&ImportedPair>,
) -> ImportedDevice {
    let next = current.refresh.as_ref().zip(next).and_then(|(used, pair)| {
        let (access, refresh) = (pair.access.as_ref()?, pair.refresh.as_ref()?);
        let issued = Issued {
            access_token: Some(access.reveal().to_owned()),
            device_id: None,
            refresh_token: Some(refresh.reveal().to_owned()),
            expires_in_ms: pair
                .access_expires
                .map(|expires| expires.0.saturating_sub(now.0).max(0)),
        };
        Some(NextPair {
            access_hash: access.hash(),
            access_expires: pair.access_expires,
            refresh_hash: refresh.hash(),
            answer: seal_answer((keys, rng), used.reveal(), (&used.localpart, &id), &issued),
        })
    });
    ImportedDevice {
        access_hash: current.access.as_ref().map(Token::hash),
        access_expires: current.access_expires,
        refresh_hash: current.refresh.as_ref().map(Token::hash),
        next,
        id,
        display_name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{secrets::Secret, store::TokenDevice};

    /// Tokens that Synapse 1.163.2 has issued to `@alice:localhost`.
    const ACCESS: &str = "syt_YWxpY2U_LdSmywIZXKqhuxLRdSNE_4ge0TO";
    const REFRESH: &str = "syr_YWxpY2U_XEbKzyiMiPAVSBYZcQbt_3w5Blz";

    fn parse(kind: TokenKind, text: &str) -> Option<Token> {
        let server = ServerName::parse("localhost").unwrap();
        Token::parse(kind, &Secret::new(text.to_owned()), &server)
    }

    fn token(kind: TokenKind, localpart: &str) -> String {
        let encoded = BASE64_STANDARD_NO_PAD.encode(localpart);
        let body = format!("{}{encoded}_abcdefghijKLMNOPQRST", prefix(kind));
        format!("{body}_{}", checksum(&body))
    }

    #[test]
    fn hs_21_a_token_of_synapse_names_its_user() {
        for (kind, other, text) in [
            (TokenKind::Access, TokenKind::Refresh, ACCESS),
            (TokenKind::Refresh, TokenKind::Access, REFRESH),
        ] {
            let token = parse(kind, text).unwrap();
            assert_eq!(token.localpart.as_str(), "alice");
            assert_eq!(token.device, TokenDevice::Imported(token.hash()));
            assert!(parse(other, text).is_none());
        }
    }

    #[test]
    fn the_checksum_is_that_of_synapse() {
        // Synapse: base62_encode(crc32(text), minwidth=6).
        for (text, sum) in [("", "000000"), ("syt_YQ_x", "39pyR3"), ("a", "4GEHKN")] {
            assert_eq!(checksum(text), sum, "{text}");
        }
    }

    #[test]
    fn a_malformed_token_is_rejected() {
        let kind = TokenKind::Access;
        assert!(parse(kind, &token(kind, "a._=-/+9")).is_some());
        let signed = |body: &str| format!("{body}_{}", checksum(body));
        for text in [
            token(kind, ""),
            token(kind, "Alice"),
            token(kind, "al ice"),
            token(kind, "älice"),
            token(kind, &"a".repeat(250)),
            signed("syt_YWxpY2U"),
            signed("syt_YWxpY2U_"),
            signed("syt_YWxpY2U=_abc"),
            signed("syt_YWxpY2U_abc_def"),
            signed("syt_!_abc"),
            "syt_".to_owned(),
            "syt_YWxpY2U_LdSmywIZXKqhuxLRdSNE".to_owned(),
            format!("{ACCESS}_"),
            format!("{ACCESS}0"),
        ] {
            assert!(parse(kind, &text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_token_with_a_changed_character_is_rejected(at in 0usize..39, to in "[a-zA-Z0-9_]") {
            let mut text = ACCESS.to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != ACCESS);
            prop_assert!(parse(TokenKind::Access, &text).is_none());
        }
    }
}
