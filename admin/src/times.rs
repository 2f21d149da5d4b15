//! Formats and parses times.

use aws_smithy_types::{DateTime, date_time::Format};
use serde_json::Value;
use shared::clock::Timestamp;

/// A number up to this limit is in seconds, and a larger number is in milliseconds. The limit is in the year 5138
/// as seconds, and in 1973 as milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;
/// A larger number is in microseconds.
const LARGEST_MILLISECONDS: i64 = LARGEST_SECONDS * 1000;

/// The members of JSON reports that are times.
const MEMBERS: [&str; 14] = [
    "accepted",
    "access_token_expires",
    "added_at",
    "bound",
    "created",
    "deactivated",
    "expires",
    "exported",
    "imported",
    "set",
    "since",
    "tokens_issued",
    "upgraded_from_guest",
    "validated_at",
];

/// Formats a time in UTC, to the second.
pub fn show(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1000);
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| format!("{seconds} s"))
}

/// Adds to each time of a JSON report, which is in milliseconds as in the protocol, a member with its RFC 3339 form:
/// `created_rfc3339` beside `created`.
pub fn with_rfc3339(json: Value) -> Value {
    match json {
        Value::Array(values) => values.into_iter().map(with_rfc3339).collect(),
        Value::Object(members) => {
            let mut all = serde_json::Map::new();
            for (name, value) in members {
                let is_time = MEMBERS.contains(&name.as_str());
                let time = value.as_i64().filter(|_| is_time).map(Timestamp);
                let beside = time.map(|time| (format!("{name}_rfc3339"), show(time).into()));
                all.insert(name, with_rfc3339(value));
                all.extend(beside);
            }
            Value::Object(all)
        }
        other => other,
    }
}

/// Parses a time in one of the formats of other servers' tables: a number of seconds or milliseconds since 1970, or a
/// date with or without a time of day, such as `2024-05-01T12:00:00Z` and `2024-05-01 12:00:00.5+00`. A time without
/// an offset is in UTC.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return from_number(number);
    }
    if text
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && let Ok(number) = text.parse::<f64>()
    {
        return from_float(number);
    }
    let time = DateTime::from_str(&rfc3339(text)?, Format::DateTimeWithOffset).ok()?;
    time.to_millis().ok().filter(|ms| *ms >= 0).map(Timestamp)
}

/// The RFC 3339 form of a date in the formats of PostgreSQL, Python and Java.
fn rfc3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked("2024-05-01".len())?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then(|| format!("{date}T00:00:00Z"));
    };
    let (time, offset) = match rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.') {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let seconds = if time.len() == "12:00".len() {
        ":00"
    } else {
        ""
    };
    let offset = match offset.trim() {
        "" | "Z" | "z" | "UTC" | "GMT" | "Etc/UTC" => "Z".to_owned(),
        offset => {
            let (sign, digits) = offset.split_at_checked(1)?;
            let digits = digits.replace(':', "");
            if !["+", "-"].contains(&sign) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            match digits.len() {
                2 => format!("{sign}{digits}:00"),
                4 => format!("{sign}{}:{}", &digits[..2], &digits[2..]),
                _ => return None,
            }
        }
    };
    Some(format!("{date}T{time}{seconds}{offset}"))
}

/// The time of a number of seconds, milliseconds or microseconds since the epoch.
pub fn from_number(number: i64) -> Option<Timestamp> {
    let ms = if number <= LARGEST_SECONDS {
        number.checked_mul(1000)?
    } else if number <= LARGEST_MILLISECONDS {
        number
    } else {
        number / 1000
    };
    (ms >= 0).then_some(Timestamp(ms))
}

/// The time of a number with a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the fraction of a millisecond is dropped, and a greater number is not a time in the past"
)]
pub fn from_float(number: f64) -> Option<Timestamp> {
    if !(0.0..1e18).contains(&number) {
        return None;
    }
    if number <= LARGEST_SECONDS as f64 {
        Some(Timestamp((number * 1000.0).round() as i64))
    } else {
        from_number(number as i64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_parsed_in_each_format() {
        let time = Timestamp(1_714_564_800_000);
        for text in [
            "1714564800",
            "1714564800000",
            "1714564800000000",
            "1714564800.0",
            "1.7145648E9",
            "1714564800000.4",
            "2024-05-01T12:00:00Z",
            "2024-05-01T14:00:00+02:00",
            "2024-05-01 12:00:00+00",
            "2024-05-01 12:00:00.000000+00:00",
            "2024-05-01 06:30:00-0530",
            "2024-05-01T12:00:00",
            "2024-05-01t12:00:00.0z",
            "2024-05-01 12:00:00 UTC",
            "2024-05-01 12:00",
            " 2024-05-01T12:00Z ",
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(show(time), "2024-05-01T12:00:00Z");
        assert_eq!(parse("2024-05-01"), Some(Timestamp(1_714_521_600_000)));
        assert_eq!(parse("1714564800.123"), Some(Timestamp(time.0 + 123)));
        assert_eq!(
            parse("2024-05-01 12:00:00.123+00"),
            Some(Timestamp(time.0 + 123))
        );
        for text in [
            "",
            "yesterday",
            "-1",
            "-1.5",
            "2024-13-01",
            "2024-05-01 25:00:00",
            "2024-05-01x",
            "2024-05-01 12:00:00+x",
            "nan",
            "inf",
            "1e300",
            "01.05.2024",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_time_of_a_report_has_a_readable_form() {
        let json = with_rfc3339(json!({
            "created": 1_714_564_800_000_i64, "deactivated": null, "erased": true,
            "devices": [{ "tokens_issued": 0, "device_id": "created" }],
        }));
        assert_eq!(json["created_rfc3339"], "2024-05-01T12:00:00Z");
        assert_eq!(
            json["devices"][0]["tokens_issued_rfc3339"],
            "1970-01-01T00:00:00Z"
        );
        assert_eq!(json.as_object().unwrap().len(), 5);
    }
}
