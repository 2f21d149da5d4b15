//! Compares the clock of this machine with the `Date` header of a response of DynamoDB.

use std::time::Duration;

use aws_smithy_types::{DateTime, date_time::Format};
use shared::clock::Timestamp;

use super::checks::Check;
use crate::Admin;

const NAME: &str = "clock";
/// From this difference on, the check warns, because the CLI takes the expiry of registration tokens from this clock.
const WARN_FROM: Duration = Duration::from_mins(1);
/// From this difference on, the check fails, because AWS rejects requests whose time is 15 minutes off.
const FAIL_FROM: Duration = Duration::from_mins(5);

/// Compares the clock with the `Date` header.
pub(super) fn check(admin: &Admin, date: Option<&str>) -> Check {
    let remote = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
    let remote = remote
        .and_then(|remote| remote.to_millis().ok())
        .map(Timestamp);
    compare(admin.clock.now(), remote)
}

fn compare(local: Timestamp, remote: Option<Timestamp>) -> Check {
    const ADVICE: &str =
        "Set the clock of this machine: AWS rejects requests whose time is far off.";
    let Some(remote) = remote else {
        return Check::skipped(NAME, "no response had a date");
    };
    let off = local.since(remote).max(remote.since(local));
    let found = format!("{} seconds off", off.as_secs());
    if off >= FAIL_FROM {
        Check::fail(NAME, found, ADVICE)
    } else if off >= WARN_FROM {
        Check::warn(NAME, found, ADVICE)
    } else {
        Check::ok(NAME, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::State;

    #[test]
    fn a_clock_may_be_slightly_fast_or_slow() {
        let state = |off: i64| {
            let remote = Timestamp(1_800_000_000_000);
            compare(Timestamp(remote.0 + off * 1000), Some(remote)).state
        };
        for sign in [1, -1] {
            assert_eq!(state(sign * 59), State::Ok);
            assert_eq!(state(sign * 60), State::Warn);
            assert_eq!(state(sign * 300), State::Fail);
        }
        assert_eq!(compare(Timestamp(0), None).state, State::Skipped);
    }
}
