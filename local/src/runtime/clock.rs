//! A clock that tests freeze and `POST /_local/clock` moves. No function ever sees it on AWS.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use shared::clock::{Clock, SystemClock, Timestamp, millis};

/// How far beyond the machine's time the clock can be moved, in milliseconds: a hundred years.
const MAX_OFFSET_MS: i64 = 36_525 * 86_400_000;

/// The clock was not moved, because it would show a time too far in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar;

impl fmt::Display for TooFar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("The clock stays within a hundred years of the machine's time.")
    }
}

impl std::error::Error for TooFar {}

/// The machine's time and an offset, or a time that stands still until it is moved.
#[derive(Debug)]
pub struct MovableClock {
    /// The offset, or the time itself when frozen.
    millis: AtomicI64,
    frozen: bool,
    file: Option<PathBuf>,
}

impl MovableClock {
    /// The machine's time, until it is moved.
    pub fn running() -> Self {
        Self {
            millis: AtomicI64::new(0),
            frozen: false,
            file: None,
        }
    }

    /// A clock that stands at `at` milliseconds since the epoch.
    pub fn frozen(at: i64) -> Self {
        Self {
            millis: AtomicI64::new(at),
            frozen: true,
            file: None,
        }
    }

    /// The machine's time and the offset that an earlier run left in `directory`, which keeps it.
    pub fn kept_in(directory: &Path) -> Result<Self> {
        let file = directory.join("clock");
        let offset: i64 = match fs::read_to_string(&file) {
            Ok(text) => text
                .trim()
                .parse()
                .with_context(|| format!("{} holds no offset", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        ensure!(
            (0..=MAX_OFFSET_MS).contains(&offset),
            "{} moves the clock by {offset} ms, and only 0 to {MAX_OFFSET_MS} are possible; without the file \
             the clock shows the machine's time",
            file.display()
        );
        Ok(Self {
            millis: AtomicI64::new(offset),
            frozen: false,
            file: Some(file),
        })
    }

    /// Moves the clock on and says what it shows then. Nothing happens if that would be more than a hundred
    /// years beyond the machine's time.
    pub fn advance(&self, by: Duration) -> Option<Timestamp> {
        let by = millis(by);
        let limit = if self.frozen {
            SystemClock.now().0.saturating_add(MAX_OFFSET_MS)
        } else {
            MAX_OFFSET_MS
        };
        let moved = |before: i64| before.checked_add(by).filter(|after| *after <= limit);
        let before = self
            .millis
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved)
            .ok()?;
        if let Some(file) = &self.file {
            let temporary = file.with_extension("new");
            let offset = before.saturating_add(by).to_string();
            if let Err(error) =
                fs::write(&temporary, offset).and_then(|()| fs::rename(&temporary, file))
            {
                tracing::error!(%error, file = %file.display(), "the clock's offset will not survive a restart");
            }
        }
        Some(self.now())
    }
}

impl Default for MovableClock {
    fn default() -> Self {
        Self::running()
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        let moved = self.millis.load(Ordering::SeqCst);
        if self.frozen {
            Timestamp(moved)
        } else {
            Timestamp(SystemClock.now().0.saturating_add(moved))
        }
    }
}

/// `at` as `2026-11-21T22:10:00Z`.
pub(crate) fn iso(at: Timestamp) -> String {
    let (year, month, day, [hour, minute, second]) = civil(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `at` as `21/Nov/2026:22:10:00 +0000`, which is how the gateway writes it.
pub(crate) fn common_log(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day, [hour, minute, second]) = civil(at);
    let month = usize::try_from(month - 1)
        .ok()
        .and_then(|month| MONTHS.get(month))
        .unwrap_or(&"Jan");
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month, day and time of day, after Howard Hinnant's `civil_from_days`: years begin in March, so
/// that the leap day is the last.
fn civil(at: Timestamp) -> (i64, i64, i64, [i64; 3]) {
    let seconds = at.0.div_euclid(1000);
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let time = seconds.rem_euclid(86_400);
    (year, month, day, [time / 3600, time / 60 % 60, time % 60])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_gateway_writes_them() {
        assert_eq!(iso(Timestamp(1_709_210_096_789)), "2024-02-29T12:34:56Z");
        assert_eq!(
            common_log(Timestamp(1_709_210_096_789)),
            "29/Feb/2024:12:34:56 +0000"
        );
        assert_eq!(iso(Timestamp(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_frozen_clock_moves_only_when_it_is_moved() {
        let clock = MovableClock::frozen(1000);
        assert_eq!(clock.advance(Duration::from_secs(2)), Some(Timestamp(3000)));
        assert_eq!(clock.now(), Timestamp(3000));
    }

    #[test]
    fn no_clock_is_moved_more_than_a_century_in_all() {
        let century = Duration::from_millis(MAX_OFFSET_MS.unsigned_abs());
        let running = MovableClock::running();
        for too_far in [Duration::MAX, century + Duration::from_millis(1)] {
            assert_eq!(running.advance(too_far), None);
        }
        assert!(running.advance(century / 2).is_some());
        assert!(running.advance(century / 2).is_some());
        assert_eq!(running.advance(Duration::from_millis(1)), None);
        assert!(running.now().since(SystemClock.now()) <= century);

        let frozen = MovableClock::frozen(SystemClock.now().0);
        assert_eq!(frozen.advance(century + Duration::from_hours(1)), None);
        assert!(frozen.advance(century / 2).is_some());
    }

    #[test]
    fn an_offset_that_was_kept_is_one_that_could_have_come_about() {
        let directory = crate::runtime::temp_dir::TempDir::new();
        let kept = |offset: String| {
            fs::write(directory.path().join("clock"), offset).expect("a file");
            MovableClock::kept_in(directory.path())
        };
        assert!(kept(MAX_OFFSET_MS.to_string()).is_ok());
        for offset in [i64::MAX, i64::MIN, MAX_OFFSET_MS + 1, -1] {
            let error = kept(offset.to_string()).expect_err("a refusal").to_string();
            assert!(error.contains(&offset.to_string()), "{error}");
        }

        let clock = kept("0".to_owned()).expect("a clock");
        clock.advance(Duration::from_secs(5));
        clock.advance(Duration::MAX);
        let text = fs::read_to_string(directory.path().join("clock")).expect("the offset");
        assert_eq!(text, "5000");
    }
}
