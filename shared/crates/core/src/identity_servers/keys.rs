//! The keys that this server signs with, as it publishes them (IDS-19).
//!
//! Identity servers keep them until `valid_until_ts`, and with them whatever key they have not
//! heard of: hence only a day.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{clock::Timestamp, config::Config, signing};

/// How long they are good: the least that other servers take.
const VALID_FOR: Duration = Duration::from_hours(24);

/// The signed document. Nothing is read for it.
pub fn server_keys(config: &Config, now: Timestamp) -> Map<String, Value> {
    let keys = &config.identity_servers.keys;
    // Who asks today knows the next one when it comes into use.
    let current: Map<String, Value> = std::iter::once(&keys.current)
        .chain(&keys.next)
        .map(|key| (key.id().to_owned(), json!({ "key": key.public() })))
        .collect();
    // What an old one has signed until now may be good; when it was put away nobody has written down.
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
