//! Parsing of stored password hashes: those of this server, and those of other servers that an import added.
//!
//! The hashes of other servers are verified but never made: the first login replaces them. The cost of a hash
//! is part of the hash. It is checked before anything is computed, here and at the import, so that no stored
//! hash can block a function for minutes.

use std::num::NonZeroU32;

use argon2::{Params, password_hash::phc::PasswordHash as Phc};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use ring::pbkdf2;

use crate::password_hash::is_affordable;

/// The minimum cost that bcrypt allows.
const MIN_BCRYPT_COST: u32 = 4;
/// The maximum cost of bcrypt. Each step doubles the work: a cost of 14 takes one second, or two for a password
/// that is not normalised.
const MAX_BCRYPT_COST: u32 = 14;
/// The number of bytes of a password that bcrypt processes.
const BCRYPT_BYTES: usize = 72;
/// The minimum number of PBKDF2 rounds. Fewer rounds give no protection.
const MIN_PBKDF2_ROUNDS: u32 = 1_000;
/// The maximum number of PBKDF2 rounds, summed over all blocks of the output: two seconds at most, or four for a
/// password that is not normalised.
const MAX_PBKDF2_ROUNDS: u32 = 2_000_000;
/// The minimum length of a salt. A shorter salt gives no protection.
const MIN_SALT_BYTES: usize = 8;
/// The current version of argon2, the only supported one.
const ARGON2_VERSION: u32 = 0x13;
/// The minimum length of a hash. An attacker could find a password for a shorter hash by guessing.
const MIN_HASH_BYTES: usize = 16;
/// The maximum length of a hash and of a salt.
const MAX_BYTES: usize = 64;

/// The reason why a hash cannot be verified here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFormatError {
    /// The algorithm is not supported.
    #[error(
        "the algorithm of the password hash is not supported; supported are bcrypt ($2a$, $2b$, $2y$), $argon2id$, $pbkdf2-sha256$ and $pbkdf2-sha512$"
    )]
    Unknown,
    /// The algorithm is supported, but the hash is malformed or too weak.
    #[error("the password hash is not well-formed")]
    Malformed,
    /// The hash needs too much time or memory.
    #[error(
        "the password hash needs more memory or time than a login may use (argon2id: 1 GiB, and 2 GiB for all passes; bcrypt: cost 14; PBKDF2: 2000000 rounds); import the user without it, and let the user reset the password"
    )]
    TooExpensive,
}

/// A hash that can be verified here.
pub(super) enum Stored<'a> {
    /// The hash of this server, or one of the same algorithm.
    Argon2(Box<Phc>, Params),
    /// The hash of Synapse and Dendrite.
    Bcrypt(&'a str),
    /// The hash of passlib, Django and others.
    Pbkdf2(Pbkdf2),
}

/// The parts of a PBKDF2 hash.
pub(super) struct Pbkdf2 {
    algorithm: pbkdf2::Algorithm,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl<'a> Stored<'a> {
    /// Parses a hash and checks its cost.
    pub(super) fn parse(text: &'a str) -> Result<Self, HashFormatError> {
        let mut parts = text.split('$').skip(1);
        match parts.next() {
            Some("argon2id") => argon2id(text),
            Some("2a" | "2b" | "2y") => bcrypt_hash(text),
            Some("pbkdf2-sha256") => pbkdf2_hash(pbkdf2::PBKDF2_HMAC_SHA256, 32, parts),
            Some("pbkdf2-sha512") => pbkdf2_hash(pbkdf2::PBKDF2_HMAC_SHA512, 64, parts),
            _ => Err(HashFormatError::Unknown),
        }
    }
}

fn argon2id<'a>(text: &str) -> Result<Stored<'a>, HashFormatError> {
    let phc = Phc::new(text).map_err(|_| HashFormatError::Malformed)?;
    let params = Params::try_from(&phc).map_err(|_| HashFormatError::Malformed)?;
    let hash = phc.hash.as_ref().ok_or(HashFormatError::Malformed)?;
    // An older version, or additional data, would not be detected as outdated after a login.
    let is_supported = phc.version == Some(ARGON2_VERSION) && phc.params.iter().count() == 3;
    if phc.salt.is_none() || hash.len() < MIN_HASH_BYTES || !is_supported {
        return Err(HashFormatError::Malformed);
    }
    if !is_affordable(&params) {
        return Err(HashFormatError::TooExpensive);
    }
    Ok(Stored::Argon2(Box::new(phc), params))
}

fn bcrypt_hash(text: &str) -> Result<Stored<'_>, HashFormatError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashFormatError::Malformed)?;
    // The parser of the library accepts a `+` before the cost.
    if text.contains('+') || parts.get_cost() < MIN_BCRYPT_COST {
        return Err(HashFormatError::Malformed);
    }
    if parts.get_cost() > MAX_BCRYPT_COST {
        return Err(HashFormatError::TooExpensive);
    }
    Ok(Stored::Bcrypt(text))
}

/// Parses `$pbkdf2-sha256$i=600000,l=32$salt$hash`, or the format of passlib, `$pbkdf2-sha256$29000$salt$hash`
/// with `.` instead of `+`.
fn pbkdf2_hash<'a>(
    algorithm: pbkdf2::Algorithm,
    block: usize,
    mut parts: impl Iterator<Item = &'a str>,
) -> Result<Stored<'a>, HashFormatError> {
    let (Some(params), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HashFormatError::Malformed);
    };
    let bytes = |text: &str| {
        let text = text.trim_end_matches('=').replace('.', "+");
        let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok();
        bytes.filter(|bytes| bytes.len() <= MAX_BYTES)
    };
    let hash = bytes(hash).filter(|hash| hash.len() >= MIN_HASH_BYTES);
    let salt = bytes(salt).filter(|salt| salt.len() >= MIN_SALT_BYTES);
    let (Some(salt), Some(hash)) = (salt, hash) else {
        return Err(HashFormatError::Malformed);
    };
    let (rounds, length) = params.split_once(',').unwrap_or((params, ""));
    let digits = rounds.strip_prefix("i=").unwrap_or(rounds);
    let rounds: Option<NonZeroU32> = digits.parse().ok().filter(|rounds: &NonZeroU32| {
        // `parse` accepts a `+` before the digits.
        digits.bytes().all(|byte| byte.is_ascii_digit()) && rounds.get() >= MIN_PBKDF2_ROUNDS
    });
    let length_matches = length.is_empty() || *length == format!("l={}", hash.len());
    let Some(rounds) = rounds.filter(|_| length_matches) else {
        return Err(HashFormatError::Malformed);
    };
    let blocks = u32::try_from(hash.len().div_ceil(block)).unwrap_or(u32::MAX);
    if rounds.get().saturating_mul(blocks) > MAX_PBKDF2_ROUNDS {
        return Err(HashFormatError::TooExpensive);
    }
    Ok(Stored::Pbkdf2(Pbkdf2 {
        algorithm,
        rounds,
        salt,
        hash,
    }))
}

/// Whether bcrypt gives this hash for these bytes. bcrypt processes the first 72 bytes and stops at a zero
/// byte. A user with a longer password can therefore log in with its beginning, as on the previous server. A
/// password with a zero byte is rejected, because no other server accepted one.
pub(super) fn is_bcrypt_of(hash: &str, password: &[u8]) -> bool {
    let looked_at = &password[..password.len().min(BCRYPT_BYTES)];
    let right = bcrypt::verify(looked_at, hash).unwrap_or(false);
    right && !looked_at.contains(&0)
}

impl Pbkdf2 {
    /// Whether PBKDF2 gives this hash for these bytes.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        pbkdf2::verify(
            self.algorithm,
            self.rounds,
            &self.salt,
            password,
            &self.hash,
        )
        .is_ok()
    }
}
