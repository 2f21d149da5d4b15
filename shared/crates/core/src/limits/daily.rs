//! The daily limits of e-mails and of text messages. They bound the cost of messages, whatever the other limits allow.

use std::time::Duration;

use super::{LimitError, Quota, bucket_key_of, consume_bucket, gcra_update};
use crate::{app::App, store::GcraUpdate, threepid::Medium};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The part of the burst that is reserved for [`DailyShare::Whole`]: one fifth.
const RESERVED: u32 = 5;

/// The part of a daily limit that a message may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DailyShare {
    /// Everything: password resets and security notifications.
    Whole,
    /// Everything but the reserve: messages that anyone can cause for any address.
    Unreserved,
}

/// Charges one message to the daily limit of its medium.
pub async fn consume_daily(app: &App, medium: Medium, share: DailyShare) -> Result<(), LimitError> {
    let limit = match medium {
        Medium::Email => app.config.daily_limits.emails,
        Medium::Msisdn => app.config.daily_limits.texts,
    };
    let (Some(limit), true) = (limit, app.config.limits) else {
        return Ok(());
    };
    let bucket = bucket_key_of(app, "daily", medium);
    let now = app.clock.now();
    let update = GcraUpdate {
        // The larger share may fill the bucket beyond the burst of the smaller share. Only a TAT beyond the larger
        // burst means that a clock was wrong.
        reach: gcra_update(quota(limit, DailyShare::Whole), now).reach,
        ..gcra_update(quota(limit, share), now)
    };
    consume_bucket(app, &bucket, update).await
}

/// The quota for at most `limit` messages in any 24 hours: half of them at once, the other half spread over a day. The
/// shares use one bucket with different bursts. Messages of the larger share therefore count against the smaller share,
/// but messages of the smaller share never use up the reserve.
fn quota(limit: u32, share: DailyShare) -> Quota {
    let whole = limit.div_ceil(2).max(1);
    let burst = match share {
        DailyShare::Whole => whole,
        DailyShare::Unreserved => (whole - whole / RESERVED).max(1),
    };
    // At the limit of one message, the second message of a day comes after a day.
    let regained = (limit - limit.div_ceil(2)).max(1);
    Quota {
        burst,
        // Rounded up, so that the rounded interval does not allow more messages.
        interval: Duration::from_millis(DAY_MS.div_ceil(u64::from(regained))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::millis;

    /// The most messages that a bucket allows in 24 hours: the burst, and what it regains before the last moment.
    fn most(quota: Quota) -> i64 {
        i64::from(quota.burst)
            + (millis(Duration::from_millis(DAY_MS)) - 1) / millis(quota.interval)
    }

    #[test]
    fn a_day_has_at_most_the_configured_number_of_messages() {
        for limit in [2, 3, 10, 11, 499, 500, 10_000, 999_999] {
            let whole = quota(limit, DailyShare::Whole);
            let unreserved = quota(limit, DailyShare::Unreserved);
            assert!(most(whole) <= i64::from(limit), "{limit}");
            // The interval is a whole number of milliseconds.
            assert!(
                most(whole) >= i64::from(limit) - 1 - i64::from(limit) / 1000,
                "{limit}"
            );
            assert_eq!(whole.interval, unreserved.interval);
            if limit >= 10 {
                assert!(unreserved.burst < whole.burst, "{limit}");
            }
        }
        assert_eq!(most(quota(1, DailyShare::Whole)), 1);
        assert_eq!(quota(500, DailyShare::Unreserved).burst, 200);
    }
}
