//! A clock that tests can freeze and that `POST /_local/clock` moves forward. On AWS the functions use the system
//! clock.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use shared::clock::{Clock, SystemClock, Timestamp, millis};

/// The largest offset from the system's time, in milliseconds: a hundred years.
const MAX_OFFSET_MS: i64 = 36_525 * 86_400_000;

/// The clock was not moved, because the new time would be too far in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar;

impl fmt::Display for TooFar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "The clock cannot be moved more than a hundred years beyond the system's time.",
        )
    }
}

impl std::error::Error for TooFar {}

/// The system's time plus an offset, or a frozen time.
#[derive(Debug)]
pub struct MovableClock {
    /// The offset, or the time itself if the clock is frozen.
    millis: AtomicI64,
    frozen: bool,
    file: Option<PathBuf>,
}

impl MovableClock {
    /// A clock that starts with the system's time.
    pub fn running() -> Self {
        Self {
            millis: AtomicI64::new(0),
            frozen: false,
            file: None,
        }
    }

    /// A clock that is frozen at `at` milliseconds since the epoch.
    pub fn frozen(at: i64) -> Self {
        Self {
            millis: AtomicI64::new(at),
            frozen: true,
            file: None,
        }
    }

    /// A clock with its offset stored in `directory`, so that it outlives the process.
    pub fn kept_in(directory: &Path) -> Result<Self> {
        let file = directory.join("clock");
        let offset: i64 = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().with_context(|| {
                format!(
                    "{} does not contain an offset in milliseconds",
                    file.display()
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        ensure!(
            (0..=MAX_OFFSET_MS).contains(&offset),
            "{} contains the offset {offset} ms, which is not between 0 and {MAX_OFFSET_MS}; delete the file to \
             use the system's time",
            file.display()
        );
        Ok(Self {
            millis: AtomicI64::new(offset),
            frozen: false,
            file: Some(file),
        })
    }

    /// Moves the clock forward and returns the new time. Returns `None` and does nothing if the new time would be
    /// more than a hundred years beyond the system's time.
    pub fn advance(&self, by: Duration) -> Option<Timestamp> {
        let by = millis(by);
        let limit = if self.frozen {
            SystemClock.now().0.saturating_add(MAX_OFFSET_MS)
        } else {
            MAX_OFFSET_MS
        };
        let advanced = |before: i64| before.checked_add(by).filter(|after| *after <= limit);
        let before = self
            .millis
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, advanced)
            .ok()?;
        if let Some(file) = &self.file {
            let temporary = file.with_extension("new");
            let offset = before.saturating_add(by).to_string();
            if let Err(error) =
                fs::write(&temporary, offset).and_then(|()| fs::rename(&temporary, file))
            {
                tracing::error!(%error, file = %file.display(), "cannot store the clock's offset, so a restart will lose it");
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
        let millis = self.millis.load(Ordering::SeqCst);
        if self.frozen {
            Timestamp(millis)
        } else {
            Timestamp(SystemClock.now().0.saturating_add(millis))
        }
    }
}

/// `at` as `2026-11-21T22:10:00Z`.
pub(crate) fn iso(at: Timestamp) -> String {
    let (year, month, day, [hour, minute, second]) = civil(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `at` as `21/Nov/2026:22:10:00 +0000`, the form of `requestTime` in events of API Gateway.
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

/// Year, month, day and time of day, by Howard Hinnant's algorithm `civil_from_days`. Its years start in March, so that
/// the leap day is the last day of a year.
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
    fn times_have_the_forms_of_api_gateway() {
        assert_eq!(iso(Timestamp(1_709_210_096_789)), "2024-02-29T12:34:56Z");
        assert_eq!(
            common_log(Timestamp(1_709_210_096_789)),
            "29/Feb/2024:12:34:56 +0000"
        );
        assert_eq!(iso(Timestamp(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_frozen_clock_changes_only_by_advance() {
        let clock = MovableClock::frozen(1000);
        assert_eq!(clock.advance(Duration::from_secs(2)), Some(Timestamp(3000)));
        assert_eq!(clock.now(), Timestamp(3000));
    }

    #[test]
    fn no_clock_advances_by_more_than_a_century_in_total() {
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
    fn a_stored_offset_is_checked_when_it_is_read() {
        let directory = crate::runtime::temp_dir::TempDir::new();
        let stored = |offset: String| {
            fs::write(directory.path().join("clock"), offset).expect("a file");
            MovableClock::kept_in(directory.path())
        };
        assert!(stored(MAX_OFFSET_MS.to_string()).is_ok());
        for offset in [i64::MAX, i64::MIN, MAX_OFFSET_MS + 1, -1] {
            let error = stored(offset.to_string())
                .expect_err("an error")
                .to_string();
            assert!(error.contains(&offset.to_string()), "{error}");
        }

        let clock = stored("0".to_owned()).expect("a clock");
        clock.advance(Duration::from_secs(5));
        clock.advance(Duration::MAX);
        let text = fs::read_to_string(directory.path().join("clock")).expect("the offset");
        assert_eq!(text, "5000");
    }
}
