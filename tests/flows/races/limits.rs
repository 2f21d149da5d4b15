//! Concurrent charges of one quota while TTL deletes rows.

use std::{sync::Arc, time::Duration};

use shared::{
    app::App,
    clock::Clock,
    limits::{self, Limit},
    rng::Rng,
};
use test_support::{SeededRng, TestServer};

use crate::flows::support::{at_once, process_of};

/// The quota as the algorithm defines it, without rows.
struct Reference {
    limit: Limit,
    /// The theoretical arrival time in milliseconds.
    arrival: i64,
}

impl Reference {
    fn interval(&self) -> i64 {
        i64::try_from(self.limit.quota().interval.as_millis()).unwrap()
    }

    /// The number of allowed requests among `count` requests at this time.
    fn consume(&mut self, now: i64, count: usize) -> usize {
        let tolerance = self.interval() * (i64::from(self.limit.quota().burst) - 1);
        let allowed = (0..count).filter(|_| {
            let is_allowed = self.arrival <= now + tolerance;
            if is_allowed {
                self.arrival = self.arrival.max(now) + self.interval();
            }
            is_allowed
        });
        allowed.count()
    }
}

/// Sends this many charges at once, while TTL deletes rows, and returns the number of allowed ones.
async fn charge(server: &Arc<TestServer>, app: &Arc<App>, limit: Limit, count: usize) -> usize {
    let outcomes = at_once(count, |number| {
        let (server, app) = (Arc::clone(server), Arc::clone(app));
        async move {
            if number == 3 {
                let now = server.local.clock().now();
                server.local.dynamodb().delete_expired(now).unwrap();
            }
            limits::consume(&app, limit, "key").await.is_ok()
        }
    })
    .await;
    outcomes.into_iter().filter(|allowed| *allowed).count()
}

/// HTTP-19: at random times, TTL deletes the rows that are due. Whatever it deletes, no more requests
/// are allowed than the algorithm allows.
#[tokio::test]
async fn http_19_no_quota_comes_back_early_when_ttl_deletes_rows() {
    let rng: &dyn Rng = &SeededRng::new(3);
    let below = |end: u64| u64::from(u32::from_le_bytes(rng.bytes())) % end;
    for limit in [Limit::AccountPasswordAttempts, Limit::Read, Limit::Message] {
        let server = Arc::new(TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await);
        let app = process_of(&server, "another");
        let mut reference = Reference { limit, arrival: 0 };
        let quota = limit.quota();
        let whole = u64::try_from(quota.interval.as_millis()).unwrap() * u64::from(quota.burst);
        let mut all_allowed = 0;
        for step in 0..25 {
            let now = server.local.clock().now().0;
            let count = usize::try_from(1 + below(24)).unwrap();
            let allowed = charge(&server, &app, limit, count).await;
            // On a slow machine the SDK repeats a call that timed out, which may then be counted twice.
            let expected = reference.consume(now, count);
            assert!(
                allowed <= expected,
                "{limit:?}, step {step}: {allowed} > {expected}"
            );
            all_allowed += allowed;
            // Most of the time the bucket stays in use. Sometimes it is empty for more than the hour after which TTL
            // deletes it.
            let wait = match below(8) {
                0 => 0,
                1 => whole + below(2 * 3_600_000),
                _ => below(whole / 3),
            };
            server.advance(Duration::from_millis(wait));
        }
        assert!(all_allowed > 0, "{limit:?}");
    }
}

/// The same for each row alone: TTL keeps a row for at least an hour after the bucket is empty.
#[tokio::test]
async fn http_19_a_row_outlives_its_quota_after_concurrent_charges() {
    let server = Arc::new(TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await);
    let app = process_of(&server, "another");
    for _ in 0..3 {
        charge(&server, &app, Limit::AccountPasswordAttempts, 30).await;
        let rows = server.local.dynamodb().table("Limits").unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let number = |name: &str| row[name]["N"].as_str().unwrap().parse::<i64>().unwrap();
            let kept = number("ttl") * 1000 - number("tat");
            assert!(
                kept >= 3_599_000,
                "the row is deleted {kept} ms after the bucket is empty"
            );
        }
    }
}
