//! Dates in the texts of messages and pages.

use crate::clock::Timestamp;

const MONTHS: [(&str, i64); 12] = [
    ("January", 31),
    ("February", 28),
    ("March", 31),
    ("April", 30),
    ("May", 31),
    ("June", 30),
    ("July", 31),
    ("August", 31),
    ("September", 30),
    ("October", 31),
    ("November", 30),
    ("December", 31),
];
/// The last millisecond of the year 9999. A later time is shown as this time, and a time before 1970 as
/// the start of 1970.
const LAST: i64 = 253_402_300_799_999;

/// Formats a time: `15 January 2027 at 08:00 UTC`.
pub fn utc(time: Timestamp) -> String {
    let minutes = time.0.clamp(0, LAST) / 60_000;
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    let mut days = minutes / (60 * 24);
    let mut year = 1970;
    while days >= 365 + leap_day(year) {
        days -= 365 + leap_day(year);
        year += 1;
    }
    let mut months = MONTHS.iter().map(|(name, length)| {
        let leap_day = if *name == "February" {
            leap_day(year)
        } else {
            0
        };
        (*name, length + leap_day)
    });
    let month = months.find(|(_, length)| {
        let is_past = days >= *length;
        if is_past {
            days -= length;
        }
        !is_past
    });
    let (month, _) = month.unwrap_or(MONTHS[11]);
    let day = days + 1;
    format!("{day} {month} {year} at {hour:02}:{minute:02} UTC")
}

/// 1 in a leap year, otherwise 0.
fn leap_day(year: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    i64::from(is_leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_formatted_with_its_date_and_minute() {
        for (seconds, expected) in [
            (0, "1 January 1970 at 00:00 UTC"),
            (59, "1 January 1970 at 00:00 UTC"),
            (86_399, "1 January 1970 at 23:59 UTC"),
            (951_782_400, "29 February 2000 at 00:00 UTC"),
            (951_868_800, "1 March 2000 at 00:00 UTC"),
            (1_709_164_799, "28 February 2024 at 23:59 UTC"),
            (1_709_164_800, "29 February 2024 at 00:00 UTC"),
            (1_735_689_599, "31 December 2024 at 23:59 UTC"),
            (1_735_689_600, "1 January 2025 at 00:00 UTC"),
            (1_800_000_000, "15 January 2027 at 08:00 UTC"),
            (4_107_542_399, "28 February 2100 at 23:59 UTC"),
            (4_107_542_400, "1 March 2100 at 00:00 UTC"),
            (253_402_300_799, "31 December 9999 at 23:59 UTC"),
        ] {
            assert_eq!(utc(Timestamp(seconds * 1000)), expected, "{seconds}");
        }
    }

    #[test]
    fn dates_out_of_range_are_shown_as_the_nearest_date() {
        assert_eq!(utc(Timestamp(i64::MIN)), "1 January 1970 at 00:00 UTC");
        assert_eq!(utc(Timestamp(i64::MAX)), "31 December 9999 at 23:59 UTC");
    }
}
