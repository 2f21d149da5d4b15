//! `m.login.registration_token`: the validity of a token, and the requests that spend a use.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::time::Duration;

use serde_json::json;
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, TWO_STAGES, admin_run, assert_users, flows, new_token,
    registration, stage, token_stage, users, uses_left, with,
};

const ONE_STAGE: (&str, &str) = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.registration_token");

async fn is_valid(server: &TestServer, token: &str) -> bool {
    let path =
        format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={token}");
    server.get(&path).await.ok()["valid"].as_bool().unwrap()
}

/// UIA-60, incident 21 (use-limited tokens always or never valid): the test registers N + 1 accounts with
/// tokens of N uses. A token with no uses cannot be created.
#[tokio::test]
async fn uia_60_a_token_makes_as_many_accounts_as_it_has_uses() {
    for uses in [1, 2, 17, 33] {
        let server = TestServer::with(&[ONE_STAGE]).await;
        let token = new_token(&server, &["--uses", &uses.to_string()]).await;
        for number in 0..uses {
            assert!(is_valid(&server, &token).await);
            let body = with(
                registration(&format!("user{number}")),
                &token_stage(&token, None),
            );
            server.register(&body).await.ok();
            assert_eq!(uses_left(&server).iter().sum::<i64>(), uses - number - 1);
        }
        assert!(!is_valid(&server, &token).await);
        let body = with(registration("late"), &token_stage(&token, None));
        let refused = server.register(&body).await.refused("M_UNAUTHORIZED");
        assert_eq!(refused["completed"], json!([]));
        assert_eq!(users(&server).len(), usize::try_from(uses).unwrap());
    }
    let server = TestServer::with(&[ONE_STAGE]).await;
    for uses in ["0", "-1"] {
        let create = ["registration-tokens", "create", "--uses", uses];
        assert!(server.admin_run(&create).await.is_err());
    }
}

#[tokio::test]
async fn uia_60_a_token_without_a_limit_is_never_spent() {
    let server = TestServer::with(&[ONE_STAGE]).await;
    let token = new_token(&server, &[]).await;
    for number in 0..20 {
        let body = with(
            registration(&format!("user{number}")),
            &token_stage(&token, None),
        );
        server.register(&body).await.ok();
    }
    assert!(is_valid(&server, &token).await);
}

/// UIA-60, incident 21: a token is invalid from the millisecond of its expiry on, with remaining uses or
/// without a limit of uses.
#[tokio::test]
async fn uia_60_a_token_expires_to_the_millisecond() {
    for limits in [
        &["--expires-in", "1h"][..],
        &["--expires-in", "1h", "--uses", "5"],
    ] {
        for prefix in PREFIXES {
            let server = TestServer::with(&[ONE_STAGE]).await;
            let token = new_token(&server, limits).await;
            let path = format!("{prefix}/register");
            server.advance(Duration::from_millis(3_599_999));
            assert!(is_valid(&server, &token).await);
            let body = with(registration("alice"), &token_stage(&token, None));
            server.post(&path, &body).await.ok();
            server.advance(Duration::from_millis(1));
            assert!(!is_valid(&server, &token).await);
            let body = with(registration("bob"), &token_stage(&token, None));
            server.post(&path, &body).await.refused("M_UNAUTHORIZED");
            assert_users(&server, &["alice"]);
        }
    }
}

#[tokio::test]
async fn uia_60_an_invalid_token_is_rejected_like_a_wrong_one() {
    let server = TestServer::with(&[ONE_STAGE]).await;
    let token = new_token(&server, &["--token", "Abcdefgh.123_~-"]).await;
    let other_case = token.to_lowercase();
    let longer = format!("{token}A");
    let junk = [
        "",
        " ",
        "wrong-token",
        &"a".repeat(64),
        &"a".repeat(65),
        &"a".repeat(5000),
        "töken",
        "a b",
        "a\u{0}",
        "<svg>",
        &other_case,
        &longer,
        &token[1..],
        "A",
    ]
    .map(str::to_owned);
    let (wrong, session) = (
        server.register(&token_stage("wrong-token", None)).await,
        "session",
    );
    let mut wrong = wrong.refused("M_UNAUTHORIZED");
    wrong[session] = json!("");
    for guess in junk {
        let mut refused = server
            .register(&token_stage(&guess, None))
            .await
            .refused("M_UNAUTHORIZED");
        refused[session] = json!("");
        assert_eq!(refused, wrong, "{guess:?}");
    }
    server
        .register(&with(registration("alice"), &token_stage(&token, None)))
        .await
        .ok();
}

/// UIA-60, L11 (abandoned sign-ups spend uses of tokens)
#[tokio::test]
async fn l11_an_abandoned_sign_up_spends_no_use() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    for _ in 0..5 {
        let (_, session) = server.begin(&registration("alice")).await;
        let done = server
            .register(&token_stage(&token, Some(&session)))
            .await
            .challenge();
        assert_eq!(done["completed"], json!([TOKEN]));
    }
    assert_eq!(uses_left(&server), [1]);
    server.advance(Duration::from_hours(49));
    assert!(is_valid(&server, &token).await);
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_eq!(uses_left(&server), [0]);
}

/// UIA-60: a failure of the operation itself spends no use either.
#[tokio::test]
async fn uia_60_a_sign_up_that_fails_spends_no_use() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &["--uses", "2"]).await;
    let (_, first) = server.begin(&registration("alice")).await;
    let (_, second) = server.begin(&registration("alice")).await;
    for session in [&first, &second] {
        server
            .register(&token_stage(&token, Some(session)))
            .await
            .challenge();
    }
    server.register(&stage(DUMMY, &first)).await.ok();
    server
        .register(&stage(DUMMY, &second))
        .await
        .error(400, "M_USER_IN_USE");
    assert_eq!(uses_left(&server), [1]);
    let (_, third) = server.begin(&json!({ "username": "carol" })).await;
    server
        .register(&token_stage(&token, Some(&third)))
        .await
        .challenge();
    server
        .register(&stage(DUMMY, &third))
        .await
        .error(400, "M_MISSING_PARAM");
    assert_eq!(uses_left(&server), [1]);
}

/// UIA-60, UIA-08: the token was valid when its stage was completed and is invalid at the final request.
#[tokio::test]
async fn uia_60_a_token_lost_before_the_end_reopens_its_stage() {
    for loss in ["expired", "spent", "revoked"] {
        let server = TestServer::with(&[TWO_STAGES]).await;
        let limits = ["--uses", "1", "--expires-in", "1h"];
        let token = new_token(&server, &limits).await;
        let (_, session) = server.begin(&registration("alice")).await;
        server
            .register(&token_stage(&token, Some(&session)))
            .await
            .challenge();
        match loss {
            "expired" => server.advance(Duration::from_hours(1)),
            "spent" => {
                let (_, other) = server.begin(&registration("other")).await;
                server
                    .register(&token_stage(&token, Some(&other)))
                    .await
                    .challenge();
                server.register(&stage(DUMMY, &other)).await.ok();
            }
            _ => {
                let list = admin_run(&server, &["registration-tokens", "list"]).await;
                let id = list[0]["id"].as_str().unwrap().to_owned();
                admin_run(&server, &["registration-tokens", "revoke", &id]).await;
            }
        }
        let refused = server
            .register(&stage(DUMMY, &session))
            .await
            .refused("M_UNAUTHORIZED");
        assert_eq!(refused["session"], session.as_str(), "{loss}");
        assert_eq!(
            refused["completed"],
            json!([DUMMY]),
            "{loss}: only this stage must be completed again"
        );
        assert!(!users(&server).contains_key("alice"), "{loss}");
        let another = new_token(&server, &["--uses", "1"]).await;
        let answer = server
            .register(&token_stage(&another, Some(&session)))
            .await
            .ok();
        assert_eq!(answer["user_id"], "@alice:localhost", "{loss}");
    }
}

/// UIA-60: only the stages of the first satisfied flow have effects.
#[tokio::test]
async fn uia_60_a_token_of_another_flow_is_not_spent() {
    let offered = flows("m.login.terms+m.login.dummy m.login.registration_token+m.login.dummy");
    let server = TestServer::with(&[offered, POLICIES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    server.register(&stage(TERMS, &session)).await.challenge();
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_eq!(uses_left(&server), [1]);
}
