//! Security notifications: the recipients, the limits and the delivery guarantee. The notification
//! of each operation is tested with the operation.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::json;
use shared::{
    app::App,
    clock::{Clock, Timestamp},
    ids::Localpart,
    limits::Limit,
    outbox::{Content, NewMessage, Notice},
    security_notifications::notify,
    store::ValidationRow,
    threepid_validation::{ValidationPurpose, ValidationState},
    threepids::{Medium, ThreePid},
};
use test_support::{Log, TestServer};

use crate::flows::support::{
    another_process,
    mail_helpers::{
        LIMITED, create_owner, expected_statuses, mail_to, put, row, run_schedules, statuses,
        test_server, text_to,
    },
};

const MINUTE: Duration = Duration::from_mins(1);
const NOTICES: [Notice; 4] = [
    Notice::PasswordChanged,
    Notice::AddressAdded,
    Notice::AddressRemoved,
    Notice::Deactivated,
];

pub(crate) fn threepid(medium: Medium, address: &str) -> ThreePid {
    ThreePid {
        medium,
        address: address.to_owned(),
    }
}

fn mailbox(address: &str) -> ThreePid {
    threepid(Medium::Email, address)
}

fn alice() -> Localpart {
    Localpart::stored("alice").unwrap()
}

/// Writes messages into the outbox. The transaction that saves a validation session is used because it can
/// write a message with any content.
pub(crate) async fn enqueue(app: &App, messages: &[NewMessage]) {
    for message in messages {
        let row = ValidationRow {
            sid: message.id.clone(),
            version: 1,
            purpose: ValidationPurpose::Add,
            threepid: mailbox("nobody@example.org"),
            session_nonce: "none".to_owned(),
            state: ValidationState::Invalidated,
            send_attempt: 1,
            sends: 1,
            first_valid_send: 1,
            wrong_guesses: 0,
            started_at: Timestamp(0),
            expires: Timestamp(0),
            validated_at: None,
            next_link: None,
            suppressed: false,
            requested_at: None,
            network: None,
            is_known_network: false,
            country: None,
        };
        app.store
            .save_validation(&row, Some(message))
            .await
            .unwrap();
    }
}

/// Notifies these addresses of alice's account and returns the number of new rows.
async fn notify_alice(server: &TestServer, addresses: &[ThreePid], notice: Notice) -> usize {
    let app = another_process(server);
    let messages = notify(&app, &alice(), addresses, notice)
        .await
        .unwrap_or_default();
    enqueue(&app, &messages).await;
    messages.len()
}

fn receivers(server: &TestServer) -> Vec<String> {
    let mut receivers: Vec<_> = server.messages().into_iter().map(|m| m.to).collect();
    receivers.sort();
    receivers
}

#[tokio::test]
async fn every_mailbox_of_an_account_is_notified_once_and_no_phone() {
    let addresses = [
        mailbox("b@example.org"),
        threepid(Medium::Msisdn, "447400123456"),
        mailbox("a@example.org"),
        mailbox("b@example.org"),
    ];
    for notice in NOTICES {
        let server = test_server(&[LIMITED]).await;
        assert_eq!(notify_alice(&server, &addresses, notice).await, 2);
        assert_eq!(server.deliver().await, 2);
        run_schedules(&server, 3, MINUTE).await;
        assert_eq!(receivers(&server), ["a@example.org", "b@example.org"]);
        assert_eq!(statuses(&server), expected_statuses(&[("sent", 2)]));
        for message in server.messages() {
            assert_eq!(message.tags["kind"], notice.as_str());
            let message_text = format!("{message:?}");
            // The e-mail contains the time and the server, and neither a name nor a link.
            assert!(
                message_text.contains("15 January 2027 at 08:00 UTC"),
                "{message_text}"
            );
            assert!(message_text.contains("localhost"), "{message_text}");
            for word in ["alice", "://", "href"] {
                assert!(!message_text.contains(word), "{word} in {message_text}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_mailbox_or_a_sender_nothing_is_sent() {
    let server = test_server(&[LIMITED]).await;
    let phone = [threepid(Medium::Msisdn, "447400123456")];
    for addresses in [&[][..], &phone] {
        let (count, calls) = server
            .calls_of(notify_alice(&server, addresses, NOTICES[0]))
            .await;
        assert_eq!(count, 0);
        // The change counts nevertheless.
        assert!(!calls.is_empty());
    }
    let off = TestServer::with(&[("GATEHOUSE_MAIL_FROM", "")]).await;
    let addresses = [mailbox("a@example.org")];
    assert_eq!(notify_alice(&off, &addresses, NOTICES[0]).await, 0);
}

/// Repeating an operation and its reversal cannot fill a mailbox.
#[tokio::test]
async fn http_19_notifications_of_one_kind_are_limited() {
    let server = test_server(&[LIMITED]).await;
    let addresses = [mailbox("a@example.org"), mailbox("b@example.org")];
    let budget = Limit::Notice.quota();
    let mut message_text = Vec::new();
    for _ in 0..budget.burst + 3 {
        message_text.push(notify_alice(&server, &addresses, Notice::AddressAdded).await);
    }
    let burst = usize::try_from(budget.burst).unwrap();
    assert_eq!(message_text, [vec![2; burst], vec![0; 3]].concat());
    // Other kinds of notification are not affected.
    let other = notify_alice(&server, &addresses, Notice::PasswordChanged).await;
    assert_eq!(other, 2);
    // Other accounts are not affected either.
    let app = another_process(&server);
    let bob = Localpart::stored("bob").unwrap();
    let messages = notify(&app, &bob, &addresses, Notice::AddressAdded)
        .await
        .unwrap();
    assert_eq!(messages.len(), 2);
    server.advance(budget.interval);
    for expected in [2, 0] {
        let count = notify_alice(&server, &addresses, Notice::AddressAdded).await;
        assert_eq!(count, expected);
    }
}

/// An attacker who can make the limiter fail must not be able to suppress notifications.
#[tokio::test]
async fn an_owner_is_notified_even_if_the_limiter_fails() {
    let server = test_server(&[LIMITED]).await;
    let down = Fault::new(FaultKind::InternalError).at("Limits");
    server.local.proxy().inject(down.times(u64::MAX));
    let count = notify_alice(&server, &[mailbox("a@example.org")], NOTICES[0]).await;
    assert_eq!(count, 1);
    server.local.proxy().clear_faults();
    server.deliver().await;
    assert_eq!(receivers(&server), ["a@example.org"]);
}

/// The row contains the address, so neither the account nor its addresses are read again.
#[tokio::test]
async fn a_notification_is_sent_in_every_state_of_the_account() {
    for body in [
        mail_to("alice@example.org", "secret", 1),
        text_to("447400123456", "secret", 1),
    ] {
        let server = test_server(&[]).await;
        create_owner(&server, "alice", &body).await;
        let messages = notify_alice(&server, &[mailbox("alice@example.org")], NOTICES[3]).await;
        assert_eq!(messages, 1);
        let mut account = row(&server, "Accounts", "USER#alice");
        account["sk"] = json!({ "S": "A" });
        account["status"] = json!({ "S": "nonsense" });
        put(&server, "accounts", &account);
        let (_, calls) = server.calls_of(server.deliver()).await;
        assert_eq!(receivers(&server), ["alice@example.org"]);
        let tables: BTreeSet<_> = calls.iter().flat_map(|call| &call.tables).collect();
        assert_eq!(tables, BTreeSet::from([&"Outbox".to_owned()]));
    }
}

/// L16, 3PID-17: a notification has the same delivery guarantee as every e-mail.
#[tokio::test]
async fn a_failed_notification_is_retried_with_the_original_time() {
    for kind in [
        FaultKind::Throttle,
        FaultKind::InternalError,
        FaultKind::ConnectionReset,
    ] {
        let server = test_server(&[]).await;
        notify_alice(&server, &[mailbox("a@example.org")], NOTICES[0]).await;
        let down = Fault::new(kind).on("SendEmail").times(3);
        server.local.aws_fakes().inject(down);
        server.deliver().await;
        assert!(server.messages().is_empty(), "{kind:?}");
        run_schedules(&server, 10, MINUTE).await;
        let [message] = &server.messages()[..] else {
            panic!("one mail after {kind:?}");
        };
        let when = message.text.contains("on 15 January 2027 at 08:00 UTC");
        assert!(when, "{}", message.text);
    }
}

#[tokio::test]
async fn a_crash_loses_no_notification_and_changes_no_text() {
    // The calls are lease and status. There is no third call.
    for (last, expected) in [(1, 1), (2, 2), (3, 1)] {
        let server = test_server(&[]).await;
        notify_alice(&server, &[mailbox("a@example.org")], NOTICES[1]).await;
        let end = Fault::new(FaultKind::ConnectionReset)
            .by("Deliver")
            .nth(last);
        server.local.proxy().inject(end.times(u64::MAX));
        server.deliver().await;
        server.local.proxy().clear_faults();
        run_schedules(&server, 10, MINUTE).await;
        let messages = server.messages();
        assert_eq!(messages.len(), expected, "call {last}");
        assert!(messages.iter().all(|m| m.text == messages[0].text));
        assert_eq!(
            statuses(&server),
            expected_statuses(&[("sent", 1)]),
            "call {last}"
        );
    }
}

/// A notification of another version or an invalid notification becomes due again and delays no other
/// message.
#[tokio::test]
async fn an_invalid_notification_delays_no_other_and_is_not_logged() {
    let (log, _guard) = Log::capture();
    let server = test_server(&[]).await;
    let due = json!({ "N": server.local.clock().now().0.to_string() });
    let notice = |id: &str, notice: &str, medium: &str| {
        json!({
            "pk": { "S": id }, "status": { "S": "queued" }, "attempts": { "N": "0" },
            "created": due, "due": { "S": "due" }, "due_at": due, "content": { "S": "notice" },
            "notice": { "S": notice }, "medium": { "S": medium },
            "address": { "S": "marker.address@example.org" },
        })
    };
    for (id, kind, medium) in [
        ("1", "of another version", "email"),
        ("2", "password-changed", "pigeon"),
    ] {
        put(&server, "outbox", &notice(id, kind, medium));
    }
    notify_alice(
        &server,
        &[mailbox("marker.address@example.org")],
        NOTICES[2],
    )
    .await;
    server.deliver().await;
    run_schedules(&server, 5, MINUTE).await;
    assert_eq!(receivers(&server), ["marker.address@example.org"]);
    assert_eq!(
        statuses(&server),
        expected_statuses(&[("sending", 2), ("sent", 1)])
    );
    let log = log.text();
    // The fake SES logs the messages that it receives.
    let others = ["TRACE ", "gatehouse_local::aws_fakes"];
    let is_own = |line: &&str| !others.iter().any(|other| line.contains(other));
    let own = log.lines().filter(is_own);
    let lines: Vec<_> = own.filter(|line| line.contains("marker.address")).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn each_notification_has_a_row_of_its_own() {
    let server = test_server(&[]).await;
    let app = another_process(&server);
    let addresses: Vec<_> = (0..16)
        .map(|number| mailbox(&format!("user{number}@example.org")))
        .collect();
    let messages = notify(&app, &alice(), &addresses, NOTICES[0])
        .await
        .unwrap();
    let ids: BTreeSet<_> = messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 16);
    let content = |to: &ThreePid| Content::Notice {
        notice: NOTICES[0],
        to: to.clone(),
    };
    for address in &addresses {
        assert!(messages.iter().any(|m| m.content == content(address)));
    }
}
