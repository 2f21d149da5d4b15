//! `POST /oauth2/introspect`.

mod discovery;

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::support::{
    add_appservice, dummy_registration,
    homeserver::{
        FunctionUrl, HOMESERVER, HOMESERVER_SECRET, INTROSPECT, introspection, introspection_with,
        set_homeserver_state, sign_up_alice,
    },
    password_login, post_as, register_as, register_guest, request, set_status, text, whoami_as,
    with,
};

const LOGIN: &str = "/_matrix/client/v3/login";
const REFRESH: &str = "/_matrix/client/v3/refresh";

/// A login of alice with these further members.
async fn log_in(server: &TestServer, members: &Value) -> Value {
    let body = with(password_login("alice", PASSWORD), members);
    server.post(LOGIN, &body).await.ok()
}

/// Exchanges the refresh token of a response.
async fn refresh(server: &TestServer, pair: &Value) -> Value {
    let body = json!({ "refresh_token": pair["refresh_token"] });
    server.post(REFRESH, &body).await.ok()
}

async fn is_active(url: &FunctionUrl, answer: &Value) -> bool {
    url.is_active(text(answer, "access_token")).await
}

fn assert_uncached(reply: &Reply) {
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn hs_01_without_a_homeserver_introspection_is_404() {
    // The secret alone has no effect: the key ring may contain it before the URL is set.
    for settings in [&[][..], &HOMESERVER[1..]] {
        let server = TestServer::with(settings).await;
        let unknown = server.post_text("/oauth2/unknown", "").await;
        for request in [
            introspection("x"),
            introspection_with("", b""),
            introspection_with("Bearer wrong", b"token=x"),
        ] {
            let reply = server.send(request).await;
            assert_eq!((reply.status, &reply.body), (unknown.status, &unknown.body));
            reply.error(404, "M_UNRECOGNIZED");
        }
    }
}

/// The shared secret has no effect anywhere else, and no other secret has an effect here.
#[tokio::test]
async fn hs_02_only_the_shared_secret_is_accepted() {
    let server = TestServer::with(&HOMESERVER).await;
    let reply = server.whoami(HOMESERVER_SECRET).await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    let long = format!("Bearer {HOMESERVER_SECRET}x");
    let short = format!("Bearer {}", &HOMESERVER_SECRET[1..]);
    let upper = format!("Bearer {}", HOMESERVER_SECRET.to_uppercase());
    let basic = format!("Basic {HOMESERVER_SECRET}");
    let too_large = vec![b'a'; 100_000];
    for (header, code) in [
        ("", "M_MISSING_TOKEN"),
        ("Bearer", "M_MISSING_TOKEN"),
        ("Bearer ", "M_MISSING_TOKEN"),
        (&basic, "M_MISSING_TOKEN"),
        (HOMESERVER_SECRET, "M_MISSING_TOKEN"),
        ("Bearer wrong", "M_UNKNOWN_TOKEN"),
        (&long, "M_UNKNOWN_TOKEN"),
        (&short, "M_UNKNOWN_TOKEN"),
        (&upper, "M_UNKNOWN_TOKEN"),
    ] {
        for body in [&b"token=gha_x"[..], b"", &too_large] {
            let request = introspection_with(header, body);
            let (reply, calls) = server.calls_of(server.send(request)).await;
            reply.error(401, code);
            assert_eq!(reply.headers["www-authenticate"], "Bearer", "{header}");
            assert!(calls.is_empty(), "{header}: {calls:?}");
            assert_uncached(&reply);
        }
    }
    let right = format!("Bearer {HOMESERVER_SECRET}");
    let twice = [("authorization", right.as_str()); 2];
    let query = format!("{INTROSPECT}?access_token={HOMESERVER_SECRET}");
    for request in [
        request("POST", INTROSPECT, &twice, b"token=x"),
        request("POST", &query, &[], b"token=x"),
    ] {
        let reply = server.send(request).await;
        reply.error(401, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn hs_02_a_users_token_is_not_the_secret() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    let bearer = format!("Bearer {}", text(&alice, "access_token"));
    let form = format!("token={}", text(&alice, "access_token"));
    let request = introspection_with(&bearer, form.as_bytes());
    let (reply, calls) = server.calls_of(url.send(request)).await;
    reply.error(401, "M_UNKNOWN_TOKEN");
    assert!(calls.is_empty(), "{calls:?}");
}

/// HTTP-15, HTTP-17, HTTP-18.
#[tokio::test]
async fn hs_03_the_form_must_have_a_token() {
    let server = TestServer::with(&HOMESERVER).await;
    let right = format!("Bearer {HOMESERVER_SECRET}");
    for body in [&b""[..], b"x", b"Token=x", b"token_type_hint=access_token"] {
        let reply = server.send(introspection_with(&right, body)).await;
        reply.error(400, "M_MISSING_PARAM");
        assert!(!reply.headers.contains_key("www-authenticate"));
    }
    let too_large = format!("token={}", "a".repeat(64 * 1024));
    let reply = server
        .send(introspection_with(&right, too_large.as_bytes()))
        .await;
    reply.error(413, "M_TOO_LARGE");
    for body in [
        "token=",
        "token=x",
        "token=x&token_type_hint=refresh_token&client_id=%ff",
        "a=b&&token=x",
    ] {
        let reply = server
            .send(introspection_with(&right, body.as_bytes()))
            .await;
        assert_eq!(reply.ok(), json!({ "active": false }), "{body}");
        assert_uncached(&reply);
    }
}

#[tokio::test]
async fn hs_03_a_malformed_token_causes_no_read() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let service = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    register_as(&server, &service, "irc_alice").await.ok();
    sign_up_alice(&server).await;
    let pair = log_in(&server, &json!({ "refresh_token": true })).await;
    let token = text(&pair, "access_token");
    for malformed in [
        "",
        "junk",
        "gha_",
        "mat_x",
        HOMESERVER_SECRET,
        &service,
        text(&pair, "refresh_token"),
        &token[1..],
        &token[..token.len() - 1],
        &format!("{token} "),
        &token.to_uppercase(),
        &"a".repeat(20_000),
    ] {
        let (active, calls) = server.calls_of(url.is_active(malformed)).await;
        assert!(!active, "{malformed}");
        assert!(calls.is_empty(), "{malformed}: {calls:?}");
    }
}

/// The cost assertions check the capacity, and so that the read is consistent.
#[tokio::test]
async fn hs_03_every_other_token_costs_one_read() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    // The token of another server with the same name, for a user that exists here and for one that does not.
    let other = TestServer::new().await;
    other.sign_up("zoe").await;
    let foreign = [other.sign_up("alice").await, other.sign_up("bob").await];
    let mut cases = vec![(alice.clone(), true)];
    cases.extend(foreign.map(|answer| (answer, false)));
    for (answer, expected) in cases {
        let (active, calls) = server.calls_of(is_active(&url, &answer)).await;
        assert_eq!(active, expected);
        let calls: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(calls, ["BatchGetItem"]);
    }
}

/// The status of the account takes effect at once, in both directions.
#[tokio::test]
async fn hs_04_only_an_active_account_has_active_tokens() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    for status in ["locked", "suspended", "deactivated"] {
        set_status(&server, "alice", status);
        assert!(!is_active(&url, &alice).await, "{status}");
        set_status(&server, "alice", "active");
        assert!(is_active(&url, &alice).await);
    }
}

#[tokio::test]
async fn hs_04_a_token_that_has_ended_is_inactive() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let first = sign_up_alice(&server).await;
    let device = json!({ "device_id": first["device_id"] });
    let again = log_in(&server, &device).await;
    assert!(!is_active(&url, &first).await, "replaced by a login");
    assert!(is_active(&url, &again).await);
    let others = [log_in(&server, &json!({})).await, again];
    let logout = async |answer: &Value, path: &str| {
        let path = format!("/_matrix/client/v3/{path}");
        let token = text(answer, "access_token");
        post_as(&server, token, &path, &json!({})).await.ok();
    };
    let last = log_in(&server, &json!({})).await;
    logout(&last, "logout").await;
    assert!(!is_active(&url, &last).await, "logged out");
    for other in &others {
        assert!(is_active(&url, other).await);
    }
    logout(&others[0], "logout/all").await;
    for other in &others {
        assert!(!is_active(&url, other).await, "logged out everywhere");
    }
}

#[tokio::test]
async fn hs_04_a_guests_token_is_inactive() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let url = FunctionUrl::of(&server);
    let guest = register_guest(&server).await;
    whoami_as(&server, &guest).await.ok();
    assert!(!is_active(&url, &guest).await);
}

/// HS-04: the expiry is exact to the millisecond.
#[tokio::test]
async fn hs_05_the_lifetime_is_an_integer_until_the_end() {
    let server = TestServer::with(&[("GATEHOUSE_TOKEN_LIFETIME", "1h")]).await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    let token = text(&alice, "access_token");
    for (millis, expected) in [(0, 3600), (1, 3600), (999, 3599), (3_598_000, 1), (999, 1)] {
        server.advance(Duration::from_millis(millis));
        let answer = url.introspect(token).await;
        assert_eq!(answer["expires_in"], json!(expected), "{answer}");
    }
    server.advance(Duration::from_millis(1));
    assert!(!url.is_active(token).await);
}

/// OA-136, OA-137
#[tokio::test]
async fn hs_05_an_active_token_has_user_device_and_scope() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let body = with(
        dummy_registration("alice"),
        &json!({ "device_id": "PHONE" }),
    );
    let alice = server.register(&body).await.ok();
    let reply = url.send(introspection(text(&alice, "access_token"))).await;
    assert_uncached(&reply);
    let expected = json!({
        "active": true,
        "scope": "openid urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:client:device:PHONE",
        "username": "alice",
        "sub": "alice",
        "device_id": "PHONE",
        "client_id": "legacy",
        "token_type": "Bearer",
    });
    assert_eq!(reply.ok(), expected);
}

/// Palpo sends the token alone.
#[tokio::test]
async fn hs_05_hint_and_other_headers_are_not_needed() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    let bearer = format!("bearer {HOMESERVER_SECRET}");
    let headers = [("authorization", bearer.as_str())];
    let form = format!("token={}", text(&alice, "access_token"));
    let reply = url
        .send(request("POST", INTROSPECT, &headers, form.as_bytes()))
        .await;
    assert_eq!(reply.ok()["active"], true);
}

/// A client chooses its device ID. Homeservers split the scope at blanks, Palpo at all of Unicode.
#[tokio::test]
async fn hs_06_a_device_id_adds_no_scope() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    sign_up_alice(&server).await;
    let plain = "openid urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:*";
    for device in [
        "X urn:synapse:admin:*",
        " urn:synapse:admin:*",
        "X\u{a0}urn:synapse:admin:*",
        "X\u{2003}urn:synapse:admin:*",
        "X urn:matrix:client:device:Y",
        "a\"b",
        "a\\b",
        "Ünicode",
    ] {
        let answer = log_in(&server, &json!({ "device_id": device })).await;
        let answer = url.introspect(text(&answer, "access_token")).await;
        assert_eq!(answer["scope"], plain, "{device}");
        assert_eq!(answer["device_id"], device);
    }
    for device in [
        "X:urn:synapse:admin:*",
        "a.b-c_d~e+f/g=",
        "!#$%&'()*,;<>?@[]^`{|}",
    ] {
        let answer = log_in(&server, &json!({ "device_id": device })).await;
        let answer = url.introspect(text(&answer, "access_token")).await;
        let scope = format!("{plain} urn:matrix:client:device:{device}");
        assert_eq!(answer["scope"], scope);
        assert_eq!(answer["device_id"], device);
    }
}

#[tokio::test]
async fn hs_07_the_first_introspection_ends_the_old_pair() {
    let server = TestServer::with(&[("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h")]).await;
    let url = FunctionUrl::of(&server);
    sign_up_alice(&server).await;
    let mut pair = log_in(&server, &json!({ "refresh_token": true })).await;
    for _ in 0..3 {
        let next = refresh(&server, &pair).await;
        // The response to the refresh may have been lost, so the old pair is still valid.
        assert!(is_active(&url, &pair).await);
        assert_eq!(refresh(&server, &pair).await, next);
        assert!(is_active(&url, &next).await);
        assert!(!is_active(&url, &pair).await);
        let body = json!({ "refresh_token": pair["refresh_token"] });
        let reply = server.post(REFRESH, &body).await;
        reply.error(401, "M_UNKNOWN_TOKEN");
        assert!(is_active(&url, &next).await);
        pair = next;
    }
}

/// A homeserver keeps `active: false` for minutes, and keeps no failure.
#[tokio::test]
async fn hs_04_a_failed_read_is_not_inactive() {
    let server = TestServer::new().await;
    let url = FunctionUrl::of(&server);
    let alice = sign_up_alice(&server).await;
    let fault = Fault::new(FaultKind::InternalError).times(1000);
    server.local.proxy().inject(fault);
    let reply = url.send(introspection(text(&alice, "access_token"))).await;
    reply.error(500, "M_UNKNOWN");
    server.local.proxy().clear_faults();
    assert!(is_active(&url, &alice).await);
}

/// The route of the API. The account is made before the homeserver is configured. Until the homeserver has it, a user
/// there with its name belongs to another person (HS-12).
#[tokio::test]
async fn hs_05_the_api_has_the_same_endpoint() {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let server = TestServer::in_directory(&[], directory.path()).await;
    let alice = sign_up_alice(&server).await;
    drop(server);
    let server = TestServer::in_directory(&HOMESERVER, directory.path()).await;
    let ask = || server.send(introspection(text(&alice, "access_token")));
    for state in ["none", "provisioning", "foreign"] {
        set_homeserver_state(&server, "alice", state);
        assert_eq!(ask().await.ok(), json!({ "active": false }), "{state}");
    }
    set_homeserver_state(&server, "alice", "provisioned");
    let answer = ask().await.ok();
    assert_eq!(
        (&answer["active"], &answer["username"]),
        (&json!(true), &json!("alice"))
    );
    let get = server.get(INTROSPECT).await;
    get.error(405, "M_UNRECOGNIZED");
}
