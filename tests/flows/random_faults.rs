//! Races with random faults: faults of DynamoDB under load (conflicts, throttles, unprocessed keys) and
//! faults of networks and services (lost responses, reset connections, internal errors).
//!
//! Contention alone never causes a 5xx: a request that cannot be served gets a 429, and nothing is
//! written. A service that fails four times in a row causes a 500. The response to the repeated request
//! shows whether the operation has taken effect.

use std::{sync::Arc, time::Duration};

use gatehouse_local::dynamodb::proxy::FaultKind;
use serde_json::json;
use test_support::{Reply, TestServer};

use crate::flows::{
    races::send_until_answered,
    support::{
        DUMMY, TWO_STAGES, assert_complete, flows, new_token, register_at_once, registration,
        serial, stage, tally, token_stage, users, uses_left, whoami, with,
    },
};

const MANY: usize = 100;
const DELAY: FaultKind = FaultKind::Delay(Duration::from_millis(20));
pub(crate) const CONTENTION: &[FaultKind] = &[
    FaultKind::Conflict,
    FaultKind::Throttle,
    FaultKind::ThrottledItem,
    FaultKind::Unprocessed,
    FaultKind::HalfUnprocessed,
    DELAY,
];
pub(crate) const BREAKAGE: &[FaultKind] = &[
    FaultKind::LostAnswer,
    FaultKind::ConnectionReset,
    FaultKind::InternalError,
    DELAY,
];

/// The mixes of faults: their kinds, the number of faults in a thousand calls, and the worst status that
/// is expected.
const FAULT_MIXES: [(&[FaultKind], u16, u16); 2] = [(CONTENTION, 200, 429), (BREAKAGE, 60, 500)];

async fn test_server(settings: &[(&str, &str)], worst: u16) -> Arc<TestServer> {
    let server = TestServer::with(settings).await;
    if worst >= 500 {
        server.expect_faults();
    }
    Arc::new(server)
}

/// Asserts that every status is one of these or an expected failure, and returns the number of
/// 200s.
#[track_caller]
fn successes(replies: &[Reply], allowed: &[u16], worst: u16) -> usize {
    for reply in replies {
        let status = reply.status.as_u16();
        let excused = [429, worst].contains(&status);
        assert!(allowed.contains(&status) || excused, "{:?}", tally(replies));
    }
    replies.iter().filter(|reply| reply.status == 200).count()
}

/// REG-14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reg_14_one_name_is_given_once_despite_faults() {
    let _serial = serial().await;
    for (seed, (kinds, per_mille, worst)) in (1..).zip(FAULT_MIXES) {
        let server = test_server(&[], worst).await;
        let mut sessions = Vec::new();
        for _ in 0..MANY {
            sessions.push(server.begin(&registration("alice")).await.1);
        }
        server.local.proxy().random_faults(seed, per_mille, kinds);
        let replies =
            register_at_once(&server, MANY, |number| stage(DUMMY, &sessions[number])).await;
        assert!(successes(&replies, &[200, 400], worst) <= 1);
        server.local.proxy().clear_faults();
        assert_complete(&users(&server));
        assert!(users(&server).len() <= 1);
        let mut winners = Vec::new();
        for session in &sessions {
            let reply =
                send_until_answered(async || server.register(&stage(DUMMY, session)).await).await;
            match reply.status.as_u16() {
                200 => winners.push(reply.ok()),
                _ => drop(reply.error(400, "M_USER_IN_USE")),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(
            whoami(&server, &winners[0]).await["user_id"],
            "@alice:localhost"
        );
        let before = replies.iter().find(|reply| reply.status == 200);
        assert!(before.is_none_or(|reply| reply.json() == winners[0]));
        assert_complete(&users(&server));
        assert_eq!(users(&server).len(), 1);
    }
}

/// UIA-15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_one_session_makes_one_account_despite_faults() {
    let _serial = serial().await;
    let nameless = json!({ "password": test_support::PASSWORD });
    for (seed, (kinds, per_mille, worst)) in (1..).zip(FAULT_MIXES) {
        for parameters in [registration("alice"), nameless.clone()] {
            let server = test_server(&[], worst).await;
            let (_, session) = server.begin(&parameters).await;
            server.local.proxy().random_faults(seed, per_mille, kinds);
            let replies = register_at_once(&server, MANY, |_| stage(DUMMY, &session)).await;
            successes(&replies, &[200], worst);
            server.local.proxy().clear_faults();
            let answer =
                send_until_answered(async || server.register(&stage(DUMMY, &session)).await).await;
            answer.ok();
            for reply in replies.iter().filter(|reply| reply.status == 200) {
                assert_eq!(reply.body, answer.body);
            }
            assert_eq!(users(&server).len(), 1);
            assert_complete(&users(&server));
        }
    }
}

/// UIA-60, L5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l5_a_one_use_token_makes_one_account_despite_faults() {
    let _serial = serial().await;
    for (seed, (kinds, per_mille, worst)) in (1..).zip(FAULT_MIXES) {
        let server = test_server(&[TWO_STAGES], worst).await;
        let token = new_token(&server, &["--uses", "1"]).await;
        let mut sessions = Vec::new();
        for number in 0..MANY {
            let (_, session) = server.begin(&registration(&format!("user{number}"))).await;
            server
                .register(&token_stage(&token, Some(&session)))
                .await
                .challenge();
            sessions.push(session);
        }
        server.local.proxy().random_faults(seed, per_mille, kinds);
        let replies =
            register_at_once(&server, MANY, |number| stage(DUMMY, &sessions[number])).await;
        assert!(successes(&replies, &[200, 401], worst) <= 1);
        for reply in replies.iter().filter(|reply| reply.status == 401) {
            reply.refused("M_UNAUTHORIZED");
        }
        server.local.proxy().clear_faults();
        let spent = i64::try_from(users(&server).len()).unwrap();
        assert_eq!(uses_left(&server), [1 - spent]);
        let mut winners = 0;
        for session in &sessions {
            let reply =
                send_until_answered(async || server.register(&stage(DUMMY, session)).await).await;
            match reply.status.as_u16() {
                200 => winners += 1,
                // The stage of the token must be completed again; the other stage stays completed.
                _ => assert_eq!(reply.challenge()["completed"], json!([DUMMY])),
            }
        }
        assert_eq!(
            (winners, users(&server).len(), uses_left(&server)),
            (1, 1, vec![0])
        );
        assert_complete(&users(&server));
    }
}

/// UIA-60: the remaining uses and the accounts always add up to the initial number of uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_60_a_token_in_shares_adds_up_despite_faults() {
    let _serial = serial().await;
    for (seed, (kinds, per_mille, worst)) in (1..).zip(FAULT_MIXES) {
        for uses in [40, 1000] {
            let server = test_server(&[flows("m.login.registration_token")], worst).await;
            let token = new_token(&server, &["--uses", &uses.to_string()]).await;
            server.local.proxy().random_faults(seed, per_mille, kinds);
            let replies = register_at_once(&server, MANY / 2, |number| {
                with(
                    registration(&format!("user{number}")),
                    &token_stage(&token, None),
                )
            })
            .await;
            let successes = successes(&replies, &[200, 401], worst);
            let made = users(&server).len();
            assert_eq!(
                uses - made,
                usize::try_from(uses_left(&server).iter().sum::<i64>()).unwrap()
            );
            assert!(uses_left(&server).iter().all(|left| *left >= 0));
            assert_complete(&users(&server));
            // More accounts than responses are possible only if the response for an account was
            // lost.
            assert!(successes <= made, "{successes} responses, {made} accounts");
            if worst < 500 {
                assert_eq!(successes, made);
            }
        }
    }
}
