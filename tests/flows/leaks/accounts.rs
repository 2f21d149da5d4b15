//! What nobody may find of a password that is to be set, at any moment, nor of tokens and sessions.

use serde_json::{Value, json};
use test_support::{Log, PASSWORD};

use crate::{
    api::support::post_as,
    flows::{
        leaks::registration::Watch,
        support::{
            account_helpers::{
                ADDRESSES, CHANGE, END, ask_reset, password_of, sign_up_with, with_auth,
            },
            threepid_helpers::{ALICE, EMAIL},
        },
    },
};

const NEW: &str = "canary of a new passwörd & 9 boats";
const NEWER: &str = "canary of a newer passwörd & 3 boats";

/// PWD-18, incident 12 (a new password in clear in the session's row), incident 22 (logs)
#[tokio::test]
async fn pwd_18_a_password_to_be_set_is_nowhere_in_clear() {
    let (log, _guard) = Log::capture();
    let mut watch = Watch::start(&ADDRESSES, &log).await;
    watch.ignores_wire = true;
    let more = [NEW, NEWER, PASSWORD].map(str::to_owned);
    watch.canaries.extend(more);
    watch.unlogged.push(ALICE.to_owned());
    let alice = sign_up_with(&watch.server, "alice", EMAIL, ALICE).await;
    watch.canaries.push(alice.token.clone());
    let post = async |watch: &mut Watch, path: &str, body: &Value| {
        let reply = post_as(&watch.server, &alice.token, path, body).await;
        watch.note(&reply)
    };
    // A change, right up to its end, and one that is given up.
    let wish = json!({ "new_password": NEW });
    let begun = post(&mut watch, CHANGE, &wish).await;
    let session = begun["session"].as_str();
    let wrong = with_auth(wish.clone(), password_of("alice", "wrong", session));
    post(&mut watch, CHANGE, &wrong).await;
    let last = with_auth(wish.clone(), password_of("alice", PASSWORD, session));
    assert_eq!(post(&mut watch, CHANGE, &last).await, json!({}));
    assert_eq!(post(&mut watch, CHANGE, &last).await, json!({}));
    post(&mut watch, CHANGE, &json!({ "new_password": NEWER })).await;
    // A reset.
    let asked = ask_reset(&watch.server, EMAIL, ALICE, "canary.secret-0123456789").await;
    watch.canaries.push(asked.secret.clone());
    asked.validate(&watch.server).await;
    let begun = watch
        .server
        .post(CHANGE, &json!({ "new_password": NEWER }))
        .await;
    let begun = watch.note(&begun);
    let last = asked.attempt(begun["session"].as_str());
    let reply = watch.server.post(CHANGE, &last).await;
    assert_eq!(watch.note(&reply), json!({}));
    // And the end.
    let begun = watch.server.post(END, &json!({})).await;
    let begun = watch.note(&begun);
    let auth = password_of("alice", NEWER, begun["session"].as_str());
    let reply = watch.server.post(END, &with_auth(json!({}), auth)).await;
    assert_eq!(watch.note(&reply)["id_server_unbind_result"], "success");
    watch.server.deliver().await;
    watch.search();
}
