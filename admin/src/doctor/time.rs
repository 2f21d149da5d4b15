//! Whether this machine's clock is right, by what a service writes at the head of its answer.

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
/// Lifetimes of registration tokens are counted from this clock.
const WARN_FROM: Duration = Duration::from_mins(1);
/// AWS takes no request that is a quarter of an hour off.
const FAIL_FROM: Duration = Duration::from_mins(5);

/// Reads the head of an answer.
#[derive(Debug, Clone, Default)]
struct Dated(Arc<Mutex<Option<String>>>);

#[dyn_dispatch_hint]
impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        if let Ok(mut own) = self.0.lock() {
            *own = date;
        }
        Ok(())
    }
}

pub(super) async fn look(admin: &Admin) -> Vec<Check> {
    let dated = Dated::default();
    let call = admin.services.dynamodb.list_tables().limit(1);
    // Whatever it says: what counts is when.
    let _ = call.customize().interceptor(dated.clone()).send().await;
    let date = dated.0.lock().ok().and_then(|mut date| date.take());
    let there = date.and_then(|date| DateTime::from_str(&date, Format::HttpDate).ok());
    let there = there
        .and_then(|there| there.to_millis().ok())
        .map(Timestamp);
    vec![judge(admin.clock.now(), there)]
}

fn judge(here: Timestamp, there: Option<Timestamp>) -> Check {
    const ADVICE: &str = "Set this machine's clock: AWS takes no request whose time is far off.";
    let Some(there) = there else {
        return Check::skipped(NAME, "no service said what time it is");
    };
    let off = here.since(there).max(there.since(here));
    let found = format!("{} seconds off", off.as_secs());
    if off >= FAIL_FROM {
        Check::fail(NAME, found, ADVICE)
    } else if off >= WARN_FROM {
        Check::warn(NAME, found, ADVICE)
    } else {
        Check::good(NAME, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::State;

    #[test]
    fn a_clock_may_be_off_by_a_little_in_either_direction() {
        let state = |off: i64| {
            let there = Timestamp(1_800_000_000_000);
            judge(Timestamp(there.0 + off * 1000), Some(there)).state
        };
        for sign in [1, -1] {
            assert_eq!(state(sign * 59), State::Good);
            assert_eq!(state(sign * 60), State::Warn);
            assert_eq!(state(sign * 300), State::Fail);
        }
        assert_eq!(judge(Timestamp(0), None).state, State::Skipped);
    }
}
