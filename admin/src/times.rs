//! Formats and parses times.

use aws_smithy_types::{DateTime, date_time::Format};
use shared::clock::Timestamp;

/// A number up to this limit is in seconds, and a larger number is in milliseconds. The limit is in the year 5138
/// as seconds, and in 1973 as milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// Formats a time in UTC, to the second.
pub fn show(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1000);
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| format!("{seconds} s"))
}

/// Parses a time in one of the formats of other servers' tables: `2024-05-01T12:00:00Z`, seconds or
/// milliseconds since the epoch.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return from_number(number);
    }
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    time.to_millis().ok().filter(|ms| *ms >= 0).map(Timestamp)
}

/// The time of a number of seconds or milliseconds since the epoch.
pub fn from_number(number: i64) -> Option<Timestamp> {
    let ms = if number <= LARGEST_SECONDS {
        number.checked_mul(1000)?
    } else {
        number
    };
    (ms >= 0).then_some(Timestamp(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_parsed_in_each_format() {
        let time = Timestamp(1_714_564_800_000);
        for text in [
            "1714564800",
            "1714564800000",
            "2024-05-01T12:00:00Z",
            "2024-05-01T14:00:00+02:00",
        ] {
            assert_eq!(parse(text), Some(time), "{text}");
        }
        assert_eq!(show(time), "2024-05-01T12:00:00Z");
        for text in ["", "yesterday", "-1", "2024-05-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
