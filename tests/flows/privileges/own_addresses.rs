//! The walk through the addresses of an account.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gatehouse_local::tap::{Fault, Kind, Use};
use serde_json::json;

use super::start_every_function;
use crate::{
    api::{
        own_addresses::{ADD, ALICE, BOB, add, list, prove, remove, user, with_password},
        support::post_as,
    },
    flows::{own_addresses::house, support::with},
};

/// Addresses are added by both forms and removed, with limits on; one addition is overtaken by its
/// twin.
pub(super) async fn walk() -> BTreeSet<Use> {
    let house = Arc::new(house(&[("GATEHOUSE_LIMITS", "on")]).await);
    start_every_function(&house).await;
    let token = user(&house, "alice").await;
    let creds = prove(&house, ALICE, "secret").await;
    add(&house, &token, &creds).await.ok();
    let creds = prove(&house, BOB, "secret").await;
    let challenge = post_as(&house, &token, ADD, &creds).await.challenge();
    let auth = with_password("alice", &creds)["auth"].clone();
    let session = json!({ "session": challenge["session"] });
    let last = json!({ "auth": with(auth, &session) });
    let tap = house.local.tap();
    let hold = Fault::new(Kind::Delay(Duration::from_millis(800)));
    tap.inject(hold.on("TransactWriteItems").by("Account3pidAdd"));
    let (own, body, whose) = (Arc::clone(&house), last.clone(), token.clone());
    let slow = tokio::spawn(async move { post_as(&own, &whose, ADD, &body).await });
    while tap.pending_faults() > 0 {
        tokio::task::yield_now().await;
    }
    post_as(&house, &token, ADD, &last).await.ok();
    slow.await.unwrap().ok();
    assert_eq!(list(&house, &token).await.len(), 2);
    remove(&house, &token, ALICE).await.ok();
    house.local.tap().used()
}
