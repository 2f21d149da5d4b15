//! One fault at a time: at every call of a sign-up in two stages, of every kind, for a moment or
//! until patience ends. The client repeats what failed; in the end there is one account, whole.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::time::Duration;

use gatehouse_local::proxy::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::flows::support::{
    DUMMY, TWO_STAGES, hash_counting::HashCountingServer, stage, token_stage, wish,
};

pub(crate) const FAULT_KINDS: [FaultKind; 9] = [
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::ThrottledItem,
    FaultKind::Unprocessed,
    FaultKind::HalfUnprocessed,
    FaultKind::Delay(Duration::from_millis(30)),
    FaultKind::Cut,
    FaultKind::LostAnswer,
    FaultKind::InternalError,
];

/// The kinds that patience ends with.
pub(crate) const PERSISTENT: [FaultKind; 4] = [
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::Cut,
    FaultKind::LostAnswer,
];

/// Whether the fault, once the SDK's own four tries are used up, is the service's own: a 500. The
/// others are contention, which is a 429.
pub(crate) fn is_server_error(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Cut | FaultKind::LostAnswer | FaultKind::InternalError
    )
}

/// A fault at each of these calls of a function, of each of these kinds, so many times.
pub(crate) fn each_fault(
    function: &str,
    calls: &[String],
    kinds: &[FaultKind],
    times: u64,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, operation) in calls.iter().enumerate() {
        let same = calls[..=index].iter().filter(|own| *own == operation);
        let nth = u64::try_from(same.count()).unwrap();
        faults.extend(kinds.iter().map(|kind| {
            let fault = Fault::new(*kind).by(function).on(operation);
            fault.nth(nth).times(times)
        }));
    }
    faults
}

/// What one sign-up came to.
struct SignUpOutcome {
    answer: Value,
    /// Requests that could have been the last, and hashes.
    finals: usize,
    hashes: usize,
    failures: Vec<u16>,
}

/// A sign-up in two stages by a client that repeats what was answered with 429 or 5xx.
async fn sign_up(server: &HashCountingServer, name: &str, token: &str) -> SignUpOutcome {
    let (mut finals, mut failures) = (0, Vec::new());
    server.move_network();
    let before = server.hashes();
    let mut session = String::new();
    for step in 0..3 {
        let body = match step {
            0 => wish(name),
            1 => token_stage(token, Some(&session)),
            _ => stage(DUMMY, &session),
        };
        let mut tries = 0;
        let (status, reply) = loop {
            finals += usize::from(step == 2);
            let (status, reply) = server.register(&body).await;
            if status != 429 && status < 500 {
                break (status, reply);
            }
            failures.push(status);
            tries += 1;
            assert!(tries < 20, "no answer to step {step}");
        };
        if step == 2 {
            assert_eq!(status, 200, "{reply}");
            let hashes = server.hashes() - before;
            return SignUpOutcome {
                answer: reply,
                finals,
                hashes,
                failures,
            };
        }
        let completed = [json!([]), json!(["m.login.registration_token"])];
        assert_eq!(
            (status, &reply["completed"]),
            (401, &completed[step]),
            "{reply}"
        );
        assert!(reply.get("errcode").is_none(), "{reply}");
        reply["session"].as_str().unwrap().clone_into(&mut session);
    }
    unreachable!("the third step returns")
}

/// The calls of an undisturbed sign-up.
async fn calls(server: &HashCountingServer, token: &str) -> Vec<String> {
    server.local.proxy().take_calls();
    let outcome = sign_up(server, "undisturbed", token).await;
    assert_eq!((outcome.finals, outcome.hashes), (1, 1), "exactly one hash");
    let calls = server.local.proxy().take_calls();
    calls.into_iter().map(|call| call.operation).collect()
}

async fn fault_at_every_call(settings: &[(&str, &str)], times: u64) {
    let server = HashCountingServer::start(settings);
    let token = server.new_token(&["--uses", "1000"]).await;
    // The first request of a process reads more than the others.
    server.register(&wish("early")).await;
    let calls = calls(&server, &token).await;
    assert!(calls.len() >= 6, "{calls:?}");
    let (mut accounts, mut injected) = (1, 0);
    for position in 1..=calls.len() {
        for (number, kind) in FAULT_KINDS.into_iter().enumerate() {
            let name = format!("user{position}.{number}");
            let about = format!("{kind:?} at call {position} of {calls:?}");
            let proxy = server.local.proxy();
            let operation = &calls[position - 1];
            let same = calls[..position]
                .iter()
                .filter(|own| *own == operation)
                .count();
            let fault = Fault::new(kind).by("Register").on(operation);
            proxy.inject(fault.nth(u64::try_from(same).unwrap()).times(times));
            let outcome = sign_up(&server, &name, &token).await;
            injected += usize::from(proxy.pending_faults() == 0);
            proxy.clear_faults();
            accounts += 1;
            assert_eq!(
                outcome.answer["user_id"],
                format!("@{name}:localhost"),
                "{about}"
            );
            assert!(
                outcome.hashes <= outcome.finals,
                "{about}: {} hashes",
                outcome.hashes
            );
            for status in outcome.failures {
                let is_expected = if is_server_error(kind) {
                    [429, 500]
                } else {
                    [429, 429]
                };
                assert!(is_expected.contains(&status), "{about}: {status}");
            }
            let me = server
                .whoami(outcome.answer["access_token"].as_str().unwrap())
                .await;
            assert_eq!(me["user_id"], outcome.answer["user_id"], "{about}");
        }
        server.assert_users(accounts);
        let left = 1000 - i64::try_from(accounts).unwrap();
        assert_eq!(server.uses_left(), left, "call {position} of {calls:?}");
    }
    assert!(
        injected > calls.len() * 4,
        "the faults have been met: {injected}"
    );
}

/// REG-14, UIA-15, UIA-60: one fault of each kind at each call.
#[tokio::test]
async fn a_sign_up_survives_any_one_fault_at_any_call() {
    fault_at_every_call(&[TWO_STAGES], 1).await;
}

/// The same with rates limited, so that the limits' own calls suffer too.
#[tokio::test]
async fn a_sign_up_with_limits_survives_any_one_fault_at_any_call() {
    fault_at_every_call(&[TWO_STAGES, ("GATEHOUSE_LIMITS", "on")], 1).await;
}

/// The same until the SDK and the store have given up.
#[tokio::test]
async fn a_sign_up_survives_a_fault_that_outlasts_every_retry() {
    fault_at_every_call(&[TWO_STAGES], 8).await;
}
