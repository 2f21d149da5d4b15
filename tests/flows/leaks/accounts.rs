//! Changes of the password and the deactivation: the new password, the tokens and the session IDs are
//! in no table and no log after any request.

use serde_json::{Value, json};
use test_support::{Log, PASSWORD};

use crate::{
    api::support::post_as,
    flows::{
        leaks::LeakDetector,
        support::{
            account_helpers::{
                ADDRESSES, DEACTIVATE_PATH, PASSWORD_PATH, password_of, request_reset_token,
                sign_up_with, with_auth,
            },
            threepid_helpers::{ALICE, EMAIL},
        },
    },
};

const NEW: &str = "marker of a new passwörd & 9 boats";
const NEWER: &str = "marker of a newer passwörd & 3 boats";

/// PWD-18, incident 12 (a new password in clear in the session's row), incident 22 (logs)
#[tokio::test]
async fn pwd_18_a_new_password_is_nowhere_in_plain_text() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&ADDRESSES, &log).await;
    detector.ignores_sdk_trace = true;
    let more = [NEW, NEWER, PASSWORD].map(str::to_owned);
    detector.secrets.extend(more);
    detector.only_stored.push(ALICE.to_owned());
    let alice = sign_up_with(&detector.server, "alice", EMAIL, ALICE).await;
    detector.secrets.push(alice.token.clone());
    let post = async |detector: &mut LeakDetector, path: &str, body: &Value| {
        let reply = post_as(&detector.server, &alice.token, path, body).await;
        detector.check(&reply)
    };
    // A completed change and an abandoned change.
    let change = json!({ "new_password": NEW });
    let begun = post(&mut detector, PASSWORD_PATH, &change).await;
    let session = begun["session"].as_str();
    let wrong = with_auth(change.clone(), password_of("alice", "wrong", session));
    post(&mut detector, PASSWORD_PATH, &wrong).await;
    let last = with_auth(change.clone(), password_of("alice", PASSWORD, session));
    assert_eq!(post(&mut detector, PASSWORD_PATH, &last).await, json!({}));
    assert_eq!(post(&mut detector, PASSWORD_PATH, &last).await, json!({}));
    post(
        &mut detector,
        PASSWORD_PATH,
        &json!({ "new_password": NEWER }),
    )
    .await;
    // A reset.
    let validation =
        request_reset_token(&detector.server, EMAIL, ALICE, "marker.secret-0123456789").await;
    detector.secrets.push(validation.secret.clone());
    validation.validate(&detector.server).await;
    let begun = detector
        .server
        .post(PASSWORD_PATH, &json!({ "new_password": NEWER }))
        .await;
    let begun = detector.check(&begun);
    let last = validation.attempt(begun["session"].as_str());
    let reply = detector.server.post(PASSWORD_PATH, &last).await;
    assert_eq!(detector.check(&reply), json!({}));
    // The deactivation.
    let begun = detector.server.post(DEACTIVATE_PATH, &json!({})).await;
    let begun = detector.check(&begun);
    let auth = password_of("alice", NEWER, begun["session"].as_str());
    let reply = detector
        .server
        .post(DEACTIVATE_PATH, &with_auth(json!({}), auth))
        .await;
    assert_eq!(detector.check(&reply)["id_server_unbind_result"], "success");
    detector.server.deliver().await;
    detector.search();
}
