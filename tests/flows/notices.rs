//! What is done to an account, its owner is told: whom, how often, and by which guarantee. What each
//! operation tells is in the operation's tests.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::json;
use shared::{
    app::App,
    clock::{Clock, Timestamp},
    ids::Localpart,
    limits::Limit,
    notices::notify,
    outbox::{Content, NewMessage, Notice},
    store::ValidationRow,
    threepid_validation::{ValidationPurpose, ValidationState},
    threepids::{Medium, ThreePid},
};
use test_support::{Log, TestServer};

use crate::flows::{
    mailbox::{LIMITED, mail_to, own, put, row, stand, statuses, test_server, text_to, ticks},
    support::another_process,
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

/// Writes messages into the outbox, in the one transaction there is at hand that does so.
pub(crate) async fn call_for(app: &App, messages: &[NewMessage]) {
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
        };
        app.store
            .save_validation(&row, Some(message))
            .await
            .unwrap();
    }
}

/// Tells alice's addresses, and says how many rows that made.
async fn tell(server: &TestServer, addresses: &[ThreePid], notice: Notice) -> usize {
    let app = another_process(server);
    let messages = notify(&app, &alice(), addresses, notice)
        .await
        .unwrap_or_default();
    call_for(&app, &messages).await;
    messages.len()
}

fn receivers(server: &TestServer) -> Vec<String> {
    let mut receivers: Vec<_> = server.messages().into_iter().map(|m| m.to).collect();
    receivers.sort();
    receivers
}

#[tokio::test]
async fn every_mailbox_of_an_account_is_told_once_and_no_phone() {
    let addresses = [
        mailbox("b@example.org"),
        threepid(Medium::Msisdn, "447400123456"),
        mailbox("a@example.org"),
        mailbox("b@example.org"),
    ];
    for notice in NOTICES {
        let server = test_server(&[LIMITED]).await;
        assert_eq!(tell(&server, &addresses, notice).await, 2);
        assert_eq!(server.deliver().await, 2);
        ticks(&server, 3, MINUTE).await;
        assert_eq!(receivers(&server), ["a@example.org", "b@example.org"]);
        assert_eq!(statuses(&server), stand(&[("sent", 2)]));
        for message in server.messages() {
            assert_eq!(message.tags["kind"], notice.as_str());
            let told = format!("{message:?}");
            // When, and where; not who, and nothing to follow.
            assert!(told.contains("15 January 2027 at 08:00 UTC"), "{told}");
            assert!(told.contains("localhost"), "{told}");
            for word in ["alice", "://", "href"] {
                assert!(!told.contains(word), "{word} in {told}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_told_to_nobody_or_where_no_mail_is_sent() {
    let server = test_server(&[LIMITED]).await;
    let phone = [threepid(Medium::Msisdn, "447400123456")];
    for addresses in [&[][..], &phone] {
        let (count, calls) = server.calls_of(tell(&server, addresses, NOTICES[0])).await;
        assert_eq!(count, 0);
        assert!(calls.is_empty(), "no budget is spent: {calls:?}");
    }
    let off = TestServer::with(&[("GATEHOUSE_MAIL_FROM", "")]).await;
    let addresses = [mailbox("a@example.org")];
    assert_eq!(tell(&off, &addresses, NOTICES[0]).await, 0);
}

/// Doing and undoing something is no way to fill a mailbox.
#[tokio::test]
async fn http_19_an_account_is_told_of_the_same_thing_so_often_and_no_oftener() {
    let server = test_server(&[LIMITED]).await;
    let addresses = [mailbox("a@example.org"), mailbox("b@example.org")];
    let budget = Limit::Notice.quota();
    let mut told = Vec::new();
    for _ in 0..budget.burst + 3 {
        told.push(tell(&server, &addresses, Notice::AddressAdded).await);
    }
    let burst = usize::try_from(budget.burst).unwrap();
    assert_eq!(told, [vec![2; burst], vec![0; 3]].concat());
    // What else is done to the account is not passed over for that.
    let other = tell(&server, &addresses, Notice::PasswordChanged).await;
    assert_eq!(other, 2);
    // Nor is what is done to others.
    let app = another_process(&server);
    let bob = Localpart::stored("bob").unwrap();
    let messages = notify(&app, &bob, &addresses, Notice::AddressAdded)
        .await
        .unwrap();
    assert_eq!(messages.len(), 2);
    server.advance(budget.interval);
    for expected in [2, 0] {
        let count = tell(&server, &addresses, Notice::AddressAdded).await;
        assert_eq!(count, expected);
    }
}

/// Whoever can make the limiter fail must not be able to keep an owner from being told.
#[tokio::test]
async fn an_owner_is_told_even_if_the_limiter_cannot_be_asked() {
    let server = test_server(&[LIMITED]).await;
    let down = Fault::new(FaultKind::InternalError).at("Limits");
    server.local.proxy().inject(down.times(u64::MAX));
    let count = tell(&server, &[mailbox("a@example.org")], NOTICES[0]).await;
    assert_eq!(count, 1);
    server.local.proxy().clear_faults();
    server.deliver().await;
    assert_eq!(receivers(&server), ["a@example.org"]);
}

/// The row knows the address: neither the account nor its addresses are looked at again.
#[tokio::test]
async fn a_notice_is_sent_whatever_has_become_of_the_account() {
    for body in [
        mail_to("alice@example.org", "secret", 1),
        text_to("447400123456", "secret", 1),
    ] {
        let server = test_server(&[]).await;
        own(&server, "alice", &body).await;
        let messages = tell(&server, &[mailbox("alice@example.org")], NOTICES[3]).await;
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

/// L16, 3PID-17: the guarantee of every mail.
#[tokio::test]
async fn a_notice_that_could_not_be_sent_is_tried_again_and_tells_when_it_happened() {
    for kind in [
        FaultKind::Throttle,
        FaultKind::InternalError,
        FaultKind::ConnectionReset,
    ] {
        let server = test_server(&[]).await;
        tell(&server, &[mailbox("a@example.org")], NOTICES[0]).await;
        let down = Fault::new(kind).on("SendEmail").times(3);
        server.local.aws_fakes().inject(down);
        server.deliver().await;
        assert!(server.messages().is_empty(), "{kind:?}");
        ticks(&server, 10, MINUTE).await;
        let [message] = &server.messages()[..] else {
            panic!("one mail after {kind:?}");
        };
        let when = message.text.contains("on 15 January 2027 at 08:00 UTC");
        assert!(when, "{}", message.text);
    }
}

#[tokio::test]
async fn wherever_its_delivery_ends_a_notice_arrives_and_reads_the_same() {
    // Lease and mark; the third is none.
    for (last, expected) in [(1, 1), (2, 2), (3, 1)] {
        let server = test_server(&[]).await;
        tell(&server, &[mailbox("a@example.org")], NOTICES[1]).await;
        let end = Fault::new(FaultKind::ConnectionReset)
            .by("Deliver")
            .nth(last);
        server.local.proxy().inject(end.times(u64::MAX));
        server.deliver().await;
        server.local.proxy().clear_faults();
        ticks(&server, 10, MINUTE).await;
        let messages = server.messages();
        assert_eq!(messages.len(), expected, "call {last}");
        assert!(messages.iter().all(|m| m.text == messages[0].text));
        assert_eq!(statuses(&server), stand(&[("sent", 1)]), "call {last}");
    }
}

/// A notice of another version, or a broken one, is due again and holds up no other.
#[tokio::test]
async fn a_bad_notice_holds_up_no_other_and_is_in_no_log() {
    let (log, _guard) = Log::capture();
    let server = test_server(&[]).await;
    let due = json!({ "N": server.local.clock().now().0.to_string() });
    let notice = |id: &str, notice: &str, medium: &str| {
        json!({
            "pk": { "S": id }, "status": { "S": "queued" }, "attempts": { "N": "0" },
            "created": due, "due": { "S": "due" }, "due_at": due, "content": { "S": "notice" },
            "notice": { "S": notice }, "medium": { "S": medium },
            "address": { "S": "canary.address@example.org" },
        })
    };
    for (id, kind, medium) in [
        ("1", "of another version", "email"),
        ("2", "password-changed", "pigeon"),
    ] {
        put(&server, "outbox", &notice(id, kind, medium));
    }
    tell(
        &server,
        &[mailbox("canary.address@example.org")],
        NOTICES[2],
    )
    .await;
    server.deliver().await;
    ticks(&server, 5, MINUTE).await;
    assert_eq!(receivers(&server), ["canary.address@example.org"]);
    assert_eq!(statuses(&server), stand(&[("sending", 2), ("sent", 1)]));
    let log = log.text();
    // The sink that stands in for SES says what it was given; SES would.
    let others = [" TRACE ", "gatehouse_local::aws_fakes"];
    let is_own = |line: &&str| !others.iter().any(|other| line.contains(other));
    let own = log.lines().filter(is_own);
    let lines: Vec<_> = own.filter(|line| line.contains("canary.address")).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn each_notice_is_a_row_of_its_own() {
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
