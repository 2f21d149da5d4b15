//! Times as people write them.

use aws_smithy_types::{DateTime, date_time::Format};
use shared::clock::Timestamp;

/// A number above this is one of milliseconds: it would be the year 5138 in seconds, and is 1973.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// A moment to the second, in UTC.
pub fn show(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1000);
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| format!("{seconds} s"))
}

/// A moment in any of the ways in which other servers' tables write one: `2024-05-01T12:00:00Z`,
/// seconds or milliseconds since the epoch.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return number_of(number);
    }
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    time.to_millis().ok().filter(|ms| *ms >= 0).map(Timestamp)
}

/// The same of a number.
pub fn number_of(number: i64) -> Option<Timestamp> {
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
    fn a_moment_is_read_in_each_of_its_spellings() {
        let moment = Timestamp(1_714_564_800_000);
        for text in [
            "1714564800",
            "1714564800000",
            "2024-05-01T12:00:00Z",
            "2024-05-01T14:00:00+02:00",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
        assert_eq!(show(moment), "2024-05-01T12:00:00Z");
        for text in ["", "yesterday", "-1", "2024-05-01"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
