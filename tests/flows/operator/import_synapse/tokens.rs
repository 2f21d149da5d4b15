//! Imported tokens: their use and their refresh. `token_ends` has the tests of their end.

use std::time::Duration;

use rusqlite::types::Null;
use serde_json::{Value, json};
use test_support::{NOW, PREFIXES, TestServer};

use crate::{
    api::support::{add_appservice, send_as, whoami, whoami_as},
    flows::{
        operator::import::{BCRYPT, OSTRICH},
        support::{
            account_helpers::{Device, LOGIN, login_of},
            synapse::{Synapse, findings},
            users,
        },
    },
};

const REFRESH: &str = "/_matrix/client/v3/refresh";

/// Alice with the devices PHONE and LAPTOP, at a server that has imported them.
pub(super) async fn alice() -> (TestServer, Device, Device) {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    let device = |id: &str| {
        synapse.device("alice", id);
        Device {
            token: synapse.access("alice", id, None),
            refresh: None,
            id: id.to_owned(),
        }
    };
    let (phone, laptop) = (device("PHONE"), device("LAPTOP"));
    let server = TestServer::new().await;
    synapse.import_all(&server).await;
    (server, phone, laptop)
}

async fn refresh(server: &TestServer, token: &str) -> Value {
    let body = json!({ "refresh_token": token });
    server.post(REFRESH, &body).await.ok()
}

pub(super) async fn is_refused(server: &TestServer, token: &str) {
    server.whoami(token).await.error(401, "M_UNKNOWN_TOKEN");
    let body = json!({ "refresh_token": token });
    server
        .post(REFRESH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn hs_21_an_access_token_works_everywhere_after_an_import() {
    let (server, phone, _) = alice().await;
    assert!(!server.dump().contains(&phone.token));
    for prefix in PREFIXES {
        let me = server
            .get_as(&phone.token, &format!("{prefix}/account/whoami"))
            .await
            .ok();
        assert_eq!(
            me,
            json!({ "user_id": "@alice:localhost", "device_id": "PHONE", "is_guest": false })
        );
        let own = server
            .get_as(&phone.token, &format!("{prefix}/devices/PHONE"))
            .await
            .ok();
        assert_eq!(own["display_name"], "PHONE of alice");
        server
            .get_as(&phone.token, &format!("{prefix}/capabilities"))
            .await
            .ok();
        server
            .get_as(&phone.token, &format!("{prefix}/account/3pid"))
            .await
            .ok();
    }
    let devices = server
        .get_as(&phone.token, "/_matrix/client/v3/devices")
        .await
        .ok();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 2);
    let path = "/_matrix/client/v3/devices/LAPTOP";
    let renamed = send_as(
        &server,
        &phone.token,
        ("PUT", path),
        br#"{"display_name":"x"}"#,
    )
    .await;
    renamed.ok();
    // An access token is no refresh token.
    let body = json!({ "refresh_token": phone.token });
    server
        .post(REFRESH, &body)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
}

/// HS-21: a token of Synapse that is malformed, or that belongs to nobody, is refused; the former without a read.
#[tokio::test]
async fn hs_21_other_tokens_are_refused() {
    let (server, phone, _) = alice().await;
    add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let other = Synapse::new();
    // The first tokens are those of the devices.
    for _ in 0..4 {
        other.token("syt", "alice");
    }
    let mut wrong = phone.token.clone();
    wrong.pop();
    let last = phone.token.chars().last().unwrap();
    wrong.push(if last == 'x' { 'y' } else { 'x' });
    for text in [wrong.as_str(), "syt_", "syt_YWxpY2U_abc_000000", "syr_x"] {
        let (reply, calls) = server.calls_of(server.whoami(text)).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
        assert!(calls.is_empty(), "{text}: {calls:?}");
    }
    for (token, reads) in [
        (phone.token.clone(), 2),
        (other.token("syt", "alice"), 1),
        (other.token("syt", "nobody"), 1),
    ] {
        let (reply, calls) = server.calls_of(server.whoami(&token)).await;
        assert_eq!(reply.status == 200, reads == 2);
        assert_eq!(calls.len(), reads, "{calls:?}");
    }
}

#[tokio::test]
async fn hs_21_a_refresh_token_is_exchanged_for_new_tokens() {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    synapse.device("alice", "PHONE");
    let pair = synapse.pair("alice", "PHONE", Some(NOW + 5000), None);
    let server = TestServer::new().await;
    let report = synapse.import_all(&server).await;
    assert_eq!(
        (&report["access_tokens"], &report["refresh_tokens"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(report["findings"], json!([]));
    whoami(&server, &pair.access).await;
    // The access token keeps its expiry.
    server.advance(Duration::from_secs(5));
    let expired = server
        .whoami(&pair.access)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(expired["soft_logout"], true);
    let first = refresh(&server, &pair.refresh).await;
    // A lost response: the same refresh token gives the same response.
    let again = refresh(&server, &pair.refresh).await;
    assert_eq!(first, again);
    let me = whoami_as(&server, &first).await.ok();
    assert_eq!(me["device_id"], "PHONE");
    is_refused(&server, &pair.access).await;
    is_refused(&server, &pair.refresh).await;
    let new = refresh(&server, first["refresh_token"].as_str().unwrap()).await;
    whoami_as(&server, &new).await.ok();
}

/// A refresh whose response may have been lost just before the import: the client has the tokens before it or after it.
#[tokio::test]
async fn hs_21_a_refresh_during_the_import_is_not_lost() {
    for response_is_lost in [true, false] {
        let synapse = Synapse::new();
        synapse.user("alice", Some(BCRYPT));
        synapse.device("alice", "PHONE");
        let first = synapse.pair("alice", "PHONE", None, None);
        let next = synapse.pair("alice", "PHONE", Some(NOW + 60_000), Some(&first));
        synapse.set_unused(&next.access);
        let server = TestServer::new().await;
        let report = synapse.import_all(&server).await;
        assert_eq!(report["findings"], json!([]));
        let dump = server.dump();
        for token in [&first.access, &first.refresh, &next.access, &next.refresh] {
            assert!(!dump.contains(token));
        }
        if response_is_lost {
            whoami(&server, &first.access).await;
            let answer = refresh(&server, &first.refresh).await;
            assert_eq!(
                answer,
                json!({
                    "access_token": next.access, "refresh_token": next.refresh, "expires_in_ms": 60_000,
                })
            );
        }
        whoami(&server, &next.access).await;
        is_refused(&server, &first.access).await;
        is_refused(&server, &first.refresh).await;
        let ours = refresh(&server, &next.refresh).await;
        assert_eq!(whoami_as(&server, &ours).await.ok()["device_id"], "PHONE");
        is_refused(&server, &next.access).await;
    }
}

#[tokio::test]
async fn hs_21_of_several_sessions_of_a_device_the_last_used_one_is_kept() {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    for device in ["A", "B", "C", "D", "E", "F"] {
        synapse.device("alice", device);
    }
    // Two logins; the second was never used.
    let kept = synapse.access("alice", "A", None);
    let unused = synapse.access("alice", "A", None);
    synapse.set_unused(&unused);
    // Two logins; the first was made without a refresh token.
    let older = synapse.access("alice", "B", None);
    let newer = synapse.pair("alice", "B", Some(NOW - 1), None);
    // The tokens before a refresh whose new tokens were used.
    let replaced = synapse.pair("alice", "C", None, None);
    let current = synapse.pair("alice", "C", None, Some(&replaced));
    // An old format, and a token of another user.
    synapse.add_access("alice", "MDAxYWxvY2F0aW9uIGxvY2FsaG9zdAo", &"D", None, None);
    let foreign = synapse.token("syt", "bob");
    synapse.add_access("alice", &foreign, &"E", None, None);
    // Tokens without a device: of an administrator, and of a hidden device.
    let without = synapse.token("syt", "alice");
    synapse.add_access("alice", &without, &Null, None, None);
    let hidden = synapse.access("alice", "HIDDEN", None);
    let puppet = synapse.token("syt", "bob");
    synapse.add_access("alice", &puppet, &Null, None, None);
    synapse.execute(
        "UPDATE access_tokens SET puppets_user_id = '@bob:localhost' WHERE token = ?1",
        &[&puppet],
    );
    // A session that has expired: it is kept, so that the client logs in again with the same device.
    let expired = synapse.access("alice", "F", Some(NOW - 1));
    let server = TestServer::new().await;
    let report = synapse.import_all(&server).await;
    for token in [&kept, &current.access] {
        whoami(&server, token).await;
    }
    whoami_as(&server, &refresh(&server, &newer.refresh).await)
        .await
        .ok();
    for token in [
        &unused,
        &older,
        &replaced.access,
        &replaced.refresh,
        &foreign,
        &without,
        &hidden,
        &puppet,
    ] {
        is_refused(&server, token).await;
    }
    let reply = server.whoami(&expired).await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(reply["soft_logout"], true);
    let mut details: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
    details.retain(|finding| finding["finding"] == "token");
    let details: Vec<_> = details
        .iter()
        .map(|own| own["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        details,
        [
            "1 access tokens that act as other users are dropped",
            "1 tokens of other logins with the device ID `A` are dropped",
            "1 tokens of other logins with the device ID `B` are dropped",
            "2 access tokens without a device are dropped",
            "the access token of the device `D` has an old format; the user must log in again there",
            "the access token of the device `E` has an old format; the user must log in again there",
        ]
    );
}

/// A device without a token stays, so that a login with its ID continues it, and its keys at Synapse.
#[tokio::test]
async fn hs_21_a_device_whose_token_is_dropped_stays() {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    synapse.device("alice", "PHONE");
    synapse.add_access(
        "alice",
        "MDAxYWxvY2F0aW9uIGxvY2FsaG9zdAo",
        &"PHONE",
        None,
        None,
    );
    let server = TestServer::new().await;
    synapse.import_all(&server).await;
    let mut login = login_of("alice", OSTRICH);
    login["device_id"] = "PHONE".into();
    let device = Device::of(&server.post(LOGIN, &login).await.ok());
    let path = "/_matrix/client/v3/devices/PHONE";
    let own = server.get_as(&device.token, path).await.ok();
    assert_eq!(own["display_name"], "PHONE of alice");
}

#[tokio::test]
async fn hs_21_sessions_that_expire_and_devices_that_stay_are_reported() {
    let synapse = Synapse::new();
    synapse.user("alice", Some(BCRYPT));
    for device in ["A", "DEHYDRATED", "line\nbreak"] {
        synapse.device("alice", device);
    }
    synapse.execute(
        "INSERT INTO dehydrated_devices VALUES ('@alice:localhost', 'DEHYDRATED', '{}')",
        &[],
    );
    synapse.execute(
        "UPDATE devices SET hidden = 1 WHERE device_id = 'HIDDEN'",
        &[],
    );
    synapse.execute(
        "UPDATE devices SET display_name = ?1 WHERE device_id = 'A'",
        &[&"x".repeat(101)],
    );
    synapse.pair("alice", "A", None, None);
    synapse.execute("UPDATE refresh_tokens SET expiry_ts = ?1", &[&(NOW + 1)]);
    let server = TestServer::new().await;
    let report = synapse.import_all(&server).await;
    let mut kinds: Vec<_> = findings(&report)
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        ["device", "device", "device", "session-lifetime"],
        "{report}"
    );
    let rows = users(&server).remove("alice").unwrap();
    let devices: Vec<_> = rows.iter().filter(|sk| sk.starts_with("DEV#")).collect();
    assert_eq!(devices, ["DEV#A"]);
}
