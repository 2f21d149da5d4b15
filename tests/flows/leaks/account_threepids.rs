//! What nobody may find of the addresses of an account: the password and the client's secret in no
//! table and no log, the address and the session's id in no log, not even in that of a failure.

use serde_json::json;
use test_support::{Log, PASSWORD};

use crate::{
    api::{
        own_addresses::{ADD, LIST, add, remove, user, with_password},
        support::post_as,
    },
    flows::{
        account_threepids::ask_add,
        leaks::registration::Watch,
        support::{account_helpers::ADDRESSES, mail_helpers::put, with},
    },
};

const ADDRESS: &str = "canary.address@example.org";
const SECRET: &str = "canary.client=secret_0123456789";
const GUESS: &str = "canary guess 17";

/// L4, incident 12, incident 22
#[tokio::test]
async fn l4_nothing_of_an_accounts_addresses_stands_in_a_log_or_in_clear_in_a_table() {
    let (log, _guard) = Log::capture();
    let mut watch = Watch::start(&ADDRESSES, &log).await;
    watch.ignores_wire = true;
    watch
        .canaries
        .extend([PASSWORD, SECRET, GUESS].map(str::to_owned));
    watch.unlogged.push("canary.address".to_owned());
    let token = user(&watch.server, "alice").await;
    watch.canaries.push(token.clone());
    let asked = ask_add(&watch.server, ADDRESS, SECRET).await;
    watch.unlogged.push(asked.sid.clone());
    let creds = asked.creds();
    let body = with_password("alice", &creds);
    let early = post_as(&watch.server, &token, ADD, &body).await;
    early.error(403, "M_THREEPID_AUTH_FAILED");
    watch.note(&early);
    asked.validate(&watch.server).await;
    watch.search();
    let reply = post_as(&watch.server, &token, ADD, &body).await;
    reply.ok();
    watch.note(&reply);
    let second = ask_add(&watch.server, &format!("x{ADDRESS}"), SECRET).await;
    second.validate(&watch.server).await;
    watch.unlogged.push(second.sid.clone());
    let challenge = post_as(&watch.server, &token, ADD, &second.creds()).await;
    let session = watch.note(&challenge)["session"].clone();
    for password in [GUESS, PASSWORD] {
        let auth = with_password("alice", &creds)["auth"].clone();
        let auth = with(auth, &json!({ "password": password, "session": session }));
        let reply = post_as(&watch.server, &token, ADD, &json!({ "auth": auth })).await;
        watch.note(&reply);
    }
    let reply = watch.server.get_as(&token, LIST).await;
    assert_eq!(reply.ok()["threepids"].as_array().unwrap().len(), 2);
    watch.note(&reply);
    for reply in [
        add(&watch.server, &token, &creds).await,
        remove(&watch.server, &token, ADDRESS).await,
    ] {
        reply.ok();
        watch.note(&reply);
    }
    watch.server.deliver().await;
    watch.search();
    // A row that nobody has written.
    watch.server.expect_faults();
    let key = format!("3PID#email#{ADDRESS}");
    let item =
        json!({ "pk": { "S": "USER#alice" }, "sk": { "S": key }, "medium": { "S": "email" } });
    put(&watch.server, "accounts", &item);
    let reply = watch.server.get_as(&token, LIST).await;
    reply.error(500, "M_UNKNOWN");
    watch.note(&reply);
    assert!(log.text().contains("is corrupt"));
}
