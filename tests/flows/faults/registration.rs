//! Faults during a registration in two stages.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use gatehouse_local::dynamodb::proxy::Fault;
use serde_json::{Value, json};

use crate::flows::{
    faults::{FAULT_KINDS, Run, assert_expected_failure, calls_by, fault_at_every_call},
    support::{
        DUMMY, TWO_STAGES, hash_counting::HashCountingServer, registration, stage, token_stage,
    },
};

/// The result of one registration.
struct SignUpOutcome {
    answer: Value,
    /// The number of final requests, and of password hashes.
    finals: usize,
    hashes: usize,
    failures: Vec<u16>,
}

/// Registers in two stages and repeats each request whose response has a status of 429 or 5xx.
async fn sign_up(server: &HashCountingServer, name: &str, token: &str) -> SignUpOutcome {
    let (mut finals, mut failures) = (0, Vec::new());
    server.move_network();
    let before = server.hashes();
    let mut session = String::new();
    for step in 0..3 {
        let body = match step {
            0 => registration(name),
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
            assert!(tries < 20, "no final response to step {step}");
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

/// Runs one sign-up with this fault, or without a fault. Asserts that the account and the uses of the
/// registration token are right afterwards.
async fn run(
    server: &HashCountingServer,
    token: &str,
    number: usize,
    fault: Option<&Fault>,
) -> Run {
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = fault {
        proxy.inject(fault.clone());
    }
    let name = format!("user{number}");
    let outcome = sign_up(server, &name, token).await;
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    let calls = calls_by("Register", proxy.take_calls());
    let user_id = format!("@{name}:localhost");
    assert_eq!(outcome.answer["user_id"], user_id, "{fault:?}");
    let (hashes, finals) = (outcome.hashes, outcome.finals);
    assert!(hashes <= finals, "{fault:?}: {hashes} hashes");
    if fault.is_none() {
        assert_eq!((finals, hashes), (1, 1), "exactly one hash");
        assert!(outcome.failures.is_empty());
    }
    for status in outcome.failures {
        assert_expected_failure(fault, status);
    }
    let access_token = outcome.answer["access_token"].as_str().unwrap();
    let me = server.whoami(access_token).await;
    assert_eq!(me["user_id"], outcome.answer["user_id"], "{fault:?}");
    server.assert_users(number);
    let left = 1000 - i64::try_from(number).unwrap();
    assert_eq!(server.uses_left(), left, "{fault:?}");
    Run { calls, injected }
}

async fn sign_ups_with_faults(settings: &[(&str, &str)], times: u64) {
    let server = HashCountingServer::start(settings);
    let token = server.new_token(&["--uses", "1000"]).await;
    // The first request of a process reads more than the others.
    server.register(&registration("early")).await;
    let run =
        async |number, fault: Option<Fault>| run(&server, &token, number, fault.as_ref()).await;
    let summary = fault_at_every_call("Register", &FAULT_KINDS, times, run).await;
    let calls = summary.calls.len();
    assert!(calls >= 6, "{:?}", summary.calls);
    assert!(summary.injected > calls * 4, "{} faults", summary.injected);
}

/// REG-14, UIA-15, UIA-60: the test injects one fault of each kind at each call.
#[tokio::test]
async fn a_sign_up_survives_any_one_fault_at_any_call() {
    sign_ups_with_faults(&[TWO_STAGES], 1).await;
}

/// Rate limits are enabled, so that faults occur at their calls too.
#[tokio::test]
async fn a_sign_up_with_limits_survives_any_one_fault_at_any_call() {
    sign_ups_with_faults(&[TWO_STAGES, ("GATEHOUSE_LIMITS", "on")], 1).await;
}

/// The faults last longer than the retries of the SDK and of the store.
#[tokio::test]
async fn a_sign_up_survives_a_fault_that_outlasts_every_retry() {
    sign_ups_with_faults(&[TWO_STAGES], 8).await;
}
