//! The signing keys of this server, as it publishes them (IDS-19).
//!
//! Identity servers cache the keys until `valid_until_ts` and do not fetch new keys before that time, so it is only
//! a day ahead.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{clock::Timestamp, config::Config, signing};

/// The validity of the document: the minimum that other servers accept.
const VALID_FOR: Duration = Duration::from_hours(24);

/// The signed document. Reads nothing from the tables.
pub fn server_keys(config: &Config, now: Timestamp) -> Map<String, Value> {
    let keys = &config.identity_servers.keys;
    // A server that caches the document already has the next key when this server starts to use it.
    let current: Map<String, Value> = std::iter::once(&keys.current)
        .chain(&keys.next)
        .map(|key| (key.id().to_owned(), json!({ "key": key.public() })))
        .collect();
    // Signatures of an old key are accepted until now, because the time when the key was replaced is not recorded.
    let old: Map<String, Value> = keys
        .old
        .iter()
        .map(|key| {
            let entry = json!({ "key": key.public(), "expired_ts": now });
            (key.id().to_owned(), entry)
        })
        .collect();
    let mut document = Map::new();
    document.insert("server_name".to_owned(), config.server_name.as_str().into());
    document.insert("verify_keys".to_owned(), current.into());
    document.insert("old_verify_keys".to_owned(), old.into());
    document.insert("valid_until_ts".to_owned(), now.plus(VALID_FOR).0.into());
    signing::signed(document, &config.server_name, &keys.current)
}
