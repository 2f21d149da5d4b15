//! Rate limits (HTTP-19).
//!
//! Each limit is a set of buckets of the generic cell rate algorithm (GCRA). A bucket is one item that holds
//! one number: the theoretical arrival time (TAT), before which the next request is early. The burst
//! is how early a request may be. [`LIMITS`] is the table of all limits; `store` writes the items.

mod daily;
mod table;

use std::{fmt::Display, time::Duration};

use futures_util::future::join_all;

pub use daily::{DailyShare, consume_daily};
pub use table::{LIMITS, Limit, LimitRow};

use crate::{
    app::App,
    client_network::ClientNetwork,
    clock::{Timestamp, millis},
    secrets::KeyPurpose,
    store::{AttemptBuckets, GcraUpdate, LimitDecision, StoreError},
};

/// The burst and the interval of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The number of requests that are allowed at once.
    pub burst: u32,
    /// The time until one more request is allowed.
    pub interval: Duration,
}

/// The name and the quota of each limit. Functions use this table instead of [`LIMITS`], so that their binaries do not
/// contain the texts of the documentation.
static QUOTAS: [(&str, Quota); LIMITS.len()] = {
    let no_quota = Quota {
        burst: 0,
        interval: Duration::ZERO,
    };
    let mut rows = [("", no_quota); LIMITS.len()];
    let mut position = 0;
    while position < rows.len() {
        let row = LIMITS[position];
        let quota = Quota {
            burst: row.burst,
            interval: row.interval,
        };
        rows[position] = (row.name, quota);
        position += 1;
    }
    rows
};

impl Limit {
    /// The limit's quota.
    pub fn quota(self) -> Quota {
        QUOTAS[self as usize].1
    }

    fn name(self) -> &'static str {
        QUOTAS[self as usize].0
    }
}

/// The reason why a request is rejected.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The quota is used up.
    #[error("the limit is exceeded for another {retry_after:?}")]
    Exceeded {
        /// The time until the next request is allowed.
        retry_after: Duration,
    },
    /// The bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn gcra_update(quota: Quota, now: Timestamp) -> GcraUpdate {
    let cost = millis(quota.interval);
    let reach = cost.saturating_mul(i64::from(quota.burst));
    GcraUpdate {
        now,
        cost,
        tolerance: reach - cost,
        reach,
    }
}

/// Charges one request to the quota of `key`, in most cases a client network.
pub async fn consume(app: &App, limit: Limit, key: impl Display) -> Result<(), LimitError> {
    if !app.config.limits {
        return Ok(());
    }
    let update = gcra_update(limit.quota(), app.clock.now());
    consume_bucket(app, &bucket_key(app, limit, key), update).await
}

async fn consume_bucket(app: &App, bucket: &str, update: GcraUpdate) -> Result<(), LimitError> {
    check(app.store.consume_limit(bucket, update).await?, update)
}

/// Charges one request to a quota of one, for `holder`. A repeated call for the same holder is not charged again,
/// so that the holder can continue after an interruption.
pub async fn acquire_for(
    app: &App,
    limit: Limit,
    key: impl Display,
    holder: &str,
) -> Result<(), LimitError> {
    if !app.config.limits {
        return Ok(());
    }
    let update = gcra_update(limit.quota(), app.clock.now());
    debug_assert_eq!(update.tolerance, 0, "one holder at a time");
    let bucket = bucket_key(app, limit, key);
    check(
        app.store.acquire_limit(&bucket, update, holder).await?,
        update,
    )
}

/// The keys of the rows that limit the attempts at `account` from all networks together, for
/// [`Store::find_attempt`](crate::store::Store::find_attempt). Returns `None` if rate limits are off.
pub fn attempt_buckets(app: &App, account: &str, network: ClientNetwork) -> Option<AttemptBuckets> {
    app.config.limits.then(|| AttemptBuckets {
        account: bucket_key(app, Limit::AccountPasswordAttempts, account),
        known_network: known_network_bucket(app, account, network),
    })
}

/// Charges an attempt at an account whose rows were read. Returns whether it is within the limit. Makes one call in
/// each case, so that the duration does not depend on earlier attempts at the account under another identifier; further
/// calls follow only after a concurrent attempt or a wrong clock.
pub async fn consume_attempt(
    app: &App,
    buckets: Option<&AttemptBuckets>,
    read: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let Some(buckets) = buckets else {
        return Ok(true);
    };
    let update = gcra_update(Limit::AccountPasswordAttempts.quota(), app.clock.now());
    let decision = app
        .store
        .consume_read_limit(&buckets.account, update, read)
        .await?;
    Ok(decision == LimitDecision::Allowed)
}

fn check(decision: LimitDecision, update: GcraUpdate) -> Result<(), LimitError> {
    match decision {
        LimitDecision::Allowed => Ok(()),
        LimitDecision::Exceeded { arrival } => Err(LimitError::Exceeded {
            retry_after: arrival.since(
                update
                    .now
                    .plus(Duration::from_millis(update.tolerance.unsigned_abs())),
            ),
        }),
    }
}

/// Refunds one request. For example, a correct password is not charged as an attempt.
pub async fn refund(app: &App, limit: Limit, key: impl Display) -> Result<(), LimitError> {
    if app.config.limits {
        app.store
            .refund_limit(&bucket_key(app, limit, key), millis(limit.quota().interval))
            .await?;
    }
    Ok(())
}

/// Charges one request to several quotas, or to none of them if one is used up.
pub async fn consume_all(app: &App, charges: &[(Limit, String)]) -> Result<(), LimitError> {
    let results = join_all(charges.iter().map(|(limit, key)| consume(app, *limit, key))).await;
    if results.iter().all(Result::is_ok) {
        return Ok(());
    }
    let consumed: Vec<_> = charges
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|(charge, _)| charge.clone())
        .collect();
    refund_all(app, &consumed).await;
    results.into_iter().collect()
}

/// Charges one request to several quotas one after the other, from the narrowest to the widest, or to none of them if
/// one is used up. A request that exceeds a narrow quota never reaches a wider one, not even for a moment.
pub async fn consume_in_order(app: &App, charges: &[(Limit, String)]) -> Result<(), LimitError> {
    for (index, (limit, key)) in charges.iter().enumerate() {
        if let Err(error) = consume(app, *limit, key).await {
            refund_all(app, charges.get(..index).unwrap_or_default()).await;
            return Err(error);
        }
    }
    Ok(())
}

/// Refunds one request to several quotas. A lost refund does not fail the request.
pub async fn refund_all(app: &App, charges: &[(Limit, String)]) {
    join_all(charges.iter().map(|(limit, key)| refund(app, *limit, key))).await;
}

/// How long a network stays known after the account owner was authenticated from it.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
const KNOWN_NETWORK: &str = "known-network";

/// Records for 30 days that the owner of `account`, a localpart, was authenticated from a network.
pub async fn mark_known_network(
    app: &App,
    account: &str,
    network: ClientNetwork,
) -> Result<(), StoreError> {
    if app.config.limits {
        let until = app.clock.now().plus(KNOWN_FOR);
        let bucket = known_network_bucket(app, account, network);
        app.store.mark_known_until(&bucket, until).await?;
    }
    Ok(())
}

/// The time until which a network is marked as known for an account, if it is.
pub async fn known_until(
    app: &App,
    account: &str,
    network: ClientNetwork,
) -> Result<Option<Timestamp>, StoreError> {
    let bucket = known_network_bucket(app, account, network);
    app.store.known_until(&bucket).await
}

/// Whether a network that is marked as known until `until` is known now, and was marked at `since` or later. `since` is
/// the account's last password reset: an attacker who had the password before must not profit from it.
pub fn is_known(app: &App, until: Option<Timestamp>, since: Timestamp) -> bool {
    until.is_some_and(|until| app.clock.now() < until && until >= since.plus(KNOWN_FOR))
}

fn known_network_bucket(app: &App, account: &str, network: ClientNetwork) -> String {
    bucket_key_of(app, KNOWN_NETWORK, format_args!("{account} {network}"))
}

fn bucket_key(app: &App, limit: Limit, key: impl Display) -> String {
    bucket_key_of(app, limit.name(), key)
}

/// The key of a bucket. It is hashed, so that the table contains no network and no 3PID.
fn bucket_key_of(app: &App, name: &str, key: impl Display) -> String {
    let key = key.to_string();
    let hash = app.config.keys.hash(KeyPurpose::LimitKey, key.as_bytes());
    format!("{name}#{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_19_a_burst_is_allowed_and_then_one_request_per_interval() {
        let now = Timestamp(1_000_000);
        let quota = Quota {
            burst: 3,
            interval: Duration::from_secs(10),
        };
        let update = gcra_update(quota, now);
        assert_eq!((update.cost, update.tolerance), (10_000, 20_000));
        // Three requests were counted at once: the TAT is three intervals ahead.
        let arrival = Timestamp(now.0 + 30_000);
        match check(LimitDecision::Exceeded { arrival }, update) {
            Err(LimitError::Exceeded { retry_after }) => {
                assert_eq!(retry_after, Duration::from_secs(10));
            }
            other => panic!("{other:?}"),
        }
    }
}
