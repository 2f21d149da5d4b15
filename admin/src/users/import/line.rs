//! One user of an import file: the content of the line, and the validated values.

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

/// The content of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) localpart: String,
    pub(super) password_hash: Option<String>,
    #[serde(default)]
    pub(super) emails: Vec<Address>,
    #[serde(default)]
    pub(super) phones: Vec<Address>,
    pub(super) created: Option<TimeValue>,
    #[serde(default)]
    pub(super) deactivated: bool,
    #[expect(
        dead_code,
        reason = "exports of other servers have this field; this server stores no profiles"
    )]
    pub(super) displayname: Option<Value>,
    #[expect(
        dead_code,
        reason = "exports of other servers have this field; this server has no administrators"
    )]
    pub(super) admin: Option<Value>,
}

/// An address and the time of its validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    pub(super) address: String,
    pub(super) validated_at: TimeValue,
}

/// A time, as a number or as text.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum TimeValue {
    Number(i64),
    Text(String),
}

/// A valid user, ready to be stored.
pub(super) struct User {
    pub(super) localpart: Localpart,
    pub(super) password_hash: Option<String>,
    pub(super) addresses: Vec<(ThreePid, Timestamp)>,
    pub(super) created: Option<Timestamp>,
    pub(super) deactivated: bool,
}

impl User {
    /// Validates a line. The error message must not contain the password hash.
    pub(super) fn from_line(line: Line, now: Timestamp) -> Result<Self, String> {
        let localpart = Localpart::stored(&line.localpart)
            .filter(|name| name.as_str().len() + "@:a".len() <= MAX_USER_ID_BYTES)
            .ok_or(
                "`localpart` is not a valid username: use lower-case letters, digits and `._=-/+`",
            )?;
        if let Some(hash) = &line.password_hash {
            passwords::check_hash_format(hash).map_err(|error| error.to_string())?;
        }
        let parse_time = |field: &str, time: &TimeValue| {
            time.parse_past(now)
                .ok_or(format!("`{field}` is not a time in the past"))
        };
        let created = line.created.as_ref();
        let created = created
            .map(|time| parse_time("created", time))
            .transpose()?;
        let mut addresses = Vec::new();
        for (medium, addresses_of_medium) in
            [(Medium::Email, line.emails), (Medium::Msisdn, line.phones)]
        {
            for address in addresses_of_medium {
                let threepid = ThreePid::parse(medium, &address.address)
                    .ok_or(format!("an address is not a valid {medium} address"))?;
                let validated = parse_time("validated_at", &address.validated_at)?;
                addresses.push((threepid, validated));
            }
        }
        if addresses.len() > MAX_THREEPIDS {
            return Err(format!("the user has more than {MAX_THREEPIDS} addresses"));
        }
        // Only the username of a deactivated user is imported.
        let is_active = !line.deactivated;
        Ok(Self {
            localpart,
            password_hash: line.password_hash.filter(|_| is_active),
            addresses: if is_active { addresses } else { Vec::new() },
            created,
            deactivated: line.deactivated,
        })
    }
}

impl TimeValue {
    fn parse_past(&self, now: Timestamp) -> Option<Timestamp> {
        let time = match self {
            Self::Number(number) => times::from_number(*number),
            Self::Text(text) => times::parse(text.trim()),
        };
        time.filter(|time| *time <= now)
    }
}
