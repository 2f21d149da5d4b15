//! The settings of identity servers, and the key that signs requests to them.

use super::parse::{Raw, is_http_url};
use crate::{
    id_server_name::{IdServerName, TrustedServer},
    secrets::KeyRing,
    signing::{SigningKey, SigningKeys},
};

const TRUSTED: &str = "GATEHOUSE_TRUSTED_ID_SERVERS";
const API: &str = "GATEHOUSE_ID_SERVER_API";
const VALIDATION: &str = "GATEHOUSE_THREEPID_VALIDATION";
const KEY: &str = "GATEHOUSE_SIGNING_KEY";

/// The trusted identity servers, and how they are used.
#[derive(Debug, Clone)]
pub struct IdentityServers {
    /// The trusted identity servers. No other identity server is called (IDS-02).
    pub trusted: Vec<TrustedServer>,
    /// The API version for requests to them.
    pub api: IdServerApi,
    /// The server that validates a 3PID.
    pub validation: Validation,
    /// The keys that sign requests.
    pub keys: SigningKeys,
}

/// An API version of identity servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdServerApi {
    /// The v2 API, which requires the client's own token.
    V2,
    /// The v2 API, and the unauthenticated v1 API of r0 for requests without a token (DIS-15).
    V1,
}

/// The server that validates a 3PID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// This server.
    Own,
    /// The identity server that the request names, if it names one (IDS-01).
    Delegated,
}

/// The settings that are read before the key ring.
#[derive(Debug)]
pub(super) struct Read {
    trusted: Vec<TrustedServer>,
    api: IdServerApi,
    validation: Validation,
    key: Option<SigningKey>,
}

pub(super) fn read(raw: &mut Raw<'_>) -> Option<Read> {
    let trusted = raw.list(
        TRUSTED,
        "must be hosts separated by spaces, each with an optional port and optionally followed by `=` and the \
         `https://` or `http://` URL at which it is reached; an IP address of a private network needs such a URL",
        entry,
    );
    let api = raw.parsed(API, "must be `v2` or `v1`", |text| match text {
        "v2" => Some(IdServerApi::V2),
        "v1" => Some(IdServerApi::V1),
        _ => None,
    });
    let validation = raw.parsed(
        VALIDATION,
        "must be `own` or `delegated`",
        |text| match text {
            "own" => Some(Validation::Own),
            "delegated" => Some(Validation::Delegated),
            _ => None,
        },
    );
    let line = raw.get(KEY);
    let key = line.as_deref().and_then(SigningKey::parse);
    if line.is_some() && key.is_none() {
        raw.add_error(
            KEY,
            "must be `ed25519`, a name and a seed of 32 bytes in unpadded base64, separated by spaces",
        );
        return None;
    }
    if trusted.as_ref().is_some_and(Vec::is_empty) {
        for (name, is_default) in [
            (API, api != Some(IdServerApi::V1)),
            (VALIDATION, validation != Some(Validation::Delegated)),
        ] {
            if !is_default {
                raw.add_error(name, format!("requires {TRUSTED}"));
            }
        }
    }
    Some(Read {
        trusted: trusted?,
        api: api?,
        validation: validation?,
        key,
    })
}

impl Read {
    /// Whether identity servers can send validation messages, regardless of what this server can send.
    pub(super) fn delegates(&self) -> bool {
        self.validation == Validation::Delegated
    }

    /// Adds the signing key derived from the key ring if no signing key is set.
    pub(super) fn with_keys(self, ring: &KeyRing) -> Option<IdentityServers> {
        let keys = match self.key {
            Some(current) => SigningKeys {
                current,
                next: None,
                old: None,
            },
            None => SigningKeys::derived(ring)?,
        };
        Some(IdentityServers {
            trusted: self.trusted,
            api: self.api,
            validation: self.validation,
            keys,
        })
    }
}

/// Parses an entry of [`TRUSTED`]: `id.example.org`, or `id.example.org=https://id.internal:8090`.
fn entry(text: &str) -> Option<TrustedServer> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name, Some(origin(address)?)),
        None => (text, None),
    };
    let name = IdServerName::parse(name)?;
    (address.is_some() || !name.is_private_address()).then_some(TrustedServer { name, address })
}

/// Parses a URL with scheme, host and port only. A path is not allowed, because signatures cover the path from
/// `/_matrix` on.
fn origin(address: &str) -> Option<String> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (_, rest) = address.split_once("://")?;
    (is_http_url(address) && IdServerName::parse(rest).is_some()).then(|| address.to_owned())
}
