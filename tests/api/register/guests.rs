//! Guests, and their upgrade to users.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};
use tokio::task::JoinSet;

use crate::api::{
    rows::{accounts, devices, password_hash},
    support::{WHOAMI, register_guest, set_status, text, whoami},
};

const GUESTS: [(&str, &str); 1] = [("GATEHOUSE_GUESTS", "true")];
const GUEST_PATH: &str = "/_matrix/client/v3/register?kind=guest";

/// A guest's name, token and device.
struct Guest {
    name: String,
    token: String,
    device: String,
}

async fn new_guest(server: &TestServer) -> Guest {
    let answer = register_guest(server).await;
    Guest {
        name: localpart(&answer),
        token: text(&answer, "access_token").to_owned(),
        device: text(&answer, "device_id").to_owned(),
    }
}

fn localpart(answer: &Value) -> String {
    text(answer, "user_id")
        .trim_start_matches('@')
        .trim_end_matches(":localhost")
        .to_owned()
}

fn upgrade(name: &str, token: &str) -> Value {
    json!({
        "username": name, "password": PASSWORD, "guest_access_token": token,
        "auth": { "type": "m.login.dummy" },
    })
}

/// GUEST-01, UIA-28.
#[tokio::test]
async fn guest_01_a_guest_needs_one_request_and_no_uia() {
    let server = TestServer::with(&GUESTS).await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register?kind=guest");
        let answer = server.post(&path, &json!({})).await.ok();
        assert_eq!(answer["home_server"], "localhost");
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(
            me,
            json!({ "user_id": answer["user_id"], "device_id": answer["device_id"], "is_guest": true })
        );
        let password = password_hash(&server, &localpart(&answer));
        assert!(password.is_none(), "a guest has a password");
    }
}

#[tokio::test]
async fn guest_01_even_a_guests_body_must_be_json() {
    let server = TestServer::with(&GUESTS).await;
    server
        .post_text(GUEST_PATH, "")
        .await
        .error(400, "M_NOT_JSON");
    server
        .post_text(GUEST_PATH, "[]")
        .await
        .error(400, "M_BAD_JSON");
    assert_eq!(accounts(&server), 0);
}

/// GUEST-02, GUEST-03: the test sends members of valid and of wrong types.
#[tokio::test]
async fn guest_02_all_members_but_the_display_name_are_ignored() {
    let server = TestServer::with(&GUESTS).await;
    let valid = json!({
        "username": "alice", "password": PASSWORD, "device_id": "PHONE", "inhibit_login": true,
        "refresh_token": true, "initial_device_display_name": "Kiosk", "auth": { "session": "x" },
        "type": "m.login.application_service", "guest_access_token": "x",
    });
    let invalid = json!({
        "username": 5, "password": {}, "device_id": [], "inhibit_login": "yes", "refresh_token": 1,
        "auth": [], "type": 7, "guest_access_token": false, "initial_device_display_name": 9,
    });
    for (body, display_name) in [(valid, Some("Kiosk".to_owned())), (invalid, None)] {
        let answer = server.post(GUEST_PATH, &body).await.ok();
        assert_ne!(answer["user_id"], "@alice:localhost");
        assert_ne!(answer["device_id"], "PHONE");
        assert!(answer.get("refresh_token").is_none());
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["device_id"], answer["device_id"]);
        let name = localpart(&answer);
        assert!(password_hash(&server, &name).is_none());
        assert_eq!(devices(&server, &name)[0].display_name, display_name);
    }
    server.sign_up("alice").await;
}

#[tokio::test]
async fn guest_04_without_guests_the_answer_is_403_for_any_body() {
    let server = TestServer::new().await;
    for body in ["{}", "", "[]", r#"{"username":5}"#] {
        server
            .post_text(GUEST_PATH, body)
            .await
            .error(403, "M_FORBIDDEN");
    }
    assert_eq!(accounts(&server), 0);
}

/// GUEST-05, REG-08, REG-35: the name consists only of digits. No user may choose such a name.
#[tokio::test]
async fn guest_05_guest_names_are_valid_and_unique() {
    let server = TestServer::with(&GUESTS).await;
    let (mut names, mut devices) = (
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    );
    for _ in 0..20 {
        let guest = new_guest(&server).await;
        assert!(
            guest.name.bytes().all(|b| b.is_ascii_digit()),
            "{}",
            guest.name
        );
        let body = json!({ "username": guest.name });
        server
            .register(&body)
            .await
            .error(400, "M_INVALID_USERNAME");
        assert!(names.insert(guest.name) && devices.insert(guest.device));
    }
}

#[tokio::test]
async fn guest_06_a_guests_token_ends_with_its_lifetime() {
    let server = TestServer::with(&[
        ("GATEHOUSE_GUESTS", "true"),
        ("GATEHOUSE_GUEST_LIFETIME", "1h"),
    ])
    .await;
    let answer = register_guest(&server).await;
    assert_eq!(answer["expires_in_ms"], 3_600_000);
    let token = text(&answer, "access_token");
    server.advance(Duration::from_millis(3_599_999));
    assert_eq!(whoami(&server, token).await["is_guest"], true);
    server.advance(Duration::from_millis(1));
    server
        .get_as(token, WHOAMI)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
}

/// GUEST-08, TOK-09: the upgraded account is the same user and no longer a guest. The guest's token
/// is invalid although the device keeps its ID.
#[tokio::test]
async fn guest_08_a_guest_becomes_a_user_of_the_same_name() {
    let server = TestServer::with(&GUESTS).await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register");
        let guest = new_guest(&server).await;
        let mut body = upgrade(&guest.name, &guest.token);
        body["device_id"] = json!(guest.device);
        body["auth"] = json!(null);
        let challenge = server.post(&path, &body).await.challenge();
        assert_eq!(whoami(&server, &guest.token).await["is_guest"], true);
        let last = json!({ "auth": { "type": "m.login.dummy", "session": challenge["session"] } });
        let answer = server.post(&path, &last).await.ok();
        assert_eq!(localpart(&answer), guest.name);
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(
            me,
            json!({ "user_id": answer["user_id"], "device_id": guest.device, "is_guest": false })
        );
        let old_token = server.get_as(&guest.token, WHOAMI).await;
        old_token.error(401, "M_UNKNOWN_TOKEN");
        assert!(password_hash(&server, &guest.name).is_some());
    }
    assert_eq!(accounts(&server), 2);
}

#[tokio::test]
async fn guest_08_an_upgrade_on_another_device_ends_the_token_too() {
    let server = TestServer::with(&GUESTS).await;
    let guest = new_guest(&server).await;
    let answer = server
        .register(&upgrade(&guest.name, &guest.token))
        .await
        .ok();
    assert_ne!(answer["device_id"], guest.device);
    server
        .get_as(&guest.token, WHOAMI)
        .await
        .error(401, "M_UNKNOWN_TOKEN");
    whoami(&server, text(&answer, "access_token")).await;
}

/// GUEST-08, UIA-09: the test sends the request with and without `auth`.
#[tokio::test]
async fn guest_08_an_upgrade_with_a_wrong_token_is_refused() {
    let server = TestServer::with(&GUESTS).await;
    let (guest, other) = (new_guest(&server).await, new_guest(&server).await);
    let alice = server.sign_up("alice").await;
    let upgraded = new_guest(&server).await;
    server
        .register(&upgrade(&upgraded.name, &upgraded.token))
        .await
        .ok();
    let before = server.dump();
    let mut flipped = guest.token.clone();
    let last = flipped.pop().unwrap();
    flipped.push(if last == 'A' { 'B' } else { 'A' });
    let no_name = json!(null);
    let table = [
        (
            "another guest's token",
            json!(guest.name),
            other.token.as_str(),
        ),
        (
            "a user's token",
            json!("alice"),
            text(&alice, "access_token"),
        ),
        (
            "a user's token for a guest",
            json!(guest.name),
            text(&alice, "access_token"),
        ),
        ("another name", json!("bob"), &guest.token),
        ("another guest's name", json!(other.name), &guest.token),
        ("a user's name", json!("alice"), &guest.token),
        ("no name", no_name, &guest.token),
        ("an invalid name", json!("@"), &guest.token),
        ("junk", json!(guest.name), "junk"),
        ("nothing", json!(guest.name), ""),
        ("a token with its end changed", json!(guest.name), &flipped),
        (
            "an upgraded guest's token",
            json!(upgraded.name),
            &upgraded.token,
        ),
    ];
    for (what, name, token) in table {
        for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
            let body = json!({
                "username": name, "password": PASSWORD, "guest_access_token": token, "auth": auth,
            });
            let reply = server.register(&body).await;
            assert_eq!(reply.status, 403, "{what}: {}", reply.text());
            reply.error(403, "M_FORBIDDEN");
        }
    }
    assert_eq!(server.dump(), before);
    assert_eq!(whoami(&server, &guest.token).await["is_guest"], true);
}

#[tokio::test]
async fn guest_08_of_ten_concurrent_upgrades_one_succeeds() {
    let server = Arc::new(TestServer::with(&GUESTS).await);
    let guest = new_guest(&server).await;
    let body = Arc::new(upgrade(&guest.name, &guest.token));
    let mut requests = JoinSet::new();
    for _ in 0..10 {
        let (server, body) = (Arc::clone(&server), Arc::clone(&body));
        requests.spawn(async move { server.register(&body).await });
    }
    let replies = requests.join_all().await;
    let (succeeded, refused): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((succeeded.len(), refused.len()), (1, 9));
    for reply in refused {
        reply.error(403, "M_FORBIDDEN");
    }
    let me = whoami(&server, text(&succeeded[0].ok(), "access_token")).await;
    assert_eq!(me["is_guest"], false);
}

/// Incident 13: an upgrade returns a token, so it is rejected for accounts that may have no token.
#[tokio::test]
async fn guest_08_locked_or_expired_guests_are_not_upgraded() {
    let server = TestServer::with(&GUESTS).await;
    for status in ["locked", "deactivated"] {
        let guest = new_guest(&server).await;
        set_status(&server, &guest.name, status);
        let reply = server.register(&upgrade(&guest.name, &guest.token)).await;
        reply.error(403, "M_FORBIDDEN");
    }
    let guest = new_guest(&server).await;
    let mut open = upgrade(&guest.name, &guest.token);
    open["auth"] = json!(null);
    let (_, session) = server.begin(&open).await;
    set_status(&server, &guest.name, "deactivated");
    let last = json!({ "auth": { "type": "m.login.dummy", "session": session } });
    server.register(&last).await.error(403, "M_FORBIDDEN");

    let guest = new_guest(&server).await;
    server.advance(Duration::from_hours(30 * 24));
    let reply = server.register(&upgrade(&guest.name, &guest.token)).await;
    reply.error(403, "M_FORBIDDEN");
}
