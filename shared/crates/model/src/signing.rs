//! What the server signs with: canonical JSON, ed25519, and the header of a signed request.
//!
//! [Canonical JSON](https://spec.matrix.org/v1.15/appendices/#canonical-json),
//! [signing](https://spec.matrix.org/v1.15/appendices/#signing-json),
//! [requests](https://spec.matrix.org/v1.15/server-server-api/#request-authentication); IDS-15 to
//! IDS-18. The ed25519 is the one that TLS brings along.

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

/// The one algorithm.
const ALGORITHM: &str = "ed25519";
/// No number beyond this is an integer to every reader.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// As forgiving as those who have written such keys so far: padding is no matter, nor are bits that
/// mean nothing (the specification's own seed has one).
const SEED_FORM: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that the server signs with.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    pair: Arc<Ed25519KeyPair>,
}

/// The key in use, and those beside it that others may have to know.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// Signs.
    pub current: SigningKey,
    /// Will sign.
    pub next: Option<SigningKey>,
    /// Has signed.
    pub old: Option<SigningKey>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// A key of this name (behind `ed25519:`) with this seed of 32 bytes.
    pub fn new(name: &str, seed: &[u8]) -> Option<Self> {
        let is_valid = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        is_valid.then(|| Self {
            id: format!("{ALGORITHM}:{name}"),
            pair: Arc::new(pair),
        })
    }

    /// Parses a line as homeservers keep their keys: `ed25519 a_1 <seed in unpadded base64>`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let (algorithm, name, seed) = (parts.next()?, parts.next()?, parts.next()?);
        let seed = SEED_FORM.decode(seed).ok()?;
        if parts.next().is_some() {
            return None;
        }
        Self::new(name, &seed).filter(|_| algorithm == ALGORITHM)
    }

    /// Its id: algorithm and name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key in unpadded base64.
    pub fn public(&self) -> String {
        BASE64_STANDARD_NO_PAD.encode(self.pair.public_key())
    }

    /// The signature of an object, in unpadded base64; `None` for what canonical JSON cannot say.
    /// Any `signatures` and `unsigned` in it are left out (IDS-18).
    pub fn sign(&self, object: &Map<String, Value>) -> Option<String> {
        let mut object = object.clone();
        object.remove("signatures");
        object.remove("unsigned");
        let text = canonical(&Value::Object(object))?;
        Some(BASE64_STANDARD_NO_PAD.encode(self.pair.sign(text.as_bytes())))
    }
}

impl SigningKeys {
    /// Those that come out of the key ring, if the operator gave none.
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

/// Under which name the one who is to verify a request stands in what is signed (IDS-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationForm {
    /// As identity servers verify it: what the first of them did.
    DestinationIs,
    /// As the specification of homeservers has it.
    Destination,
}

/// A request to be signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query, beginning with `/_matrix`.
    pub uri: &'a str,
    /// This server.
    pub origin: &'a ServerName,
    /// The host name of the identity server.
    pub destination: &'a str,
    /// The JSON body.
    pub content: &'a Value,
}

impl SignedRequest<'_> {
    /// The value of the `Authorization` header, in the one form that every reader takes: one space,
    /// none round commas, lower-case names, everything quoted (IDS-15, DIS-24).
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

/// The object with its signature in the name of `server`.
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

/// Canonical JSON: members sorted by code point, no white space, integers alone (IDS-18). `None` for
/// a number that is no such integer.
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
            // UTF-8 sorts as its code points do. `Map` may or may not keep its members sorted.
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

/// A number such as `1e10` or `-0` as the integer that it is.
fn as_integer(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.is_finite();
    is_whole.then(|| format!("{number:.0}").parse().ok())?
}

/// A string with the shortest escapes there are.
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
                // Writing into a `String` does not fail.
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests;
