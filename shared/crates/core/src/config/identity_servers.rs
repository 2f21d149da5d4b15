//! The settings of identity servers, and of the key that requests to them are signed with.

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

/// Which identity servers are asked, and how.
#[derive(Debug, Clone)]
pub struct IdentityServers {
    /// Those that are trusted; none other is ever called (IDS-02).
    pub trusted: Vec<TrustedServer>,
    /// Which of their interfaces is spoken.
    pub api: IdServerApi,
    /// Who finds out that somebody receives what is sent to an address.
    pub validation: Validation,
    /// What requests are signed with.
    pub keys: SigningKeys,
}

/// An interface of identity servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdServerApi {
    /// The one there is, which takes the client's own token.
    V2,
    /// The same, and for requests without a token the one of r0, which is open to everybody
    /// (DIS-15).
    V1,
}

/// Who finds out that somebody receives what is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// This server.
    Own,
    /// The identity server that a request names, if it names one (IDS-01).
    Delegated,
}

/// What is read before the secrets are.
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
        "must be hosts, each with a port if it is not the usual one and with `=` and an `https://` or \
         `http://` address if it is reached elsewhere, separated by spaces; one within a private network \
         needs such an address",
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
                raw.add_error(name, format!("means nothing without {TRUSTED}"));
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
    /// Whether messages can be had of identity servers, whatever this server sends itself.
    pub(super) fn delegates(&self) -> bool {
        self.validation == Validation::Delegated
    }

    /// With the key that comes out of the secret, if there is no other.
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

/// `id.example.org`, or `id.example.org=https://id.internal:8090`.
fn entry(text: &str) -> Option<TrustedServer> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name, Some(origin(address)?)),
        None => (text, None),
    };
    let name = IdServerName::parse(name)?;
    (address.is_some() || !name.is_private_address()).then_some(TrustedServer { name, address })
}

/// A URL of scheme, host and port alone: paths are signed from `/_matrix` on.
fn origin(address: &str) -> Option<String> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (_, rest) = address.split_once("://")?;
    (is_http_url(address) && IdServerName::parse(rest).is_some()).then(|| address.to_owned())
}
