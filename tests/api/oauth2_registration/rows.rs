//! The rows of clients: one for equal metadata (OA-25), until an unused one expires (OA-26).

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{clients, register, registered, start, web_client};
use crate::{
    api::support::text,
    flows::support::{at_once, process_of},
};

/// The order of members and lists, duplicates and dropped members make no difference.
#[tokio::test]
async fn oa_25_equal_metadata_is_one_row() {
    let server = start().await;
    let first = registered(&register(&server, &web_client()).await);
    let mut members: Vec<_> = web_client()
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .collect();
    members.reverse();
    let mut same = Value::Object(members.into_iter().collect::<Map<_, _>>());
    let uri = same["redirect_uris"][0].clone();
    same["redirect_uris"] = json!([uri, uri]);
    same["grant_types"] = json!(["refresh_token", "authorization_code", "implicit"]);
    same["contacts"] = json!(["a@example.com"]);
    server.advance(Duration::from_mins(1));
    let (second, calls) = server.calls_of(register(&server, &same)).await;
    assert_eq!(registered(&second), first);
    let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(
        operations,
        ["GetItem"],
        "a known registration writes nothing"
    );
    assert_eq!(clients(&server).len(), 1);
    // Another server has the same ID.
    let other = start().await;
    let other = registered(&register(&other, &web_client()).await);
    assert_eq!(other["client_id"], first["client_id"]);
}

/// OA-25: concurrent registrations of one client.
#[tokio::test]
async fn oa_25_concurrent_registrations_have_one_row() {
    let server = Arc::new(start().await);
    let replies = at_once(50, |_| {
        let server = Arc::clone(&server);
        async move { register(&server, &web_client()).await }
    })
    .await;
    let ids: BTreeSet<_> = replies
        .iter()
        .map(|reply| text(&registered(reply), "client_id").to_owned())
        .collect();
    assert_eq!((ids.len(), clients(&server).len()), (1, 1));
}

/// The row exists until TTL deletes it, but is not found after its end. A client that registers again gets the same ID.
#[tokio::test]
async fn oa_26_an_unused_registration_expires_after_7_days() {
    const WEEK: Duration = Duration::from_hours(7 * 24);
    let server = start().await;
    let first = registered(&register(&server, &web_client()).await);
    let app = process_of(&server, "Oauth2Registration");
    let id = shared::oauth::ClientId::parse(text(&first, "client_id")).unwrap();
    let find = async || shared::oauth::find_client(&app, &id).await.unwrap();
    let last = Duration::from_millis(1);
    server.local.clock().advance(WEEK.saturating_sub(last));
    assert!(!find().await.unwrap().is_permanent);
    server.local.clock().advance(last);
    assert_eq!(find().await, None);
    assert_eq!(clients(&server).len(), 1, "TTL has not run");
    let again = registered(&register(&server, &web_client()).await);
    assert_eq!(again["client_id"], first["client_id"]);
    assert_eq!(again["client_id_issued_at"], 1_800_000_000 + 7 * 24 * 3600);
    assert!(find().await.is_some());
    server.advance(WEEK);
    assert_eq!(clients(&server).len(), 0);
}
