//! What a stored hash is: ours, or one that another server made and an import brought along.
//!
//! Others' are verified and never made: the first login puts one of ours in their place. What a hash
//! costs stands in the hash itself, so it is judged before anything is computed, here as at the
//! import: nobody's row is to hold up a function for minutes.

use std::num::NonZeroU32;

use argon2::{Params, password_hash::phc::PasswordHash as Phc};
use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use ring::pbkdf2;

use crate::password_hash::is_affordable;

/// There is no lower one.
const MIN_BCRYPT_COST: u32 = 4;
/// Each step doubles the work: 14 takes a second, twice that for a password that is not normalised.
const MAX_BCRYPT_COST: u32 = 14;
/// How much of a password bcrypt looks at, in bytes.
const BCRYPT_BYTES: usize = 72;
/// Fewer rounds of PBKDF2 protect nothing.
const MIN_PBKDF2_ROUNDS: u32 = 1_000;
/// All blocks of its output together: two seconds at most, twice that for a password that is not normalised.
const MAX_PBKDF2_ROUNDS: u32 = 2_000_000;
/// A shorter salt is as good as none.
const MIN_SALT_BYTES: usize = 8;
/// The one version of argon2 that is made today.
const ARGON2_VERSION: u32 = 0x13;
/// A shorter hash would be found by trying.
const MIN_HASH_BYTES: usize = 16;
/// No hash and no salt is longer.
const MAX_BYTES: usize = 64;

/// Why a text is no hash that can be verified here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFormatError {
    /// Of another kind.
    #[error(
        "the password hash is of no kind that is known here: bcrypt ($2a$, $2b$, $2y$), $argon2id$, $pbkdf2-sha256$ or $pbkdf2-sha512$"
    )]
    Unknown,
    /// Of that kind, and broken.
    #[error("the password hash is not well-formed")]
    Malformed,
    /// It would take too long, or too much memory.
    #[error("the password hash costs more than a login may take")]
    TooExpensive,
}

/// A hash that can be verified.
pub(super) enum Stored<'a> {
    /// Ours, or of the same kind.
    Argon2(Box<Phc>, Params),
    /// Synapse's and Dendrite's.
    Bcrypt(&'a str),
    /// Passlib's, Django's and others'.
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
    /// Recognises a hash.
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
    // An older version, or one that is bound to further data, would never be taken for outdated.
    let ours = phc.version == Some(ARGON2_VERSION) && phc.params.iter().count() == 3;
    if phc.salt.is_none() || hash.len() < MIN_HASH_BYTES || !ours {
        return Err(HashFormatError::Malformed);
    }
    if !is_affordable(&params) {
        return Err(HashFormatError::TooExpensive);
    }
    Ok(Stored::Argon2(Box::new(phc), params))
}

fn bcrypt_hash(text: &str) -> Result<Stored<'_>, HashFormatError> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| HashFormatError::Malformed)?;
    // A `+` before the cost would pass for a number.
    if text.contains('+') || parts.get_cost() < MIN_BCRYPT_COST {
        return Err(HashFormatError::Malformed);
    }
    if parts.get_cost() > MAX_BCRYPT_COST {
        return Err(HashFormatError::TooExpensive);
    }
    Ok(Stored::Bcrypt(text))
}

/// `$pbkdf2-sha256$i=600000,l=32$salt$hash`, or as passlib writes it,
/// `$pbkdf2-sha256$29000$salt$hash` with `.` in the place of `+`.
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
        // A `+` before them would pass for a number.
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

/// Whether bcrypt made this hash of these bytes. It looks at the first 72 and ends at a zero: who had
/// a longer password logs in with its beginning, as they did where they come from. A zero in it is in
/// no password that other servers took.
pub(super) fn is_bcrypt_of(hash: &str, password: &[u8]) -> bool {
    let looked_at = &password[..password.len().min(BCRYPT_BYTES)];
    let right = bcrypt::verify(looked_at, hash).unwrap_or(false);
    right && !looked_at.contains(&0)
}

impl Pbkdf2 {
    /// Whether this hash is of these bytes.
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
