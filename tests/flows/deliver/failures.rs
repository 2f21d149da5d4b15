//! Delivery while SES and SNS fail, with invalid rows, and with messages that must not be sent
//! any more. `crash_points` tests processes that end during a delivery.

use std::{collections::BTreeMap, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::json;
use test_support::{Log, TestServer};

use crate::flows::support::mail_helpers::{
    FLOWS, MAIL, SMS, expected_statuses, mail_to, put, request_message, row, run_schedules,
    session, statuses, test_server, text_to,
};

pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// Longer than any wait for the next attempt, in minutes.
const LONGEST_WAIT: u32 = 16;
/// The failures that leave open whether the message was sent.
const OUTAGES: [FaultKind; 3] = [
    FaultKind::Throttle,
    FaultKind::InternalError,
    FaultKind::ConnectionReset,
];

/// Lets every call of `operation` fail from now on.
fn fail_always(server: &TestServer, operation: &str, kind: FaultKind) {
    let fault = Fault::new(kind).on(operation);
    server.local.aws_fakes().inject(fault.times(u64::MAX));
}

/// The number of messages that each address has received.
pub(super) fn arrived(server: &TestServer) -> BTreeMap<String, usize> {
    let mut arrived = BTreeMap::new();
    for message in server.messages() {
        *arrived.entry(message.to).or_default() += 1;
    }
    arrived
}

/// Lets `operation` fail in this way for an hour, with a request every five minutes. Then runs the
/// schedule without failures for [`LONGEST_WAIT`] minutes.
async fn an_hour_of(kind: FaultKind, operation: &str) -> TestServer {
    let server = test_server(&[]).await;
    fail_always(&server, operation, kind);
    for minute in 0..60 {
        if minute % 5 == 0 {
            let body = if operation == "SendEmail" {
                mail_to(&format!("user{minute:02}@example.org"), "secret", 1)
            } else {
                text_to(&format!("4474001234{minute:02}"), "secret", 1)
            };
            request_message(&server, &body).await.ok();
        }
        server.deliver().await;
        run_schedules(&server, 1, MINUTE).await;
    }
    assert!(server.messages().is_empty(), "{kind:?}");
    server.local.aws_fakes().clear_faults();
    run_schedules(&server, LONGEST_WAIT, MINUTE).await;
    server
}

/// L16
#[tokio::test]
async fn threepid_17_after_an_hour_without_ses_each_mail_arrives_once() {
    for kind in OUTAGES {
        let server = an_hour_of(kind, "SendEmail").await;
        run_schedules(&server, 60, MINUTE).await;
        let arrived = arrived(&server);
        assert_eq!(arrived.len(), 12, "{kind:?}: {arrived:?}");
        assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        assert_eq!(
            statuses(&server),
            expected_statuses(&[("sent", 12)]),
            "{kind:?}"
        );
    }
}

/// After a throttle the message was certainly not sent. After any other failure this is unknown,
/// and a text message is not sent twice.
#[tokio::test]
async fn threepid_17_after_an_hour_without_sns_only_unsent_texts_come() {
    for (kind, count, status) in [
        (FaultKind::Throttle, 12, "sent"),
        (FaultKind::InternalError, 0, "failed"),
        (FaultKind::ConnectionReset, 0, "failed"),
    ] {
        let server = an_hour_of(kind, "Publish").await;
        let arrived = arrived(&server);
        assert_eq!(arrived.len(), count, "{kind:?}: {arrived:?}");
        assert!(arrived.values().all(|times| *times == 1), "{arrived:?}");
        assert_eq!(
            statuses(&server),
            expected_statuses(&[(status, 12)]),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn l16_two_errors_of_the_provider_do_not_lose_the_mail() {
    for kind in OUTAGES {
        let server = test_server(&[]).await;
        let fault = Fault::new(kind).on("SendEmail").times(2);
        server.local.aws_fakes().inject(fault);
        request_message(&server, &mail_to("a@example.org", "secret", 1))
            .await
            .ok();
        server.deliver().await;
        assert!(server.messages().is_empty(), "{kind:?}");
        // The first wait is at most half a minute, the second at most a minute.
        run_schedules(&server, 2, MINUTE).await;
        assert_eq!(server.local.aws_fakes().pending_faults(), 0, "{kind:?}");
        assert_eq!(server.messages().len(), 1, "{kind:?}");
        run_schedules(&server, 2, LONGEST_WAIT * MINUTE).await;
        assert_eq!(server.messages().len(), 1, "{kind:?}");
        assert_eq!(server.local.aws_fakes().calls().len(), 3, "{kind:?}");
    }
}

/// The waits between attempts double up to a quarter of an hour, and each wait is at least half of
/// its maximum, so that a failing provider is not overloaded.
#[tokio::test]
async fn threepid_17_attempts_become_rarer_while_a_provider_fails() {
    let server = test_server(&[]).await;
    fail_always(&server, "SendEmail", FaultKind::Throttle);
    request_message(&server, &mail_to("a@example.org", "secret", 1))
        .await
        .ok();
    server.deliver().await;
    run_schedules(&server, 60, MINUTE).await;
    let tries = server.local.aws_fakes().calls().len();
    assert!((8..=12).contains(&tries), "{tries} in an hour");
}

#[tokio::test]
async fn threepid_17_a_message_expires_after_a_day_and_is_never_sent() {
    let (log, _guard) = Log::capture();
    let server = test_server(&[]).await;
    for (operation, body) in [
        ("SendEmail", mail_to("given.up@example.org", "secret", 1)),
        ("Publish", text_to("447400123456", "secret", 1)),
    ] {
        fail_always(&server, operation, FaultKind::Throttle);
        request_message(&server, &body).await.ok();
    }
    server.deliver().await;
    run_schedules(&server, 47, Duration::from_mins(30)).await;
    assert_eq!(
        statuses(&server),
        expected_statuses(&[("queued", 2)]),
        "after 23.5 h"
    );
    run_schedules(&server, 3, Duration::from_mins(30)).await;
    assert_eq!(
        statuses(&server),
        expected_statuses(&[("dead", 2)]),
        "after 25 h"
    );
    server.local.aws_fakes().clear_faults();
    run_schedules(&server, 8, Duration::from_hours(1)).await;
    assert!(server.messages().is_empty());
    let log = log.text();
    let lines = log.lines().filter(|line| line.contains("given up"));
    let lines: Vec<_> = lines.filter(|line| line.contains("ERROR")).collect();
    assert_eq!(lines.len(), 2, "lines for the alarm: {lines:?}");
    for marker in ["given.up", "447400123456"] {
        // The SDK logs its calls at levels that are never enabled.
        let own = log.lines().filter(|line| !line.contains("TRACE "));
        let lines: Vec<_> = own.filter(|line| line.contains(marker)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[tokio::test]
async fn threepid_17_a_message_that_is_rejected_is_not_retried() {
    for (operation, body) in [
        ("SendEmail", mail_to("a@example.org", "secret", 1)),
        ("Publish", text_to("447400123456", "secret", 1)),
    ] {
        let server = test_server(&[]).await;
        let fault = Fault::new(FaultKind::Rejected).on(operation);
        server.local.aws_fakes().inject(fault);
        request_message(&server, &body).await.ok();
        server.deliver().await;
        assert_eq!(
            statuses(&server),
            expected_statuses(&[("failed", 1)]),
            "{operation}"
        );
        run_schedules(&server, 2, LONGEST_WAIT * MINUTE).await;
        assert_eq!(server.local.aws_fakes().calls().len(), 1, "{operation}");
        assert!(server.messages().is_empty(), "{operation}");
        // The client may request another message.
        let mut again = body;
        again["send_attempt"] = json!(2);
        request_message(&server, &again).await.ok();
        server.deliver().await;
        assert_eq!(server.messages().len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn threepid_17_an_invalid_row_delays_no_other() {
    let server = test_server(&[]).await;
    let due = json!({ "N": test_support::NOW.to_string() });
    let message = |id: &str, content: &str| {
        json!({
            "pk": { "S": id }, "status": { "S": "queued" }, "attempts": { "N": "0" },
            "created": due, "due": { "S": "due" }, "due_at": due, "content": { "S": content },
            "sid": { "S": "no such session" }, "generation": { "S": "none" }, "send": { "N": "1" },
        })
    };
    let unheard_of = message("1", "of another version");
    let (mut unreadable, mut uncounted) = (message("2", "validation"), message("3", "validation"));
    unreadable["created"] = json!({ "S": "long ago" });
    uncounted.as_object_mut().unwrap().remove("attempts");
    for bad in [&unheard_of, &unreadable, &uncounted] {
        put(&server, "outbox", bad);
    }
    let sid = session(&server, &mail_to("corrupt@example.org", "secret", 1)).await;
    let mut proof = row(&server, "Proofs", &sid);
    proof["state"] = json!({ "S": "nonsense" });
    put(&server, "proofs", &proof);
    for number in 0..3 {
        let body = mail_to(&format!("good{number}@example.org"), "secret", 1);
        request_message(&server, &body).await.ok();
    }
    assert_eq!(server.deliver().await, 7);
    assert_eq!(server.messages().len(), 3);
    let body = mail_to("later@example.org", "secret", 1);
    request_message(&server, &body).await.ok();
    server.local.drop_stream_records().await.unwrap();
    run_schedules(&server, 5, MINUTE).await;
    let arrived = arrived(&server);
    let addresses: Vec<_> = arrived.iter().map(|(to, times)| (&**to, *times)).collect();
    let expected = ["good0", "good1", "good2", "later"].map(|name| format!("{name}@example.org"));
    let expected: Vec<_> = expected.iter().map(|to| (&**to, 1)).collect();
    assert_eq!(addresses, expected);
}

#[tokio::test]
async fn threepid_17_a_medium_that_was_disabled_sends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let everything = [MAIL, SMS, FLOWS];
    let server = TestServer::in_directory(&everything, directory.path()).await;
    for body in [
        mail_to("a@example.org", "secret", 1),
        text_to("447400123456", "secret", 1),
    ] {
        request_message(&server, &body).await.ok();
    }
    drop(server);
    let nothing = [FLOWS, (MAIL.0, ""), (SMS.0, "")];
    let server = TestServer::in_directory(&nothing, directory.path()).await;
    assert_eq!(statuses(&server), expected_statuses(&[("queued", 2)]));
    run_schedules(&server, 1, MINUTE).await;
    assert_eq!(statuses(&server), expected_statuses(&[("failed", 2)]));
    assert!(server.local.aws_fakes().calls().is_empty());
    drop(server);
    // The message is not sent later either, when the medium is enabled again.
    let server = TestServer::in_directory(&everything, directory.path()).await;
    run_schedules(&server, 2, LONGEST_WAIT * MINUTE).await;
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn threepid_17_a_few_runs_send_hundreds_without_stream_events() {
    let server = test_server(&[]).await;
    for number in 0..250 {
        let body = mail_to(&format!("user{number}@example.org"), "secret", 1);
        request_message(&server, &body).await.ok();
    }
    assert_eq!(server.local.drop_stream_records().await.unwrap(), 250);
    let mut needed = 0;
    while server.messages().len() < 250 {
        run_schedules(&server, 1, MINUTE).await;
        needed += 1;
        assert!(needed <= 3, "{} after {needed}", server.messages().len());
    }
    assert_eq!(arrived(&server).len(), 250, "each once");
    assert_eq!(statuses(&server), expected_statuses(&[("sent", 250)]));
}
