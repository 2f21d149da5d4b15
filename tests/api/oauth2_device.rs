//! `POST /oauth2/device`.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use http::Request;
use serde_json::{Value, json};
use shared::clock::Clock;
use test_support::TestServer;

use crate::{
    api::oauth2_registration::{register, registered},
    flows::support::{
        device_grant::{DEVICE_PATH, Device, GRANT, GrantServer, LINK, metadata, scope},
        oauth_pages::{Browser, DEVICE, LEGACY, OAUTH, encode, native_client, oauth_rows},
        oauth_tokens::{TOKEN, assert_error, changed, form, send},
    },
};

const ALPHABET: &str = "BCDFGHJKLMNPQRSTVWXZ";
const OFF: (&str, &str) = ("GATEHOUSE_OAUTH_DEVICE_GRANT", "off");

#[tokio::test]
async fn oa_145_without_the_setting_the_paths_are_unknown() {
    let server = TestServer::with(&[LEGACY]).await;
    let reply = send(&server, DEVICE_PATH, &form(&[("client_id", "x")])).await;
    reply.error(404, "M_UNRECOGNIZED");
    server.get(LINK).await.error(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn oa_112_a_client_without_the_grant_is_unauthorized() {
    let grant = GrantServer::new().await;
    let server = &grant.server;
    let device = grant.approved().await;
    let other = native_client(server);
    let request = changed(&grant.request(), "client_id", &other);
    let reply = send(server, DEVICE_PATH, &request).await;
    assert_error(&reply, 400, "unauthorized_client");
    let poll = changed(&device.form(), "client_id", &other);
    for code in [device.secret_code.as_str(), "x"] {
        let reply = send(server, TOKEN, &changed(&poll, "device_code", code)).await;
        assert_error(&reply, 400, "unauthorized_client");
    }
    grant.poll(&device).await.ok();
}

/// OA-03: the metadata lists the grant only while it is on.
#[tokio::test]
async fn oa_112_the_grant_can_be_off() {
    let on = GrantServer::new().await;
    let off = GrantServer::with(&[OFF]).await;
    for (grant, is_on) in [(&on, true), (&off, false)] {
        let server = &grant.server;
        let path = "/_matrix/client/v1/auth_metadata";
        let document = server.get(path).await.ok();
        let grants = document["grant_types_supported"].as_array().unwrap();
        assert_eq!(grants.contains(&json!(GRANT)), is_on);
        let endpoint = document["device_authorization_endpoint"].is_string();
        assert_eq!(endpoint, is_on);
        let client = registered(&register(server, &metadata()).await);
        let expected = if is_on {
            json!(["refresh_token", GRANT])
        } else {
            json!(["refresh_token"])
        };
        assert_eq!(client["grant_types"], expected);
    }
    // A client that registered the grant while it was on.
    let server = &off.server;
    let (reply, calls) = server
        .calls_of(send(server, DEVICE_PATH, &off.request()))
        .await;
    assert_error(&reply, 400, "unauthorized_client");
    assert!(calls.is_empty(), "{calls:?}");
    let codes = json!({ "device_code": "A".repeat(43), "user_code": "BCDF-GHJK" });
    let reply = off.poll(&Device::new(&off.client, &codes)).await;
    assert_error(&reply, 400, "unauthorized_client");
    server.get(LINK).await.error(404, "M_UNRECOGNIZED");
}

/// OA-14: the client needs no redirect URI.
#[tokio::test]
async fn oa_14_a_client_without_redirect_uris_gets_tokens() {
    let server = TestServer::with(&[OAUTH]).await;
    server.sign_up("alice").await;
    let client = registered(&register(&server, &metadata()).await);
    assert_eq!(client["response_types"], json!([]));
    assert!(client.get("redirect_uris").is_none(), "{client}");
    let client = client["client_id"].as_str().unwrap().to_owned();
    let grant = GrantServer { server, client };
    let device = grant.approved().await;
    let tokens = grant.poll(&device).await.ok();
    assert_eq!(tokens["scope"], scope(DEVICE));
    // OA-26: the registration does not expire any more.
    let rows = grant.server.local.dynamodb().table("OAuth").unwrap();
    let key = format!("CLIENT#{}", grant.client);
    let row = rows.iter().find(|row| row["pk"]["S"] == key.as_str());
    assert!(row.unwrap().get("expires").is_none(), "{row:?}");
}

#[tokio::test]
async fn oa_113_the_codes_have_their_format_and_lifetime() {
    let public = ("GATEHOUSE_PUBLIC_URL", "https://example.org/base");
    let grant = GrantServer::with(&[public]).await;
    let server = &grant.server;
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let reply = send(server, DEVICE_PATH, &grant.request()).await;
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["access-control-allow-origin"], "*", "OA-156");
        let codes = reply.ok();
        let user_code = codes["user_code"].as_str().unwrap().to_owned();
        let page = "https://example.org/base/link";
        let expected = json!({
            "device_code": codes["device_code"],
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": 900,
            "interval": 5,
        });
        assert_eq!(codes, expected);
        let (first, second) = user_code.split_once('-').unwrap();
        for part in [first, second] {
            assert_eq!(part.len(), 4, "{user_code}");
            assert!(part.chars().all(|letter| ALPHABET.contains(letter)));
        }
        // 256 bits
        assert_eq!(codes["device_code"].as_str().unwrap().len(), 43);
        assert!(seen.insert(user_code));
        assert!(seen.insert(codes["device_code"].as_str().unwrap().to_owned()));
    }
    let now = server.local.clock().now().0;
    let rows = server.local.dynamodb().table("OAuth").unwrap();
    let number =
        |row: &Value, name: &str| -> i64 { row[name]["N"].as_str().unwrap().parse().unwrap() };
    let codes = rows.iter().filter(|row| {
        let key = row["pk"]["S"].as_str().unwrap();
        key.starts_with("DEVICECODE#") || key.starts_with("USERCODE#")
    });
    let mut count = 0;
    for row in codes {
        assert_eq!(number(row, "expires"), now + 900_000);
        assert!(number(row, "ttl") * 1000 >= now + 900_000);
        count += 1;
    }
    assert_eq!(count, 100);
}

/// No row contains a code, or the network and the program of the device.
#[tokio::test]
async fn oa_113_the_rows_contain_no_code_and_no_network() {
    let grant = GrantServer::new().await;
    let request = Request::post(DEVICE_PATH)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", "Marker-Agent/1")
        .body(encode(&grant.request()).into_bytes());
    let peer = Ipv4Addr::new(198, 51, 100, 7);
    let reply = grant.server.send_from(peer.into(), request.unwrap()).await;
    let codes = reply.ok();
    assert_eq!(
        oauth_rows(&grant.server),
        ["CLIENT", "DEVICECODE", "USERCODE"]
    );
    let dump = grant.server.dump();
    let user_code = codes["user_code"].as_str().unwrap();
    for secret in [
        codes["device_code"].as_str().unwrap(),
        user_code,
        &user_code.replace('-', ""),
        "Marker-Agent",
        "198.51.100.7",
    ] {
        assert!(!dump.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn malformed_requests_for_codes_have_standard_errors() {
    let grant = GrantServer::new().await;
    let server = &grant.server;
    let valid = grant.request();
    for name in ["client_id", "scope"] {
        let reply = send(server, DEVICE_PATH, &changed(&valid, name, "")).await;
        assert_error(&reply, 400, "invalid_request");
        let repeated = [valid.clone(), form(&[(name, "x")])].concat();
        let reply = send(server, DEVICE_PATH, &repeated).await;
        assert_error(&reply, 400, "invalid_request");
    }
    for client in ["x", "ghc_", "ghc_AAAAAAAAAAAAAAAAAAAAAA"] {
        let reply = send(server, DEVICE_PATH, &changed(&valid, "client_id", client)).await;
        assert_error(&reply, 401, "invalid_client");
        assert!(!reply.headers.contains_key("www-authenticate"));
    }
    let two = format!("{} urn:matrix:client:device:OTHER0123456", scope(DEVICE));
    let admin = format!("{} urn:synapse:admin:*", scope(DEVICE));
    for wrong in [
        "openid",
        "urn:matrix:client:api:*",
        &two,
        &admin,
        &scope("SHORT"),
    ] {
        let reply = send(server, DEVICE_PATH, &changed(&valid, "scope", wrong)).await;
        assert_error(&reply, 400, "invalid_scope");
    }
    let json = Request::post(DEVICE_PATH)
        .header("content-type", "application/json")
        .body(b"{}".to_vec());
    assert_error(&server.send(json.unwrap()).await, 415, "invalid_request");
    let large = changed(&valid, "x", &"x".repeat(16 * 1024));
    let reply = send(server, DEVICE_PATH, &large).await;
    assert_error(&reply, 413, "invalid_request");
    assert_eq!(oauth_rows(server), ["CLIENT"]);
    // Unknown parameters have no effect.
    send(server, DEVICE_PATH, &changed(&valid, "x", "x"))
        .await
        .ok();
}

/// OA-36, OA-38: both spellings, without unknown scopes. The response of the exchange has the spelling of the request.
#[tokio::test]
async fn oa_38_the_scope_is_narrowed_and_keeps_its_spelling() {
    let grant = GrantServer::new().await;
    let base = "urn:matrix:org.matrix.msc2967.client";
    let narrowed = format!("{base}:api:* {base}:device:{DEVICE}");
    let request = changed(&grant.request(), "scope", &format!("openid {narrowed} x"));
    let codes = send(&grant.server, DEVICE_PATH, &request).await.ok();
    let device = Device::new(&grant.client, &codes);
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await;
    browser.decide(&consent, "allow").await.expect(200);
    assert_eq!(grant.poll(&device).await.ok()["scope"], narrowed);
}

#[tokio::test]
async fn requests_for_codes_are_limited_by_network() {
    let grant = GrantServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let server = &grant.server;
    for _ in 0..20 {
        send(server, DEVICE_PATH, &grant.request()).await.ok();
    }
    let refused = send(server, DEVICE_PATH, &grant.request()).await;
    assert_error(&refused, 429, "invalid_request");
    assert!(refused.headers.contains_key("retry-after"));
    let request = Request::post(DEVICE_PATH)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encode(&grant.request()).into_bytes());
    let other = Ipv4Addr::new(198, 51, 100, 7).into();
    server.send_from(other, request.unwrap()).await.ok();
    server.advance(Duration::from_secs(30));
    send(server, DEVICE_PATH, &grant.request()).await.ok();
}
