//! Logins, refreshes and logouts: passwords and tokens.

use serde_json::{Value, json};
use test_support::{Log, PASSWORD};

use crate::{
    api::support::{WHOAMI, post_as},
    flows::{
        leaks::LeakDetector,
        support::{
            account_helpers::{ADDRESSES, LOGIN, login_of, sign_up_with},
            threepid_helpers::{ALICE, EMAIL},
        },
    },
};

const WRONG: &str = "marker of a wrong passwörd & 5 kites";

/// TOK-18, incident 22 (logs): neither right nor wrong passwords nor the tokens of any pair are in a
/// table or a log line.
#[tokio::test]
async fn tok_18_no_password_and_no_token_of_a_login_leaks() {
    let (log, _guard) = Log::capture();
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]];
    let mut detector = LeakDetector::start(&settings.concat(), &log).await;
    detector.ignores_sdk_trace = true;
    detector
        .secrets
        .extend([WRONG, PASSWORD].map(str::to_owned));
    detector.only_stored.push(ALICE.to_owned());
    sign_up_with(&detector.server, "alice", EMAIL, ALICE).await;
    let by_address = |password: &str| {
        json!({
            "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": ALICE },
        })
    };
    let mut pair = Value::Null;
    for body in [
        login_of("alice", WRONG),
        login_of("nobody", PASSWORD),
        by_address(WRONG),
        by_address(PASSWORD),
        login_of("alice", PASSWORD),
    ] {
        let reply = detector.server.post(LOGIN, &body).await;
        pair = detector.check(&reply);
    }
    for _ in 0..2 {
        let body = json!({ "refresh_token": pair["refresh_token"] });
        for _ in 0..2 {
            let path = "/_matrix/client/v3/refresh";
            let reply = detector.server.post(path, &body).await;
            detector.check(&reply);
            pair = reply.ok();
        }
        let token = pair["access_token"].as_str().unwrap_or_default();
        detector.server.get_as(token, WHOAMI).await.ok();
        let reply = detector.server.get_as(&format!("{token}x"), WHOAMI).await;
        detector.check(&reply);
    }
    let token = pair["access_token"].as_str().unwrap_or_default();
    for path in ["logout/all", "logout"] {
        let path = format!("/_matrix/client/v3/{path}");
        let reply = post_as(&detector.server, token, &path, &json!({})).await;
        detector.check(&reply);
    }
    detector.server.deliver().await;
    detector.search();
}
