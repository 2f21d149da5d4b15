//! Operations on the addresses of an account: the password and the client secret are in no table
//! and no log. The address and the session ID are in no log, not even in the log of a failure.

use serde_json::json;
use test_support::{Log, PASSWORD};

use crate::{
    api::{
        account_threepids::{ADD, LIST, add, remove, user_token, with_password},
        support::post_as,
    },
    flows::{
        account_threepids::request_add_token,
        leaks::LeakDetector,
        support::{account_helpers::ADDRESSES, mail_helpers::put, with},
    },
};

const ADDRESS: &str = "marker.address@example.org";
const SECRET: &str = "marker.client=secret_0123456789";
const GUESS: &str = "marker guess 17";

/// L4, incident 12, incident 22
#[tokio::test]
async fn l4_no_secret_of_an_accounts_addresses_leaks() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&ADDRESSES, &log).await;
    detector.ignores_sdk_trace = true;
    detector
        .secrets
        .extend([PASSWORD, SECRET, GUESS].map(str::to_owned));
    detector.only_stored.push("marker.address".to_owned());
    let token = user_token(&detector.server, "alice").await;
    detector.secrets.push(token.clone());
    let validation = request_add_token(&detector.server, ADDRESS, SECRET).await;
    detector.only_stored.push(validation.sid.clone());
    let creds = validation.creds();
    let body = with_password("alice", &creds);
    let early = post_as(&detector.server, &token, ADD, &body).await;
    early.error(403, "M_THREEPID_AUTH_FAILED");
    detector.check(&early);
    validation.validate(&detector.server).await;
    detector.search();
    let reply = post_as(&detector.server, &token, ADD, &body).await;
    reply.ok();
    detector.check(&reply);
    let second = request_add_token(&detector.server, &format!("x{ADDRESS}"), SECRET).await;
    second.validate(&detector.server).await;
    detector.only_stored.push(second.sid.clone());
    let challenge = post_as(&detector.server, &token, ADD, &second.creds()).await;
    let session = detector.check(&challenge)["session"].clone();
    for password in [GUESS, PASSWORD] {
        let auth = with_password("alice", &creds)["auth"].clone();
        let auth = with(auth, &json!({ "password": password, "session": session }));
        let reply = post_as(&detector.server, &token, ADD, &json!({ "auth": auth })).await;
        detector.check(&reply);
    }
    let reply = detector.server.get_as(&token, LIST).await;
    assert_eq!(reply.ok()["threepids"].as_array().unwrap().len(), 2);
    detector.check(&reply);
    for reply in [
        add(&detector.server, &token, &creds).await,
        remove(&detector.server, &token, ADDRESS).await,
    ] {
        reply.ok();
        detector.check(&reply);
    }
    detector.server.deliver().await;
    detector.search();
    // The server never writes such a row, so reading it fails.
    detector.server.expect_faults();
    let key = format!("3PID#email#{ADDRESS}");
    let item =
        json!({ "pk": { "S": "USER#alice" }, "sk": { "S": key }, "medium": { "S": "email" } });
    put(&detector.server, "accounts", &item);
    let reply = detector.server.get_as(&token, LIST).await;
    reply.error(500, "M_UNKNOWN");
    detector.check(&reply);
    assert!(log.text().contains("is corrupt"));
}
