//! Interrupted deliveries: an e-mail for a reset arrives at least once, a text message at most once, and
//! no message arrives for a free address.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::Value;

use super::{by_mail, by_text, never_validates, test_server, with_owner};
use crate::flows::support::mail_helpers::{
    RESET, expected_statuses, run_schedules, session_for, statuses,
};

const MINUTE: Duration = Duration::from_mins(1);

/// The calls are lease, session, owner, account and status. There is no sixth call.
#[tokio::test]
async fn a_crash_loses_no_reset_mail_and_repeats_no_text() {
    for is_mail in [true, false] {
        for last in 1..=6 {
            let request = if is_mail {
                by_mail as fn(&str) -> Value
            } else {
                by_text
            };
            let server = with_owner(request, &[]).await;
            let end = Fault::new(FaultKind::ConnectionReset)
                .by("Deliver")
                .nth(last);
            server.local.proxy().inject(end.times(u64::MAX));
            session_for(&server, RESET, &request("secret")).await;
            server.deliver().await;
            server.local.proxy().clear_faults();
            run_schedules(&server, 10, MINUTE).await;
            let messages = server.messages();
            let same = |m: &gatehouse_local::aws_fakes::outbox::Message| {
                (
                    m.to.clone(),
                    m.subject.clone(),
                    m.text.clone(),
                    m.html.clone(),
                )
            };
            assert!(messages.iter().all(|m| same(m) == same(&messages[0])));
            let expected = match (is_mail, last) {
                (true, 5) => 2,
                // The row does not show whether the message was sent.
                (false, 2..=4) => 0,
                _ => 1,
            };
            assert_eq!(messages.len(), expected, "by mail: {is_mail}, call {last}");
        }
    }
}

/// The calls are lease, session, owner, suppression and status. The next delivery of the row makes the
/// remaining calls.
#[tokio::test]
async fn a_crash_sends_no_reset_message_to_a_free_address() {
    for request in [by_mail as fn(&str) -> Value, by_text] {
        for last in 1..=6 {
            let server = test_server(&[]).await;
            let end = Fault::new(FaultKind::ConnectionReset)
                .by("Deliver")
                .nth(last);
            server.local.proxy().inject(end.times(u64::MAX));
            let sid = session_for(&server, RESET, &request("secret")).await;
            server.deliver().await;
            server.local.proxy().clear_faults();
            run_schedules(&server, 10, MINUTE).await;
            assert!(server.messages().is_empty(), "call {last}");
            assert_eq!(
                statuses(&server),
                expected_statuses(&[("moot", 1)]),
                "call {last}"
            );
            never_validates(&server, &sid).await;
        }
    }
}
