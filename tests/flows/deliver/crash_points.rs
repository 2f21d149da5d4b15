//! The number of messages that arrive if the process ends before or after a call of a delivery, or if
//! one of the calls fails.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use gatehouse_local::{
    aws_fakes::outbox::Message,
    dynamodb::proxy::{Call, Fault, FaultKind},
};
use serde_json::Value;
use test_support::TestServer;

use crate::flows::{
    deliver::failures::MINUTE,
    support::mail_helpers::{
        LIMITED, create_owner, mail_to, request_message, run_schedules, test_server, text_to,
    },
};

const ADDRESS: &str = "a@example.org";
const NUMBER: &str = "447400123456";

/// A call of a delivery, to `DynamoDB` or to the provider.
#[derive(Debug)]
struct Step {
    operation: String,
    is_provider: bool,
    /// The position of the call among the calls to the same service, from 1 on.
    nth: u64,
    /// The number of `DynamoDB` calls up to this call.
    tables: u64,
}

/// The medium of a message, and whether its address has an account.
#[derive(Debug, Clone, Copy)]
struct Case {
    is_mail: bool,
    is_known: bool,
}

impl Case {
    /// A server with one message in its outbox.
    async fn test_server(self) -> TestServer {
        let server = test_server(&[LIMITED]).await;
        if self.is_known {
            create_owner(&server, "owner", &self.body("the-owner")).await;
        }
        request_message(&server, &self.body("secret")).await.ok();
        server
    }

    fn body(self, secret: &str) -> Value {
        if self.is_mail {
            mail_to(ADDRESS, secret, 1)
        } else {
            text_to(NUMBER, secret, 1)
        }
    }

    /// The calls of a delivery without faults.
    async fn steps(self) -> Vec<Step> {
        let server = self.test_server().await;
        let (proxy, aws_fakes) = (server.local.proxy(), server.local.aws_fakes());
        proxy.take_calls();
        aws_fakes.take_calls();
        server.deliver().await;
        assert_eq!(server.messages().len(), 1);
        let mut calls: Vec<(Call, bool)> = Vec::new();
        calls.extend(proxy.take_calls().into_iter().map(|call| (call, false)));
        calls.extend(aws_fakes.take_calls().into_iter().map(|call| (call, true)));
        calls.sort_by_key(|(call, _)| call.at);
        let (mut tables, mut providers) = (0, 0);
        let step = |(call, is_provider): (Call, bool)| {
            *(if is_provider {
                &mut providers
            } else {
                &mut tables
            }) += 1;
            Step {
                operation: call.operation,
                is_provider,
                nth: if is_provider { providers } else { tables },
                tables,
            }
        };
        calls.into_iter().map(step).collect()
    }
}

/// Whether these messages differ only in the time when they were sent.
pub(super) fn same_content(messages: &[Message]) -> bool {
    let bare = |message: &Message| Message {
        id: String::new(),
        sent_at: 0,
        ..message.clone()
    };
    messages
        .windows(2)
        .all(|two| bare(&two[0]) == bare(&two[1]))
}

/// Starts a delivery and stops it when this call has been cut off or has lost its response. No later
/// call takes effect.
async fn deliver_until(server: &TestServer, step: &Step, kind: FaultKind) {
    let (proxy, aws_fakes) = (server.local.proxy(), server.local.aws_fakes());
    proxy.take_calls();
    aws_fakes.take_calls();
    let fault = Fault::new(kind).by("Deliver").nth(step.nth);
    if step.is_provider {
        aws_fakes.inject(fault);
    } else {
        proxy.inject(fault);
    }
    // Calls that are made before the task is stopped have no effect.
    let late = Fault::new(FaultKind::ConnectionReset)
        .by("Deliver")
        .nth(step.tables + 1);
    proxy.inject(late.times(u64::MAX));
    let met = || {
        let calls = if step.is_provider {
            aws_fakes.calls()
        } else {
            proxy.calls()
        };
        let count = calls.iter().filter(|call| call.caller == "Deliver").count();
        u64::try_from(count).unwrap() >= step.nth
    };
    let crash = async {
        while !met() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = crash => {}
        _ = server.deliver() => panic!("the delivery ended before the fault"),
    }
    proxy.clear_faults();
    aws_fakes.clear_faults();
}

/// Stops a delivery at each of its calls, before and after the call takes effect. Returns for each
/// case the number of messages that have arrived after an hour of scheduled runs.
async fn crash_at_every_call(case: Case) -> Vec<String> {
    let mut report = Vec::new();
    for step in case.steps().await {
        for (when, kind) in [
            ("before", FaultKind::ConnectionReset),
            ("after", FaultKind::LostAnswer),
        ] {
            let server = case.test_server().await;
            deliver_until(&server, &step, kind).await;
            run_schedules(&server, 6, 10 * MINUTE).await;
            let messages = server.messages();
            assert!(same_content(&messages), "{when} {step:?}: {messages:?}");
            report.push(format!("{} {when} {}", messages.len(), step.operation));
        }
    }
    report
}

/// Lets each call of a delivery fail once with each kind of fault. Returns the cases in which the
/// number of messages is not one.
async fn fault_at_every_step(case: Case) -> Vec<String> {
    let mut report = Vec::new();
    for step in case.steps().await {
        for kind in [
            FaultKind::Throttle,
            FaultKind::InternalError,
            FaultKind::ConnectionReset,
            FaultKind::LostAnswer,
        ] {
            let server = case.test_server().await;
            let fault = Fault::new(kind).by("Deliver").nth(step.nth);
            let (proxy, aws_fakes) = (server.local.proxy(), server.local.aws_fakes());
            if step.is_provider {
                aws_fakes.inject(fault);
            } else {
                proxy.inject(fault);
            }
            server.deliver().await;
            assert_eq!(proxy.pending_faults() + aws_fakes.pending_faults(), 0);
            run_schedules(&server, 6, 10 * MINUTE).await;
            let messages = server.messages();
            assert!(same_content(&messages), "{kind:?} {step:?}: {messages:?}");
            if messages.len() != 1 {
                report.push(format!("{} {kind:?} {}", messages.len(), step.operation));
            }
        }
    }
    report
}

/// The calls are lease, session, owner, two limits, message and status.
#[tokio::test]
async fn threepid_17_a_crash_loses_no_mail() {
    let case = Case {
        is_mail: true,
        is_known: false,
    };
    let expected = [
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before GetItem",
        "1 after GetItem",
        "1 before GetItem",
        "1 after GetItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before SendEmail",
        "2 after SendEmail",
        "2 before UpdateItem",
        "1 after UpdateItem",
    ];
    assert_eq!(crash_at_every_call(case).await, expected);
}

/// The calls are lease, session, owner, account, known network, suppression of the session, limit of messages to the
/// owner, daily limit, message and status. The quota that a crashed process consumed for the notification is not lost.
#[tokio::test]
async fn threepid_05_a_crash_loses_no_notification_of_the_owner() {
    let case = Case {
        is_mail: true,
        is_known: true,
    };
    let expected = [
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before GetItem",
        "1 after GetItem",
        "1 before GetItem",
        "1 after GetItem",
        "1 before BatchGetItem",
        "1 after BatchGetItem",
        "1 before GetItem",
        "1 after GetItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before UpdateItem",
        "1 after UpdateItem",
        "1 before SendEmail",
        "2 after SendEmail",
        "2 before UpdateItem",
        "1 after UpdateItem",
    ];
    assert_eq!(crash_at_every_call(case).await, expected);
}

/// After a crash that follows the lease, it is unknown whether the message was sent.
#[tokio::test]
async fn threepid_17_a_crash_never_repeats_a_text_message() {
    let case = Case {
        is_mail: false,
        is_known: false,
    };
    let expected = [
        "1 before UpdateItem",
        "0 after UpdateItem",
        "0 before GetItem",
        "0 after GetItem",
        "0 before GetItem",
        "0 after GetItem",
        "0 before UpdateItem",
        "0 after UpdateItem",
        "0 before UpdateItem",
        "0 after UpdateItem",
        "0 before UpdateItem",
        "0 after UpdateItem",
        "0 before UpdateItem",
        "0 after UpdateItem",
        "0 before Publish",
        "1 after Publish",
        "1 before UpdateItem",
        "1 after UpdateItem",
    ];
    assert_eq!(crash_at_every_call(case).await, expected);
}

#[tokio::test]
async fn threepid_05_a_crash_never_repeats_a_text_to_the_owner() {
    let case = Case {
        is_mail: false,
        is_known: true,
    };
    let report = crash_at_every_call(case).await;
    assert_eq!(report.len(), 26);
    assert!(
        report.iter().all(|line| !line.starts_with('2')),
        "{report:?}"
    );
    assert_eq!(report[0], "1 before UpdateItem");
    assert_eq!(
        report[23..],
        [
            "1 after Publish",
            "1 before UpdateItem",
            "1 after UpdateItem"
        ]
    );
}

#[tokio::test]
async fn threepid_17_one_fault_at_any_call_loses_no_mail() {
    for is_known in [false, true] {
        let case = Case {
            is_mail: true,
            is_known,
        };
        assert_eq!(fault_at_every_step(case).await, ["2 LostAnswer SendEmail"]);
    }
}

#[tokio::test]
async fn threepid_17_one_fault_at_any_call_repeats_no_text_message() {
    let case = Case {
        is_mail: false,
        is_known: false,
    };
    let unsure = ["0 InternalError Publish", "0 ConnectionReset Publish"];
    assert_eq!(fault_at_every_step(case).await, unsure);
}
