//! One user of an import file: the content of the line, and the validated values.

use serde_json::Value;
use shared::{
    accounts::MAX_THREEPIDS,
    clock::Timestamp,
    ids::{Localpart, MAX_USER_ID_BYTES, ServerName},
    threepids::{Medium, ThreePid},
};

use super::{hash, phone};
use crate::{times, users::username};

/// The names of the columns of a CSV file and of the members of a JSON object.
pub(super) const NAMES: [&str; 8] = [
    "localpart",
    "password_hash",
    "emails",
    "phones",
    "created",
    "deactivated",
    "displayname",
    "admin",
];

/// The content of a line. This server stores no profiles and has no administrators, so `displayname` and `admin` are
/// not read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) localpart: String,
    pub(super) password_hash: Option<String>,
    pub(super) emails: Vec<Address>,
    pub(super) phones: Vec<Address>,
    pub(super) created: Option<TimeValue>,
    pub(super) deactivated: bool,
}

/// An address and the time of its validation.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    pub(super) address: String,
    pub(super) validated_at: TimeValue,
}

/// A time, as a number or as text.
#[derive(Debug, PartialEq)]
pub(super) enum TimeValue {
    Number(serde_json::Number),
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

impl Line {
    /// Sets the value of a column or of a member. The error must not contain the value of a password hash.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Result<(), String> {
        let wrong = |expected: &str| Err(format!("`{name}` must be {expected}"));
        if value.is_null() {
            return Ok(());
        }
        match (name, value) {
            ("localpart", Value::String(text)) => self.localpart = text,
            ("password_hash", Value::String(text)) => {
                self.password_hash =
                    Some(text).filter(|text| !is_absent(text) && !is_unusable(text));
            }
            ("password_hash", credential @ Value::Object(_)) => {
                self.password_hash = Some(hash::from_keycloak(&credential)?);
            }
            ("localpart" | "password_hash", _) => return wrong("a string"),
            ("emails", value) => self.emails = addresses(name, value)?,
            ("phones", value) => self.phones = addresses(name, value)?,
            ("created", value) => self.created = time_value(name, value)?,
            ("deactivated", value) => self.deactivated = flag(name, &value)?,
            _ => {}
        }
        Ok(())
    }
}

/// Whether a cell has no value: databases write nothing, `NULL` or `\N`.
fn is_absent(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.eq_ignore_ascii_case("null") || text == "\\N"
}

/// Whether a hash stands for no password: Django and Unix write `!` or `*` before anything else.
fn is_unusable(hash: &str) -> bool {
    hash.trim().starts_with(['!', '*'])
}

fn flag(name: &str, value: &Value) -> Result<bool, String> {
    let text = match value {
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    match text.as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        text if is_absent(text) => Ok(false),
        _ => Err(format!("`{name}` must be `true` or `false`")),
    }
}

fn time_value(name: &str, value: Value) -> Result<Option<TimeValue>, String> {
    match value {
        Value::Number(number) => Ok(Some(TimeValue::Number(number))),
        Value::String(text) if is_absent(&text) => Ok(None),
        Value::String(text) => Ok(Some(TimeValue::Text(text))),
        _ => Err(format!("`{name}` must be a number or a string")),
    }
}

/// Parses a list of `{"address", "validated_at"}`, or a text such as
/// `alice@example.org 1714564800; other@example.org 2024-05-01T12:00:00Z`.
fn addresses(name: &str, value: Value) -> Result<Vec<Address>, String> {
    let entries = match value {
        Value::String(text) if is_absent(&text) => return Ok(Vec::new()),
        Value::String(text) => {
            let entries = text.split(';').map(str::trim);
            let entries = entries.filter(|entry| !entry.is_empty());
            return entries.map(|entry| address_and_time(name, entry)).collect();
        }
        Value::Array(entries) => entries,
        _ => return Err(wrong_list(name)),
    };
    entries
        .into_iter()
        .map(|entry| match entry {
            Value::String(text) => address_and_time(name, text.trim()),
            Value::Object(members) => address_of(name, members),
            _ => Err(wrong_list(name)),
        })
        .collect()
}

fn wrong_list(name: &str) -> String {
    format!("`{name}` must be a list of objects with `address` and `validated_at`")
}

fn address_of(name: &str, members: serde_json::Map<String, Value>) -> Result<Address, String> {
    let (mut address, mut validated_at) = (None, None);
    for (member, value) in members {
        match (member.as_str(), value) {
            ("address", Value::String(text)) => address = Some(text),
            ("address", _) => return Err(format!("`address` in `{name}` must be a string")),
            ("validated_at", value) => validated_at = time_value("validated_at", value)?,
            _ => return Err(wrong_list(name)),
        }
    }
    match (address, validated_at) {
        (Some(address), Some(validated_at)) => Ok(Address {
            address,
            validated_at,
        }),
        _ => Err(wrong_list(name)),
    }
}

/// Splits an address from its time. Both may contain blanks: a phone number between its groups of digits, a time before
/// the time of day and before the offset.
fn address_and_time(name: &str, entry: &str) -> Result<Address, String> {
    let blanks: Vec<usize> = entry
        .match_indices(char::is_whitespace)
        .map(|(at, _)| at)
        .collect();
    let ends = blanks.iter().rev().take(3).rev();
    let mut parts = ends.map(|at| entry.split_at(*at));
    // An unreadable time is reported later, with its name.
    let found = parts.find(|(_, time)| times::parse(time).is_some());
    let parts = found.or_else(|| blanks.last().map(|at| entry.split_at(*at)));
    let (address, time) = parts.ok_or_else(|| {
        format!(
            "each address in `{name}` must be followed by a space and the time of its validation"
        )
    })?;
    Ok(Address {
        address: address.trim().to_owned(),
        validated_at: TimeValue::Text(time.trim().to_owned()),
    })
}

impl User {
    /// Validates a line. The error message must not contain the password hash. A complete user ID is accepted for
    /// this server.
    pub(super) fn from_line(
        line: Line,
        now: Timestamp,
        server: Option<&ServerName>,
    ) -> Result<Self, String> {
        let localpart = localpart(line.localpart.trim(), server)?;
        let password_hash = line.password_hash.as_deref().map(hash::parse).transpose()?;
        let created = line.created.as_ref();
        let created = created
            .map(|time| time.parse_past("created", now))
            .transpose()?;
        let mut addresses = Vec::new();
        for email in line.emails {
            let threepid = ThreePid::parse(Medium::Email, email.address.trim())
                .ok_or("an e-mail address is not valid")?;
            addresses.push((
                threepid,
                email.validated_at.parse_past("validated_at", now)?,
            ));
        }
        for number in line.phones {
            let threepid = phone::parse(&number.address)?;
            addresses.push((
                threepid,
                number.validated_at.parse_past("validated_at", now)?,
            ));
        }
        if addresses.len() > MAX_THREEPIDS {
            return Err(format!("the user has more than {MAX_THREEPIDS} addresses"));
        }
        // Only the username of a deactivated user is imported.
        let is_active = !line.deactivated;
        Ok(Self {
            localpart,
            password_hash: password_hash.filter(|_| is_active),
            addresses: if is_active { addresses } else { Vec::new() },
            created,
            deactivated: line.deactivated,
        })
    }
}

fn localpart(text: &str, server: Option<&ServerName>) -> Result<Localpart, String> {
    // The errors of all lines with the same mistake have one text.
    let name = username(text, server).ok();
    name.and_then(Localpart::stored)
        .filter(|name| name.as_str().len() + "@:a".len() <= MAX_USER_ID_BYTES)
        .ok_or_else(|| {
            "`localpart` is not a valid username: use lower-case letters, digits and `._=-/+`"
                .to_owned()
        })
}

impl TimeValue {
    fn parse_past(&self, name: &str, now: Timestamp) -> Result<Timestamp, String> {
        let time = match self {
            Self::Number(number) => match number.as_i64() {
                Some(number) => times::from_number(number),
                None => number.as_f64().and_then(times::from_float),
            },
            Self::Text(text) => times::parse(text),
        };
        match time {
            Some(time) if time <= now => Ok(time),
            Some(_) => Err(format!("`{name}` is in the future")),
            None => Err(format!(
                "`{name}` is not a time: use `2024-05-01T12:00:00Z`, or seconds or milliseconds since 1970"
            )),
        }
    }
}
