//! A rate limit precedes each expensive step: a request beyond the limit causes no check of a password's strength and
//! no hash (UIA-26).

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    clock::{Clock, Timestamp},
    limits::{LIMITS as LIMITS_TABLE, Limit},
};
use test_support::{Log, PASSWORD, PREFIXES, TestServer};

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, OTHER_PASSWORD, PASSWORD_PATH, password_of, request_reset_token, sign_up,
        sign_up_with, with_auth,
    },
    page, registration, submit,
    threepid_helpers::{ALICE, EMAIL},
    with,
};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");
const MIN_SCORE: (&str, &str) = ("GATEHOUSE_PASSWORD_MIN_SCORE", "3");
const REGISTER: &str = "/_matrix/client/v3/register";

/// The sum of a member of all log lines.
fn sum(log: &Log, member: &str) -> f64 {
    let lines = log.request_lines();
    lines.iter().filter_map(|line| line[member].as_f64()).sum()
}

/// Sends the body 60 times. Returns the numbers of responses that are not 429, of strength checks and of hashes.
async fn flood(server: &TestServer, log: &Log, path: &str, body: &Value) -> (usize, f64, f64) {
    let before = (sum(log, "zxcvbn.scores"), sum(log, "argon2.hashes"));
    let mut accepted = 0;
    for _ in 0..60 {
        accepted += usize::from(server.post(path, body).await.status != 429);
    }
    let scores = sum(log, "zxcvbn.scores") - before.0;
    (accepted, scores, sum(log, "argon2.hashes") - before.1)
}

#[tokio::test]
async fn uia_26_a_request_beyond_a_limit_scores_no_password() {
    let unknown = |auth: Value| json!({ "auth": with(json!({ "session": "unknown" }), &auth) });
    let dummy = json!({ "type": "m.login.dummy" });
    let email = json!({ "type": "m.login.email.identity" });
    for (path, body) in [
        (REGISTER, registration("alice")),
        (REGISTER, with(registration("alice"), &unknown(json!({})))),
        (
            REGISTER,
            with(registration("alice"), &unknown(email.clone())),
        ),
        (REGISTER, with(registration("alice"), &unknown(dummy))),
        (PASSWORD_PATH, json!({ "new_password": PASSWORD })),
        (
            PASSWORD_PATH,
            with(json!({ "new_password": PASSWORD }), &unknown(json!({}))),
        ),
        (
            PASSWORD_PATH,
            with(json!({ "new_password": PASSWORD }), &unknown(email.clone())),
        ),
        (
            PASSWORD_PATH,
            with(
                json!({ "new_password": PASSWORD }),
                &json!({ "auth": email }),
            ),
        ),
    ] {
        let (log, _guard) = Log::capture();
        let server = TestServer::with(&[&ADDRESSES[..], &[LIMITS, MIN_SCORE]].concat()).await;
        let (accepted, scores, hashes) = flood(&server, &log, path, &body).await;
        let context = format!("{path} {body}: {accepted}, {scores}");
        // The limits `uia-session` and `password-hash` have a burst of 30 and of 20.
        assert!((20..=30).contains(&accepted), "{context}");
        assert!(scores <= 30.0, "{context}");
        assert!(hashes == 0.0, "{context}");
    }
}

/// A password that the session stores was checked before, so that a poll does not check it again.
#[tokio::test]
async fn uia_20_a_stored_password_is_not_scored_again() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[MIN_SCORE]).await;
    let alice = sign_up(&server, "alice").await;
    let change = json!({ "new_password": OTHER_PASSWORD });
    let (_, session) = alice.begin(&server, PASSWORD_PATH, &change).await;
    let before = sum(&log, "zxcvbn.scores");
    for body in [change, json!({})] {
        let body = with_auth(body, json!({ "session": session }));
        alice.post(&server, PASSWORD_PATH, &body).await.challenge();
    }
    assert!(sum(&log, "zxcvbn.scores") - before == 0.0);
    let weak = with_auth(
        json!({ "new_password": "password" }),
        json!({ "session": session }),
    );
    alice
        .post(&server, PASSWORD_PATH, &weak)
        .await
        .error(403, "M_FORBIDDEN");
}

/// A session whose password stage was completed on its page still pays for the hash of the new password.
#[tokio::test]
async fn uia_26_every_hash_of_a_new_password_is_charged() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[LIMITS]).await;
    let alice = sign_up(&server, "alice").await;
    let right = "password=ostrich+lamp+8+quarrel";
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let change = json!({ "new_password": OTHER_PASSWORD });
        let (_, session) = alice.begin(&server, PASSWORD_PATH, &change).await;
        let path = page(PREFIXES[1], "m.login.password", &session);
        let status = submit(&server, &path, right).await.status;
        // The burst is 20 hashes, and the sign-up has used one.
        assert_eq!(status == 429, sessions.len() == 19, "{status}");
        sessions.push(session);
    }
    let hashes = sum(&log, "argon2.hashes");
    let last = json!({ "auth": { "session": sessions[0] } });
    let reply = alice.post(&server, PASSWORD_PATH, &last).await;
    reply.error(429, "M_LIMIT_EXCEEDED");
    assert!(sum(&log, "argon2.hashes") - hashes == 0.0);
    server.advance(Duration::from_secs(30));
    alice.post(&server, PASSWORD_PATH, &last).await.ok();
}

/// A request without a session completes a flow, but its validation is outdated: the stage is open again, in a new
/// session. The session is charged once.
#[tokio::test]
async fn uia_26_a_session_of_a_reopened_stage_is_charged_once() {
    let server = TestServer::with(&[&ADDRESSES[..], &[LIMITS]].concat()).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let validation = request_reset_token(&server, EMAIL, ALICE, "reset").await;
    validation.validate(&server).await;
    server.advance(Duration::from_mins(10));
    let auth = password_of("alice", PASSWORD, None);
    let change = with_auth(json!({ "new_password": PASSWORD }), auth);
    alice.post(&server, PASSWORD_PATH, &change).await.ok();
    let mut body = validation.attempt(None);
    body["new_password"] = OTHER_PASSWORD.into();
    let reply = server.post(PASSWORD_PATH, &body).await;
    reply.refused("M_UNAUTHORIZED");
    let rows = server.local.dynamodb().table("Limits").unwrap();
    let name = LIMITS_TABLE[Limit::UiaSession as usize].name;
    let is_session = |row: &&Value| row["pk"]["S"].as_str().unwrap().starts_with(name);
    let charged: Vec<_> = rows.iter().filter(is_session).collect();
    let [bucket] = charged[..] else {
        panic!("{charged:?}");
    };
    let full_at: i64 = bucket["tat"]["N"].as_str().unwrap().parse().unwrap();
    let now = server.local.clock().now();
    let once = Timestamp(full_at).since(now);
    assert_eq!(once, Limit::UiaSession.quota().interval);
}

/// A request that verifies the old password and hashes the new one pays for two hashes.
#[tokio::test]
async fn uia_26_a_change_with_the_password_pays_for_two_hashes() {
    let (log, _guard) = Log::capture();
    let server = TestServer::with(&[LIMITS]).await;
    let alice = sign_up(&server, "alice").await;
    server.advance(Duration::from_mins(10));
    let before = sum(&log, "argon2.hashes");
    let auth = password_of("alice", PASSWORD, None);
    let change = with_auth(json!({ "new_password": PASSWORD }), auth);
    for _ in 0..10 {
        alice.post(&server, PASSWORD_PATH, &change).await.ok();
    }
    let hashes = sum(&log, "argon2.hashes") - before;
    assert!((hashes - 20.0).abs() < 0.5, "{hashes}");
    // No hash is left in the quota of the network.
    let body = registration("bob");
    let body = with(body, &json!({ "auth": { "type": "m.login.dummy" } }));
    server.register(&body).await.error(429, "M_LIMIT_EXCEEDED");
    server.advance(Duration::from_secs(30));
    server.register(&body).await.ok();
}
