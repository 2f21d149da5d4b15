//! Faults during the exchange of a code, a refresh and a revocation. The client repeats the request.

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::Value;
use test_support::Reply;

use crate::flows::{
    faults::{FAULT_KINDS, PERSISTENT, Run, calls_by, fault_at_every_call},
    support::oauth_tokens::{Form, OAuthServer, REVOKE, TOKEN, assert_error, form, send},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Exchange,
    Refresh,
    Replay,
    Revoke,
}

impl Scenario {
    fn function(self) -> &'static str {
        match self {
            Self::Exchange | Self::Refresh | Self::Replay => "Oauth2Token",
            Self::Revoke => "Oauth2Revoke",
        }
    }
}

/// The request, and the newest tokens of its session.
async fn prepare(oauth: &OAuthServer, scenario: Scenario) -> (&'static str, Form, Value) {
    if scenario == Scenario::Exchange {
        return (TOKEN, oauth.code().await, Value::Null);
    }
    let first = oauth.log_in().await;
    if scenario == Scenario::Refresh {
        return (TOKEN, oauth.refresh_of(&first), first);
    }
    let second = oauth.refresh(&first).await.ok();
    oauth.whoami(&second).await.ok();
    oauth.server.advance(Duration::from_mins(1));
    if scenario == Scenario::Replay {
        return (TOKEN, oauth.refresh_of(&first), second);
    }
    let token = second["refresh_token"].as_str().unwrap();
    let form = form(&[("token", token), ("client_id", &oauth.client)]);
    (REVOKE, form, second)
}

/// OA-97: the token endpoint responds to a fault only with 503 and without a body.
#[track_caller]
fn assert_unavailable(scenario: Scenario, reply: &Reply) {
    if scenario == Scenario::Revoke {
        assert!(
            [429, 500, 503].contains(&reply.status.as_u16()),
            "{}",
            reply.text()
        );
    } else {
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(reply.body.is_empty() && reply.headers.contains_key("retry-after"));
    }
}

async fn run(oauth: &OAuthServer, scenario: Scenario, fault: Option<Fault>) -> Run {
    let (path, form, newest) = prepare(oauth, scenario).await;
    let proxy = oauth.server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut reply = send(&oauth.server, path, &form).await;
    let calls = calls_by(scenario.function(), proxy.take_calls());
    let mut tries = 0;
    while reply.status != 200 && reply.status != 400 {
        assert!(fault.is_some(), "{scenario:?}");
        assert_unavailable(scenario, &reply);
        tries += 1;
        assert!(tries < 6, "{scenario:?}: {fault:?}");
        reply = send(&oauth.server, path, &form).await;
    }
    let injected = proxy.pending_faults() == 0;
    proxy.clear_faults();
    match scenario {
        // The transaction took effect, but its response was lost more often than the SDK repeats a call. The repeated
        // request then is a second use of the code (OA-78).
        Scenario::Exchange if reply.status == 400 => {
            assert_error(&reply, 400, "invalid_grant");
            let is_lost = |fault: &Fault| matches!(fault.kind, FaultKind::LostAnswer);
            assert!(
                tries > 0 && fault.as_ref().is_some_and(is_lost),
                "{fault:?}"
            );
        }
        Scenario::Exchange => {
            oauth.whoami(&reply.ok()).await.ok();
        }
        Scenario::Refresh => {
            let pair = reply.ok();
            assert_eq!(oauth.refresh(&newest).await.ok(), pair, "OA-90: {fault:?}");
            oauth.whoami(&pair).await.ok();
        }
        Scenario::Replay | Scenario::Revoke => {
            let expected = if scenario == Scenario::Revoke {
                200
            } else {
                400
            };
            assert_eq!(reply.status, expected, "{}", reply.text());
            let ended = oauth.whoami(&newest).await;
            ended.error(401, "M_UNKNOWN_TOKEN");
        }
    }
    Run { calls, injected }
}

async fn run_with_faults(scenario: Scenario, kinds: &[FaultKind], times: u64) {
    let oauth = OAuthServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    oauth.server.expect_faults();
    let run = async |_, fault| {
        oauth.server.advance(Duration::from_hours(1));
        run(&oauth, scenario, fault).await
    };
    let summary = fault_at_every_call(scenario.function(), kinds, times, run).await;
    let (calls, injected) = (&summary.calls, summary.injected);
    assert!(
        injected >= calls.len(),
        "{scenario:?}: {injected} in {calls:?}"
    );
}

/// OA-77
#[tokio::test]
async fn oa_77_an_exchange_survives_any_fault() {
    run_with_faults(Scenario::Exchange, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Exchange, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_90_a_refresh_survives_any_fault() {
    run_with_faults(Scenario::Refresh, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Refresh, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_92_a_replay_ends_the_session_after_any_fault() {
    run_with_faults(Scenario::Replay, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Replay, &PERSISTENT, 8).await;
}

#[tokio::test]
async fn oa_105_a_revocation_survives_any_fault() {
    run_with_faults(Scenario::Revoke, &FAULT_KINDS, 1).await;
    run_with_faults(Scenario::Revoke, &PERSISTENT, 8).await;
}
