//! Signatures of this server: canonical JSON, ed25519 keys, and the `Authorization` header of a signed request.
//!
//! [Canonical JSON](https://spec.matrix.org/v1.15/appendices/#canonical-json),
//! [signing](https://spec.matrix.org/v1.15/appendices/#signing-json), [request
//! authentication](https://spec.matrix.org/v1.15/server-server-api/#request-authentication); IDS-15 to IDS-18.
//! `ring` implements ed25519. TLS uses `ring` too, so this adds no dependency.

use std::{fmt, fmt::Write as _, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD_NO_PAD,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Map, Value, json};

use crate::{
    ids::ServerName,
    secrets::{Generation, KeyPurpose, KeyRing},
};

/// The only signing algorithm.
const ALGORITHM: &str = "ed25519";
/// The greatest absolute value of an integer that canonical JSON allows.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// Base64 of seeds. Existing key files differ, so padding is optional and non-zero trailing bits are accepted.
/// The example seed of the specification has a non-zero trailing bit.
const SEED_FORM: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An ed25519 key of this server with its key ID.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    pair: Arc<Ed25519KeyPair>,
}

/// The signing key in use, and the keys that other servers may also need to verify signatures.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// The key that signs.
    pub current: SigningKey,
    /// The key that will sign after the next key rotation.
    pub next: Option<SigningKey>,
    /// The key that signed before the last key rotation.
    pub old: Option<SigningKey>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// Creates a key with this name (the part of the key ID after `ed25519:`) from a seed of 32 bytes. Returns
    /// `None` unless the name has 1 to 64 characters of `A-Z a-z 0-9 _` and the seed has 32 bytes.
    pub fn new(name: &str, seed: &[u8]) -> Option<Self> {
        let is_valid = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        is_valid.then(|| Self {
            id: format!("{ALGORITHM}:{name}"),
            pair: Arc::new(pair),
        })
    }

    /// Parses the line of a homeserver's key file: `ed25519 a_1 <seed in unpadded base64>`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let (algorithm, name, seed) = (parts.next()?, parts.next()?, parts.next()?);
        let seed = SEED_FORM.decode(seed).ok()?;
        if parts.next().is_some() {
            return None;
        }
        Self::new(name, &seed).filter(|_| algorithm == ALGORITHM)
    }

    /// The key ID: algorithm and name, such as `ed25519:a_1`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key in unpadded base64.
    pub fn public(&self) -> String {
        BASE64_STANDARD_NO_PAD.encode(self.pair.public_key())
    }

    /// The signature of an object, in unpadded base64. The members `signatures` and `unsigned` are not signed
    /// (IDS-18). Returns `None` if canonical JSON cannot represent the object.
    pub fn sign(&self, object: &Map<String, Value>) -> Option<String> {
        let mut object = object.clone();
        object.remove("signatures");
        object.remove("unsigned");
        let text = canonical(&Value::Object(object))?;
        Some(BASE64_STANDARD_NO_PAD.encode(self.pair.sign(text.as_bytes())))
    }
}

impl SigningKeys {
    /// The keys derived from the key ring, for a server without `GATEHOUSE_SIGNING_KEY`.
    pub fn derived(ring: &KeyRing) -> Option<Self> {
        let key = |generation| {
            let (id, seed) = ring.seed(KeyPurpose::SigningKey, generation)?;
            SigningKey::new(&id.replace('-', "_"), seed.reveal())
        };
        Some(Self {
            current: key(Generation::Current)?,
            next: key(Generation::Next),
            old: key(Generation::Previous),
        })
    }
}

/// The name of the member that contains the destination in the signed object of a request (IDS-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationForm {
    /// `destination_is`: the name that identity servers verify. Sydent introduced it.
    DestinationIs,
    /// `destination`: the name in the Server-Server API.
    Destination,
}

/// The parts of a request that its signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query. Begins with `/_matrix`.
    pub uri: &'a str,
    /// The name of this server.
    pub origin: &'a ServerName,
    /// The name of the identity server.
    pub destination: &'a str,
    /// The body, a JSON value.
    pub content: &'a Value,
}

impl SignedRequest<'_> {
    /// The value of the `Authorization` header, in the form that every known parser accepts: exactly one space,
    /// no space around commas, lower-case names, every value quoted (IDS-15, DIS-24). Returns `None` if the
    /// body cannot be signed.
    pub fn authorization(&self, key: &SigningKey, form: DestinationForm) -> Option<String> {
        let name = match form {
            DestinationForm::DestinationIs => "destination_is",
            DestinationForm::Destination => "destination",
        };
        let mut object = Map::new();
        object.insert("method".to_owned(), self.method.into());
        object.insert("uri".to_owned(), self.uri.into());
        object.insert("origin".to_owned(), self.origin.as_str().into());
        object.insert(name.to_owned(), self.destination.into());
        object.insert("content".to_owned(), self.content.clone());
        let signature = key.sign(&object)?;
        Some(format!(
            r#"X-Matrix origin="{}",destination="{}",key="{}",sig="{signature}""#,
            self.origin, self.destination, key.id
        ))
    }
}

/// Adds the signature of `server` to the object, under `signatures`. Returns the object unsigned if canonical
/// JSON cannot represent it.
pub fn signed(
    mut object: Map<String, Value>,
    server: &ServerName,
    key: &SigningKey,
) -> Map<String, Value> {
    if let Some(signature) = key.sign(&object) {
        let mut by_key = Map::new();
        by_key.insert(key.id.clone(), signature.into());
        object.insert(
            "signatures".to_owned(),
            json!({ server.as_str(): Value::Object(by_key) }),
        );
    }
    object
}

/// The canonical JSON of a value: members sorted by code point, no white space, only integers (IDS-18). Returns
/// `None` if a number is not an integer or is out of range.
pub fn canonical(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(&mut text, value)?;
    Some(text)
}

fn write(text: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            let integer = number.as_i64().or_else(|| as_integer(number.as_f64()?))?;
            if integer.unsigned_abs() > MAX_INTEGER.unsigned_abs() {
                return None;
            }
            text.push_str(&integer.to_string());
        }
        Value::String(value) => write_text(text, value),
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(text, value)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            // The byte order of UTF-8 is the order of the code points. `Map` keeps its members sorted only
            // without the feature `preserve_order`.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_text(text, name);
                text.push(':');
                write(text, value)?;
            }
            text.push('}');
        }
    }
    Some(())
}

/// The integer value of a number such as `1e10` or `-0`, if it has one.
fn as_integer(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.is_finite();
    is_whole.then(|| format!("{number:.0}").parse().ok())?
}

/// Appends a JSON string with the shortest possible escapes.
fn write_text(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            control if control < ' ' => {
                // Writing to a `String` never fails.
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
