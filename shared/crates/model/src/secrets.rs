//! Secrets: a type that is never printed, and the key ring from which every key is derived.
//!
//! Each key generation has one root secret, and each purpose has one key, derived from the root by HKDF. Every
//! hash and sealed value carries the ID of its key generation, so that keys can be rotated with an overlap.
//! This module does not depend on the types that it protects.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::rng::Rng;

/// The minimum length of a root secret, in bytes.
pub const MIN_ROOT_BYTES: usize = 32;

const NONCE_BYTES: usize = 24;
const KEY_ID_CHARS: usize = 8;

/// A value that `Debug` does not print and that is overwritten with zeros when dropped. It does not implement
/// `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a secret value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. A search for `reveal` finds every place that reads a secret.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Implements `Debug` for types with secret fields. It prints only the name of the type.
#[macro_export]
macro_rules! opaque_debug {
    ($($name:ty),+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        })+
    };
}

/// The purpose of a key. The keys of two purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Hashes of the registration tokens that an operator gives out.
    RegistrationToken,
    /// Hashes of the `as_token`s of application services.
    AppserviceToken,
    /// Hashes by which a repeated import recognises the accounts of the previous run.
    ImportMarker,
    /// Keys of the rate-limit buckets, so that the table contains no 3PID.
    LimitKey,
    /// IDs of validation sessions.
    ValidationSessionId,
    /// Codes in text messages, and tokens in links.
    ValidationToken,
    /// Sealing of the URL that a browser is redirected to after validation.
    NextLink,
    /// Sealing of the client network that requested a message.
    RequestNetwork,
    /// Sealing of UIA sessions, together with the session ID.
    UiaSession,
    /// Sealing of new tokens, together with the refresh token or the device code that was exchanged for them.
    Refresh,
    /// Sealing of the context of an authorization request, which the browser carries.
    AuthorizationContext,
    /// Authorization codes, which are keyed hashes of the context and the user.
    AuthorizationCode,
    /// Sealing of the grant of an authorization code, together with the code.
    AuthorizationGrant,
    /// Keys of user codes, which have too few random bits for a hash without a key.
    UserCode,
    /// Sealing of the description of a device that requests access.
    DeviceRequester,
    /// Keys of sign-ups by page, which are keyed hashes of the first form.
    SignUp,
    /// CSRF tokens of the pages.
    CsrfToken,
    /// The seed of the key that signs requests to identity servers.
    SigningKey,
    /// Hashes of usernames in the log.
    LoggedUser,
    /// Client secrets of the validation sessions of fallback pages.
    PageSecret,
}

impl KeyPurpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::RegistrationToken => b"gatehouse registration token",
            Self::AppserviceToken => b"gatehouse appservice token",
            Self::ImportMarker => b"gatehouse import marker",
            Self::LimitKey => b"gatehouse limit key",
            Self::ValidationSessionId => b"gatehouse proof id",
            Self::ValidationToken => b"gatehouse proof token",
            Self::NextLink => b"gatehouse next link",
            Self::RequestNetwork => b"gatehouse request network",
            Self::UiaSession => b"gatehouse uia session",
            Self::Refresh => b"gatehouse refresh",
            Self::AuthorizationContext => b"gatehouse authorization context",
            Self::AuthorizationCode => b"gatehouse authorization code",
            Self::AuthorizationGrant => b"gatehouse authorization grant",
            Self::UserCode => b"gatehouse user code",
            Self::DeviceRequester => b"gatehouse device requester",
            Self::SignUp => b"gatehouse sign-up",
            Self::CsrfToken => b"gatehouse csrf token",
            Self::SigningKey => b"gatehouse signing key",
            Self::LoggedUser => b"gatehouse logged user",
            Self::PageSecret => b"gatehouse page secret",
        }
    }
}

/// The root of one key generation.
#[derive(Debug, Clone)]
struct Root {
    id: String,
    secret: Secret<Vec<u8>>,
}

impl Root {
    fn new(secret: Secret<Vec<u8>>) -> Self {
        let mut id = BASE64_URL_SAFE_NO_PAD
            .encode(derive(secret.reveal(), b"", b"gatehouse key id").reveal());
        id.truncate(KEY_ID_CHARS);
        Self { id, secret }
    }
}

/// The keys of the server: the current generation and, during a rotation, the next or the previous one. Values
/// made with any of them are valid; new values are made only with the current one. Every process has the next
/// key before it becomes the current one, so that every process can read every value.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: Root,
    next: Option<Root>,
    previous: Option<Root>,
}

/// A key generation in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The generation that makes new hashes and sealed values.
    Current,
    /// The generation that becomes the current one in the rotation under way.
    Next,
    /// The generation that was the current one before the last rotation.
    Previous,
}

/// A sealed value cannot be opened: its key, salt or place differs, or it was modified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value cannot be decrypted")]
pub struct SealError;

impl KeyRing {
    /// Creates a ring of one or two roots. The configuration checks that each has at least [`MIN_ROOT_BYTES`].
    pub fn new(current: Secret<Vec<u8>>, previous: Option<Secret<Vec<u8>>>) -> Self {
        Self {
            current: Root::new(current),
            next: None,
            previous: previous.map(Root::new),
        }
    }

    /// Adds the root that becomes the current one in the rotation under way.
    #[must_use]
    pub fn with_next(self, next: Option<Secret<Vec<u8>>>) -> Self {
        Self {
            next: next.map(Root::new),
            ..self
        }
    }

    /// The keyed hash of `message` with the current key: `<key ID>.<base64>`.
    pub fn hash(&self, purpose: KeyPurpose, message: &[u8]) -> String {
        keyed_hash(&self.current, purpose, message)
    }

    /// The keyed hashes that may be stored for `message`: the current key's hash comes first.
    pub fn hashes(&self, purpose: KeyPurpose, message: &[u8]) -> Vec<String> {
        self.roots()
            .map(|root| keyed_hash(root, purpose, message))
            .collect()
    }

    /// Whether `hash` is the keyed hash of `message` with any key of this ring. Compares in constant time.
    pub fn hash_matches(&self, purpose: KeyPurpose, message: &[u8], hash: &str) -> bool {
        self.hashes(purpose, message)
            .iter()
            .fold(false, |found, own| {
                found | bool::from(own.as_bytes().ct_eq(hash.as_bytes()))
            })
    }

    /// Codes of six decimal digits derived from `message`, one for each key: the current key's code comes
    /// first.
    pub fn codes(&self, purpose: KeyPurpose, message: &[u8]) -> Vec<Secret> {
        self.roots()
            .map(|root| {
                let digest = keyed_digest(root, purpose, message);
                // 2^64 is so much larger than 10^6 that the modulo bias is negligible.
                let number = digest
                    .iter()
                    .take(8)
                    .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                Secret::new(format!("{:06}", number % 1_000_000))
            })
            .collect()
    }

    /// Encrypts and authenticates `plaintext` with XChaCha20-Poly1305. Decryption requires this ring, the same
    /// `salt` (a secret of the client, such as a session ID) and the same `place` (the position in storage:
    /// row, field, version).
    pub fn seal(
        &self,
        purpose: KeyPurpose,
        salt: &[u8],
        place: &[u8],
        plaintext: &[u8],
        rng: &dyn Rng,
    ) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = rng.bytes();
        let mut sealed = self.current.id.clone().into_bytes();
        sealed.extend_from_slice(&nonce);
        let payload = Payload {
            msg: plaintext,
            aad: place,
        };
        match cipher(&self.current, purpose, salt).encrypt(&XNonce::from(nonce), payload) {
            Ok(text) => sealed.extend_from_slice(&text),
            // Encryption fails only for a message of more than 256 GiB. An empty value can never be opened.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Decrypts a value that [`seal`](Self::seal) made.
    pub fn open(
        &self,
        purpose: KeyPurpose,
        salt: &[u8],
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (id, rest) = sealed.split_at_checked(KEY_ID_CHARS).ok_or(SealError)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError)?;
        let root = self
            .roots()
            .find(|root| root.id.as_bytes() == id)
            .ok_or(SealError)?;
        cipher(root, purpose, salt)
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: text,
                    aad: place,
                },
            )
            .map_err(|_| SealError)
    }

    /// The seed for a key of another algorithm and the ID of its root, if the ring has this generation.
    pub fn seed(
        &self,
        purpose: KeyPurpose,
        generation: Generation,
    ) -> Option<(&str, Secret<[u8; 32]>)> {
        let root = match generation {
            Generation::Current => Some(&self.current),
            Generation::Next => self.next.as_ref(),
            Generation::Previous => self.previous.as_ref(),
        }?;
        let seed = derive(root.secret.reveal(), b"", purpose.info());
        Some((root.id.as_str(), seed))
    }

    /// The generation of the key that made this hash, according to the key ID in it. Returns `None` if the key is not
    /// in this ring.
    pub fn generation_of(&self, hash: &str) -> Option<Generation> {
        let (id, _) = hash.split_once('.')?;
        let generations = [
            (Some(&self.current), Generation::Current),
            (self.next.as_ref(), Generation::Next),
            (self.previous.as_ref(), Generation::Previous),
        ];
        let made_by = |root: Option<&Root>| root.is_some_and(|root| root.id == id);
        let own = generations.into_iter().find(|(root, _)| made_by(*root));
        own.map(|(_, generation)| generation)
    }

    fn roots(&self) -> impl Iterator<Item = &Root> {
        let others = self.next.iter().chain(&self.previous);
        std::iter::once(&self.current).chain(others)
    }
}

/// Concatenates the fields, each behind its length, so that no two different lists give the same bytes.
pub fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// SHA-256 as unpadded URL-safe base64, for values with enough entropy to need no key.
pub fn sha256_base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// Whether two strings are equal. The time depends only on their lengths.
pub fn constant_time_eq(a: &str, b: &str) -> bool {
    bool::from(a.as_bytes().ct_eq(b.as_bytes()))
}

/// The SHA-256 of a token. The token itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Secret<[u8; 32]> {
    let mut key = [0; 32];
    // HKDF-SHA256 allows up to 8,160 bytes, so 32 bytes never fail.
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key);
    debug_assert!(expanded.is_ok());
    Secret::new(key)
}

fn cipher(root: &Root, purpose: KeyPurpose, salt: &[u8]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(
        derive(root.secret.reveal(), salt, purpose.info())
            .reveal()
            .into(),
    )
}

fn keyed_hash(root: &Root, purpose: KeyPurpose, message: &[u8]) -> String {
    let digest = keyed_digest(root, purpose, message);
    format!("{}.{}", root.id, BASE64_URL_SAFE_NO_PAD.encode(digest))
}

fn keyed_digest(root: &Root, purpose: KeyPurpose, message: &[u8]) -> [u8; 32] {
    // HMAC pads its key with zeros to a block of 64 bytes. Padding here avoids the error for keys of another
    // length.
    let mut block = Secret::new([0; 64]);
    block.0[..32].copy_from_slice(derive(root.secret.reveal(), b"", purpose.info()).reveal());
    let mut mac = <Hmac<Sha256> as KeyInit>::new(block.reveal().into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
