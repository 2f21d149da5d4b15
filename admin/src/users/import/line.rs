//! One user of a file, from what stands in its line to what can be stored.

use serde::Deserialize;
use serde_json::Value;
use shared::{
    accounts::MAX_THREEPIDS,
    clock::Timestamp,
    ids::{Localpart, MAX_USER_ID_BYTES},
    passwords,
    threepids::{Medium, ThreePid},
};

use crate::times;

/// What stands in a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) localpart: String,
    pub(super) password_hash: Option<String>,
    #[serde(default)]
    pub(super) emails: Vec<Address>,
    #[serde(default)]
    pub(super) phones: Vec<Address>,
    pub(super) created: Option<Moment>,
    #[serde(default)]
    pub(super) deactivated: bool,
    #[expect(
        dead_code,
        reason = "other servers' exports have it; profiles are not stored here"
    )]
    pub(super) displayname: Option<Value>,
    #[expect(
        dead_code,
        reason = "other servers' exports have it; nobody is an administrator here"
    )]
    pub(super) admin: Option<Value>,
}

/// An address with its proof, which is that it was validated once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    pub(super) address: String,
    pub(super) validated_at: Moment,
}

/// A time, as a number or a text.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Moment {
    Number(i64),
    Text(String),
}

/// What can be stored.
pub(super) struct User {
    pub(super) localpart: Localpart,
    pub(super) password_hash: Option<String>,
    pub(super) addresses: Vec<(ThreePid, Timestamp)>,
    pub(super) created: Option<Timestamp>,
    pub(super) deactivated: bool,
}

impl User {
    /// Judges a line; what is wrong is told without its hash.
    pub(super) fn of(line: Line, now: Timestamp) -> Result<Self, String> {
        let localpart = Localpart::stored(&line.localpart)
            .filter(|name| name.as_str().len() + "@:a".len() <= MAX_USER_ID_BYTES)
            .ok_or(
                "`localpart` is no name that users may have: lower-case letters, digits and `._=-/+`",
            )?;
        if let Some(hash) = &line.password_hash {
            passwords::recognise(hash).map_err(|fault| fault.to_string())?;
        }
        let past = |what: &str, moment: &Moment| {
            moment
                .past(now)
                .ok_or(format!("`{what}` is no time in the past"))
        };
        let created = line.created.as_ref();
        let created = created.map(|moment| past("created", moment)).transpose()?;
        let mut addresses = Vec::new();
        for (medium, given) in [(Medium::Email, line.emails), (Medium::Msisdn, line.phones)] {
            for own in given {
                let threepid = ThreePid::parse(medium, &own.address)
                    .ok_or(format!("an address is no {medium} that anybody could have"))?;
                addresses.push((threepid, past("validated_at", &own.validated_at)?));
            }
        }
        if addresses.len() > MAX_THREEPIDS {
            return Err(format!("there are more than {MAX_THREEPIDS} addresses"));
        }
        // Who has left takes along everything but the name.
        let stays = !line.deactivated;
        Ok(Self {
            localpart,
            password_hash: line.password_hash.filter(|_| stays),
            addresses: if stays { addresses } else { Vec::new() },
            created,
            deactivated: line.deactivated,
        })
    }
}

impl Moment {
    fn past(&self, now: Timestamp) -> Option<Timestamp> {
        let time = match self {
            Self::Number(number) => times::number_of(*number),
            Self::Text(text) => times::parse(text.trim()),
        };
        time.filter(|time| *time <= now)
    }
}
