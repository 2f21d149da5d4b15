//! Secrets: a type that cannot be printed, and the key ring from which every key is derived.
//!
//! One root per key generation, one HKDF-derived key per purpose; every hash and seal carries the
//! id of the generation that made it, so that keys can be rotated with an overlap. Knows nothing
//! of what it protects.

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

/// The fewest bytes a root secret may have.
pub const MIN_ROOT_BYTES: usize = 32;

const NONCE_BYTES: usize = 24;
const KEY_ID_CHARS: usize = 8;

/// A value that is never printed and is wiped when dropped. It can be revealed, not serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize = String>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a secret value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Grep for this word to find every place that touches a secret.
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

/// Gives types that hold secrets among other things a `Debug` that prints their name alone.
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

/// What a key is for. Keys of two purposes are independent of one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Hashes of the tokens an operator hands out for sign-up.
    RegistrationToken,
    /// Hashes of application services' tokens.
    AppserviceToken,
    /// Hashes by which an import that is repeated knows an account again.
    ImportMarker,
    /// Keys of rate-limit cells, so that the table names no address.
    LimitKey,
    /// Ids of validation sessions.
    ProofId,
    /// Codes in text messages and tokens in links.
    ProofToken,
    /// Seals of where a browser goes after validation.
    NextLink,
    /// Seals of UIA sessions, together with the session string.
    UiaSession,
    /// Seals of new tokens, together with the refresh token that they were given for.
    Refresh,
    /// The seed of the key that requests to identity servers are signed with.
    SigningKey,
    /// What a user is called in the log.
    LoggedUser,
}

impl KeyPurpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::RegistrationToken => b"gatehouse registration token",
            Self::AppserviceToken => b"gatehouse appservice token",
            Self::ImportMarker => b"gatehouse import marker",
            Self::LimitKey => b"gatehouse limit key",
            Self::ProofId => b"gatehouse proof id",
            Self::ProofToken => b"gatehouse proof token",
            Self::NextLink => b"gatehouse next link",
            Self::UiaSession => b"gatehouse uia session",
            Self::Refresh => b"gatehouse refresh",
            Self::SigningKey => b"gatehouse signing key",
            Self::LoggedUser => b"gatehouse logged user",
        }
    }
}

/// One key generation.
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

/// The server's keys: the current generation and, while that is being replaced, the one after it or
/// before it. What any of them has made is good; only the current one makes anything. The next one is
/// known to every process before it becomes the current one, so that none meets what it cannot read.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: Root,
    next: Option<Root>,
    previous: Option<Root>,
}

/// Where in the ring a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// It is the one that is used.
    Current,
    /// It will be.
    Next,
    /// It was.
    Previous,
}

/// A sealed value could not be opened: wrong key, wrong place, or tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open")]
pub struct SealError;

impl KeyRing {
    /// A ring of one or two roots, of at least [`MIN_ROOT_BYTES`] each (the settings see to that).
    pub fn new(current: Secret<Vec<u8>>, previous: Option<Secret<Vec<u8>>>) -> Self {
        Self {
            current: Root::new(current),
            next: None,
            previous: previous.map(Root::new),
        }
    }

    /// The same ring, with the root that is to become the current one.
    #[must_use]
    pub fn with_next(self, next: Option<Secret<Vec<u8>>>) -> Self {
        Self {
            next: next.map(Root::new),
            ..self
        }
    }

    /// The keyed hash of `message` under the current key: `<key id>.<base64>`.
    pub fn hash(&self, purpose: KeyPurpose, message: &[u8]) -> String {
        keyed_hash(&self.current, purpose, message)
    }

    /// The keyed hashes under which `message` may be stored: the current key's first.
    pub fn hashes(&self, purpose: KeyPurpose, message: &[u8]) -> Vec<String> {
        self.roots()
            .map(|root| keyed_hash(root, purpose, message))
            .collect()
    }

    /// Whether `hash`, made by this ring, is that of `message`; takes the same time either way.
    pub fn hash_matches(&self, purpose: KeyPurpose, message: &[u8], hash: &str) -> bool {
        self.hashes(purpose, message)
            .iter()
            .fold(false, |found, own| {
                found | bool::from(own.as_bytes().ct_eq(hash.as_bytes()))
            })
    }

    /// Six decimal digits that stand for `message`, under each key: the current one's first.
    pub fn codes(&self, purpose: KeyPurpose, message: &[u8]) -> Vec<Secret> {
        self.roots()
            .map(|root| {
                let digest = keyed_digest(root, purpose, message);
                // 2^64 is so much more than 10^6 that no code is favoured.
                let number = digest
                    .iter()
                    .take(8)
                    .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                Secret::new(format!("{:06}", number % 1_000_000))
            })
            .collect()
    }

    /// Encrypts `plaintext` so that it opens only with this ring, `salt` (a secret of the client's,
    /// such as a session string) and the same `place` (where it is stored: row, field, version).
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
            // Only a message of more than 256 GiB is refused; an empty seal never opens.
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Decrypts what [`seal`](Self::seal) made.
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

    /// The seed of a key of another kind, and the root's id, if there is such a root.
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

    /// Which key made this hash, by the id that it carries; none if it was another ring's.
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

/// The fields one after the other, each behind its length, so that no two lists give the same bytes.
pub fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

/// SHA-256 as unpadded URL-safe base64, for values that are random enough to need no key.
pub fn sha256_base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// Whether two texts are equal, in a time that tells only their lengths.
pub fn same(a: &str, b: &str) -> bool {
    bool::from(a.as_bytes().ct_eq(b.as_bytes()))
}

/// SHA-256 of a token: all of it that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Secret<[u8; 32]> {
    let mut key = [0; 32];
    // HKDF-SHA256 gives up to 8,160 bytes; 32 are never refused.
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
    // HMAC pads its key with zeros to a block of 64 bytes; padding it here leaves no error case.
    let mut block = Secret::new([0; 64]);
    block.0[..32].copy_from_slice(derive(root.secret.reveal(), b"", purpose.info()).reveal());
    let mut mac = <Hmac<Sha256> as KeyInit>::new(block.reveal().into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    fn ring(byte: u8, previous: Option<u8>) -> KeyRing {
        let root = |b: u8| Secret::new(vec![b; MIN_ROOT_BYTES]);
        KeyRing::new(root(byte), previous.map(root))
    }

    #[test]
    fn a_seal_opens_only_with_its_key_its_salt_and_in_its_place() {
        let sealed = ring(1, None).seal(
            KeyPurpose::UiaSession,
            b"salt",
            b"row 1",
            b"plain",
            &SystemRng,
        );
        let open = |ring: KeyRing, salt: &[u8], place: &[u8]| {
            ring.open(KeyPurpose::UiaSession, salt, place, &sealed)
        };
        assert_eq!(open(ring(1, None), b"salt", b"row 1").unwrap(), b"plain");
        assert_eq!(open(ring(1, None), b"salt", b"row 2"), Err(SealError));
        assert_eq!(open(ring(1, None), b"pepper", b"row 1"), Err(SealError));
        assert_eq!(open(ring(2, None), b"salt", b"row 1"), Err(SealError));
        for length in 0..sealed.len() {
            let cut = &sealed[..length];
            assert_eq!(
                ring(1, None).open(KeyPurpose::UiaSession, b"salt", b"row 1", cut),
                Err(SealError)
            );
        }
    }

    #[test]
    fn the_previous_key_still_opens_and_still_recognises() {
        let old = ring(1, None);
        let new = ring(2, Some(1));
        let sealed = old.seal(KeyPurpose::UiaSession, b"", b"", b"plain", &SystemRng);
        assert_eq!(
            new.open(KeyPurpose::UiaSession, b"", b"", &sealed).unwrap(),
            b"plain"
        );
        let hash = old.hash(KeyPurpose::RegistrationToken, b"token");
        assert!(new.hash_matches(KeyPurpose::RegistrationToken, b"token", &hash));
        assert!(!new.hash_matches(KeyPurpose::AppserviceToken, b"token", &hash));
        assert!(!new.hash_matches(KeyPurpose::RegistrationToken, b"other", &hash));
    }

    #[test]
    fn old_and_new_processes_read_one_another_while_the_next_key_becomes_the_current_one() {
        let root = |b: u8| Secret::new(vec![b; MIN_ROOT_BYTES]);
        let before = ring(1, None).with_next(Some(root(2)));
        let after = ring(2, Some(1));
        for (writer, reader) in [(&before, &after), (&after, &before)] {
            let sealed = writer.seal(KeyPurpose::UiaSession, b"", b"", b"plain", &SystemRng);
            assert_eq!(
                reader
                    .open(KeyPurpose::UiaSession, b"", b"", &sealed)
                    .unwrap(),
                b"plain"
            );
            let hash = writer.hash(KeyPurpose::RegistrationToken, b"token");
            assert!(reader.hash_matches(KeyPurpose::RegistrationToken, b"token", &hash));
            assert!(
                reader
                    .hashes(KeyPurpose::RegistrationToken, b"token")
                    .contains(&hash)
            );
            let code = &writer.codes(KeyPurpose::ProofToken, b"1")[0];
            assert!(reader.codes(KeyPurpose::ProofToken, b"1").contains(code));
        }
        // The one that is in use makes what is made.
        assert_eq!(
            before.hash(KeyPurpose::ProofId, b""),
            ring(1, None).hash(KeyPurpose::ProofId, b"")
        );
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2".to_owned())),
            "Secret(…)"
        );
    }
}
