//! The limits of registrations (OA-27).

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde_json::{Value, json};
use shared::{limits::Limit, secrets::KeyPurpose};
use test_support::{NOW, Reply, TestServer};

use super::{JSON, REGISTRATION, assert_error, clients, registered, web_client};
use crate::{
    api::support::{request, with},
    flows::support::oauth_pages::OAUTH,
};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");

fn network(number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 1)) + number).into()
}

/// The metadata of client number `number`.
fn client(number: u32) -> Value {
    with(
        web_client(),
        &json!({ "client_name": format!("App {number}") }),
    )
}

async fn register_from(server: &TestServer, peer: u32, metadata: &Value) -> Reply {
    let body = metadata.to_string();
    let request = request("POST", REGISTRATION, &[JSON], body.as_bytes());
    server.send_from(network(peer), request).await
}

/// The bucket of all new clients, in the form of the limits table.
fn total_bucket(server: &TestServer) -> String {
    let hash = server
        .local
        .config()
        .keys
        .hash(KeyPurpose::LimitKey, b"all");
    format!("new-client#{hash}")
}

/// The theoretical arrival time of that bucket.
fn total_tat(server: &TestServer) -> Option<i64> {
    let rows = server.local.dynamodb().table("Limits").unwrap();
    let bucket = total_bucket(server);
    let row = rows.into_iter().find(|row| row["pk"]["S"] == bucket)?;
    row["tat"]["N"].as_str()?.parse().ok()
}

/// Leaves this many new clients in the total quota.
fn leave(server: &TestServer, count: i64) {
    let quota = Limit::NewClient.quota();
    let interval = i64::try_from(quota.interval.as_millis()).unwrap();
    let tat = NOW + interval * (i64::from(quota.burst) - count);
    server.raw_dynamodb(
        "PutItem",
        &json!({
            "TableName": format!("{}-limits", server.local.config().tables),
            "Item": { "pk": { "S": total_bucket(server) }, "tat": { "N": tat.to_string() } },
        }),
    );
}

/// Ten at once, then one a minute, known or new. A refused request makes no call but the charge.
#[tokio::test]
async fn oa_27_a_network_registers_ten_clients_then_one_a_minute() {
    let server = TestServer::with(&[OAUTH, LIMITS]).await;
    for number in 0..10 {
        registered(&register_from(&server, 0, &client(number)).await);
    }
    for metadata in [client(10), client(0)] {
        let (reply, calls) = server.calls_of(register_from(&server, 0, &metadata)).await;
        assert_error(&reply, 429, "invalid_request");
        assert_eq!(reply.headers["retry-after"], "60");
        assert!(calls.iter().all(|call| call.tables == ["Limits"]));
    }
    assert_eq!(clients(&server).len(), 10);
    registered(&register_from(&server, 1, &client(10)).await);
    server.advance(Duration::from_mins(1));
    registered(&register_from(&server, 0, &client(11)).await);
    let reply = register_from(&server, 0, &client(12)).await;
    assert_error(&reply, 429, "invalid_request");
}

/// A flood from many networks: the rows are bounded, and known clients still register, which is not charged to the total.
#[tokio::test]
async fn oa_27_new_clients_are_limited_in_total_and_known_ones_are_not() {
    let server = TestServer::with(&[OAUTH, LIMITS]).await;
    registered(&register_from(&server, 0, &client(0)).await);
    leave(&server, 3);
    let mut accepted = 0;
    for number in 1..20 {
        let reply = register_from(&server, number, &client(number)).await;
        if reply.status == 201 {
            accepted += 1;
        } else {
            assert_error(&reply, 429, "invalid_request");
            assert_eq!(reply.headers["retry-after"], "1");
        }
    }
    assert_eq!((accepted, clients(&server).len()), (3, 4));
    let before = total_tat(&server).unwrap();
    for number in 20..40 {
        registered(&register_from(&server, number, &client(0)).await);
    }
    assert_eq!(total_tat(&server), Some(before));
}

/// In any hour at most 10,000 clients are new.
#[test]
fn oa_27_the_total_quota_is_10_000_in_an_hour() {
    let quota = Limit::NewClient.quota();
    let refilled = Duration::from_hours(1).as_millis() / quota.interval.as_millis();
    assert_eq!(u128::from(quota.burst) + refilled, 10_000);
}
