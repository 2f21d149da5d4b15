//! `POST /refresh`.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use super::support::{password_login, post_as, rows_of, set_status, text, whoami_as, with};

const REFRESH: &str = "/_matrix/client/v3/refresh";
const HOUR: (&str, &str) = ("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h");

/// Logs in with refresh tokens.
async fn log_in(server: &TestServer, name: &str) -> Value {
    let body = with(
        password_login(name, PASSWORD),
        &json!({ "refresh_token": true }),
    );
    server.post("/_matrix/client/v3/login", &body).await.ok()
}

async fn alice(settings: &[(&str, &str)]) -> (TestServer, Value) {
    let server = TestServer::with(settings).await;
    server.sign_up("alice").await;
    let alice = log_in(&server, "alice").await;
    (server, alice)
}

async fn refresh(server: &TestServer, pair: &Value) -> Reply {
    let body = json!({ "refresh_token": pair["refresh_token"] });
    server.post(REFRESH, &body).await
}

#[track_caller]
fn assert_unknown(reply: &Reply) {
    let body = reply.error(401, "M_UNKNOWN_TOKEN");
    assert!(body.get("soft_logout").is_none(), "TOK-06: {body}");
}

#[tokio::test]
async fn refr_01_a_refresh_token_gives_a_new_pair() {
    let (server, first) = alice(&[HOUR]).await;
    assert_eq!(first["expires_in_ms"], 3_600_000);
    let mut pair = first.clone();
    for prefix in PREFIXES.iter().cycle().take(5) {
        server.advance(Duration::from_secs(1));
        let body = json!({ "refresh_token": pair["refresh_token"], "user_id": "@bob:localhost" });
        let next = server.post(&format!("{prefix}/refresh"), &body).await.ok();
        let members: Vec<_> = next.as_object().unwrap().keys().collect();
        assert_eq!(members, ["access_token", "expires_in_ms", "refresh_token"]);
        assert_eq!(next["expires_in_ms"], 3_600_000);
        for member in ["access_token", "refresh_token"] {
            assert_ne!(next[member], pair[member]);
        }
        let me = whoami_as(&server, &next).await.ok();
        assert_eq!(me["device_id"], first["device_id"]);
        assert_unknown(&whoami_as(&server, &pair).await);
        pair = next;
    }
}

#[tokio::test]
async fn refr_01_tokens_without_expiry_have_no_expires_in_ms() {
    let (server, first) = alice(&[]).await;
    let next = refresh(&server, &first).await.ok();
    assert!(next.get("expires_in_ms").is_none(), "TOK-16: {next}");
    server.advance(Duration::from_hours(24 * 400));
    whoami_as(&server, &next).await.ok();
}

#[tokio::test]
async fn refr_02_an_invalid_refresh_token_is_unknown() {
    let (server, first) = alice(&[]).await;
    let plain = server.sign_up("bob").await;
    let good = text(&first, "refresh_token");
    let mut wrong = vec![
        String::new(),
        "junk".to_owned(),
        text(&first, "access_token").to_owned(),
        text(&plain, "access_token").to_owned(),
        format!("{good} "),
        good.to_uppercase(),
        good[..good.len() - 1].to_owned(),
    ];
    wrong.extend(["ghr_", "ghr_a.b.c_d"].map(str::to_owned));
    for token in wrong {
        let (reply, calls) = server
            .calls_of(server.post(REFRESH, &json!({ "refresh_token": token })))
            .await;
        assert_unknown(&reply);
        assert!(calls.is_empty(), "an invalid token caused a read: {token}");
    }
    whoami_as(&server, &first).await.ok();
    refresh(&server, &first).await.ok();
}

#[tokio::test]
async fn refr_03_the_old_pair_is_valid_until_a_new_token_is_used() {
    for first_use in ["access_token", "refresh_token"] {
        let (server, old) = alice(&[HOUR]).await;
        let new = refresh(&server, &old).await;
        for _ in 0..3 {
            server.advance(Duration::from_mins(1));
            whoami_as(&server, &old).await.ok();
            assert_eq!(refresh(&server, &old).await.body, new.body);
        }
        let new = new.ok();
        let last = if first_use == "access_token" {
            whoami_as(&server, &new).await.ok();
            new
        } else {
            refresh(&server, &new).await.ok()
        };
        for _ in 0..2 {
            assert_unknown(&refresh(&server, &old).await);
            assert_unknown(&whoami_as(&server, &old).await);
        }
        whoami_as(&server, &last).await.ok();
    }
}

/// A third pair invalidates the first pair. The second refresh token still returns the third pair, because that
/// response may have been lost.
#[tokio::test]
async fn refr_03_unused_refreshes_keep_two_pairs() {
    let (server, first) = alice(&[HOUR]).await;
    let second = refresh(&server, &first).await.ok();
    let third = refresh(&server, &second).await;
    assert_unknown(&refresh(&server, &first).await);
    assert_unknown(&whoami_as(&server, &first).await);
    assert_eq!(refresh(&server, &second).await.body, third.body);
    whoami_as(&server, &second).await.ok();
    let third = third.ok();
    whoami_as(&server, &third).await.ok();
    assert_unknown(&whoami_as(&server, &second).await);
    assert_unknown(&refresh(&server, &second).await);
}

#[tokio::test]
async fn refr_04_the_refresh_token_is_the_only_token_examined() {
    let (server, first) = alice(&[]).await;
    for body in [json!({}), json!({ "refresh_token": null })] {
        server
            .post(REFRESH, &body)
            .await
            .error(400, "M_MISSING_PARAM");
    }
    for body in ["[]", "\"x\"", "{\"refresh_token\":5}"] {
        server
            .post_text(REFRESH, body)
            .await
            .error(400, "M_BAD_JSON");
    }
    server
        .post_text(REFRESH, "{")
        .await
        .error(400, "M_NOT_JSON");
    let body = json!({ "refresh_token": first["refresh_token"] });
    post_as(&server, "junk", REFRESH, &body).await.ok();
}

#[tokio::test]
async fn refr_04_refreshing_is_limited() {
    let (server, first) = alice(&[("GATEHOUSE_LIMITS", "on")]).await;
    let mut refused = 0;
    for _ in 0..100 {
        let reply = refresh(&server, &first).await;
        refused += u32::from(reply.status == 429);
    }
    assert!((1..100).contains(&refused), "{refused}");
}

/// TOK-06, TOK-12.
#[tokio::test]
async fn tok_12_an_expired_access_token_is_a_soft_logout() {
    let (server, first) = alice(&[HOUR]).await;
    server.advance(Duration::from_hours(1));
    let body = whoami_as(&server, &first)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], true);
    let second = refresh(&server, &first).await.ok();
    server.advance(Duration::from_hours(1));
    // The pair expired before its first use, but the device stays logged in.
    let body = whoami_as(&server, &second)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(body["soft_logout"], true);
    let third = refresh(&server, &second).await.ok();
    whoami_as(&server, &third).await.ok();
    assert_unknown(&whoami_as(&server, &second).await);
}

/// TOK-13, PWD-11: logging out a device invalidates both of its pairs.
#[tokio::test]
async fn tok_13_pwd_11_no_refresh_token_outlives_its_device() {
    for path in ["logout", "logout/all"] {
        for used in [true, false] {
            let (server, old) = alice(&[]).await;
            let new = refresh(&server, &old).await.ok();
            let last_pair = if used { &new } else { &old };
            if used {
                whoami_as(&server, &new).await.ok();
            }
            let path = format!("/_matrix/client/v3/{path}");
            let token = text(last_pair, "access_token");
            post_as(&server, token, &path, &json!({})).await.ok();
            for pair in [&old, &new] {
                assert_unknown(&refresh(&server, pair).await);
                assert_unknown(&whoami_as(&server, pair).await);
            }
        }
    }
}

/// OUT-01: the logout also succeeds with a new token that was never used.
#[tokio::test]
async fn out_01_the_first_use_of_a_new_token_may_be_the_logout() {
    let (server, old) = alice(&[]).await;
    let new = refresh(&server, &old).await.ok();
    let token = text(&new, "access_token");
    post_as(&server, token, "/_matrix/client/v3/logout", &json!({}))
        .await
        .ok();
    for pair in [&old, &new] {
        assert_unknown(&refresh(&server, pair).await);
        assert_unknown(&whoami_as(&server, pair).await);
    }
    let device = format!("DEV#{}", text(&old, "device_id"));
    assert!(
        rows_of(&server, "alice")
            .iter()
            .all(|(sk, _)| *sk != device)
    );
}

/// TOK-09: a login with the ID of the device invalidates both pairs.
#[tokio::test]
async fn tok_09_a_login_ends_the_refresh_tokens_of_its_device() {
    let (server, old) = alice(&[]).await;
    let new = refresh(&server, &old).await.ok();
    let body = with(
        password_login("alice", PASSWORD),
        &json!({ "device_id": old["device_id"] }),
    );
    let login = server.post("/_matrix/client/v3/login", &body).await.ok();
    assert!(login.get("refresh_token").is_none(), "TOK-16: {login}");
    for pair in [&old, &new] {
        assert_unknown(&refresh(&server, pair).await);
        assert_unknown(&whoami_as(&server, pair).await);
    }
    whoami_as(&server, &login).await.ok();
}

#[tokio::test]
async fn tok_14_a_locked_account_cannot_refresh() {
    let (server, first) = alice(&[]).await;
    let pending = refresh(&server, &first).await;
    set_status(&server, "alice", "locked");
    for _ in 0..2 {
        let body = refresh(&server, &first).await.error(401, "M_USER_LOCKED");
        assert_eq!(body["soft_logout"], true);
        let body = whoami_as(&server, &pending.ok())
            .await
            .error(401, "M_USER_LOCKED");
        assert_eq!(body["soft_logout"], true);
    }
    let junk = json!({ "refresh_token": "ghr_YWxpY2U.RA.x_AAAAAA" });
    assert_unknown(&server.post(REFRESH, &junk).await);
    set_status(&server, "alice", "active");
    assert_eq!(refresh(&server, &first).await.body, pending.body);
    whoami_as(&server, &pending.ok()).await.ok();
}

#[tokio::test]
async fn tok_15_suspended_refreshes_and_deactivated_is_unknown() {
    let (server, first) = alice(&[]).await;
    set_status(&server, "alice", "suspended");
    let second = refresh(&server, &first).await.ok();
    whoami_as(&server, &second).await.ok();
    set_status(&server, "alice", "deactivated");
    assert_unknown(&refresh(&server, &second).await);
    assert_unknown(&whoami_as(&server, &second).await);
}

/// No row contains a token: neither the unused pair nor the stored response for repeated requests.
#[tokio::test]
async fn tok_18_no_row_contains_a_token() {
    let (server, first) = alice(&[]).await;
    let second = refresh(&server, &first).await.ok();
    let rows = server.dump();
    for pair in [&first, &second] {
        for member in ["access_token", "refresh_token"] {
            let token = text(pair, member);
            assert!(!rows.contains(token), "{member}");
            let random = token.rsplit(['.', '_']).nth(1).unwrap();
            assert!(!rows.contains(random), "{member}");
        }
    }
    assert!(rows.contains("next_answer"));
}
