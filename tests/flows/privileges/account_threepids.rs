//! The scenario with the addresses of an account.

use std::{collections::BTreeSet, sync::Arc};

use gatehouse_local::dynamodb::proxy::Use;
use serde_json::json;

use super::start_every_function;
use crate::{
    api::{
        account_threepids::{
            ADD, ALICE, BOB, add, list, remove, user_token, validated_credentials, with_password,
        },
        support::post_as,
    },
    flows::{
        account_threepids::test_server,
        races::{delayed, start_delayed},
        support::with,
    },
};

/// Addresses are added with both forms and removed, with limits on; a concurrent duplicate
/// overtakes one addition.
pub(super) async fn scenario() -> BTreeSet<Use> {
    let server = Arc::new(test_server(&[("GATEHOUSE_LIMITS", "on")]).await);
    start_every_function(&server).await;
    let token = user_token(&server, "alice").await;
    let creds = validated_credentials(&server, ALICE, "secret").await;
    add(&server, &token, &creds).await.ok();
    let creds = validated_credentials(&server, BOB, "secret").await;
    let challenge = post_as(&server, &token, ADD, &creds).await.challenge();
    let auth = with_password("alice", &creds)["auth"].clone();
    let session = json!({ "session": challenge["session"] });
    let last = json!({ "auth": with(auth, &session) });
    let fault = delayed("Account3pidAdd", "TransactWriteItems");
    let (own, body, whose) = (Arc::clone(&server), last.clone(), token.clone());
    let slow = start_delayed(&server, fault, async move {
        post_as(&own, &whose, ADD, &body).await
    })
    .await;
    post_as(&server, &token, ADD, &last).await.ok();
    slow.await.unwrap().ok();
    assert_eq!(list(&server, &token).await.len(), 2);
    remove(&server, &token, ALICE).await.ok();
    server.local.proxy().used()
}
