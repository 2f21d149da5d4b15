//! Compares the clock of this machine with the `Date` header of a response of DynamoDB.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use shared::clock::Timestamp;

use super::checks::Check;
use crate::Admin;

const NAME: &str = "clock";
/// From this difference on, the check warns, because the CLI takes the expiry of registration tokens from this clock.
const WARN_FROM: Duration = Duration::from_mins(1);
/// From this difference on, the check fails, because AWS rejects requests whose time is 15 minutes off.
const FAIL_FROM: Duration = Duration::from_mins(5);

/// Reads the `Date` header of a response.
#[derive(Debug, Clone, Default)]
struct DateInterceptor(Arc<Mutex<Option<String>>>);

#[dyn_dispatch_hint]
impl Intercept for DateInterceptor {
    fn name(&self) -> &'static str {
        "DateInterceptor"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        if let Ok(mut stored) = self.0.lock() {
            *stored = date;
        }
        Ok(())
    }
}

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    let interceptor = DateInterceptor::default();
    let call = admin.services.dynamodb.list_tables().limit(1);
    // The result is ignored, because an error response has a date too.
    let _ = call
        .customize()
        .interceptor(interceptor.clone())
        .send()
        .await;
    let date = interceptor.0.lock().ok().and_then(|mut date| date.take());
    let remote = date.and_then(|date| DateTime::from_str(&date, Format::HttpDate).ok());
    let remote = remote
        .and_then(|remote| remote.to_millis().ok())
        .map(Timestamp);
    vec![compare(admin.clock.now(), remote)]
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
