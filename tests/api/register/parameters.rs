//! The parameters of the body.

use serde_json::{Value, json};
use shared::{passwords::Hasher, rng::Rng, secrets::Secret};
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::api::{
    rows::{accounts, devices, password_hash, uia_sessions},
    support::{dummy_registration, text, whoami},
};

/// A registration in one request, with an additional member.
fn with(member: &str, value: Value) -> Value {
    let mut body = dummy_registration("alice");
    body[member] = value;
    body
}

#[tokio::test]
async fn reg_01_kind_is_user_or_guest_and_nothing_else() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register");
        for query in ["", "?kind=user"] {
            server
                .post(&format!("{path}{query}"), &json!({}))
                .await
                .challenge();
        }
        let guest = server.post(&format!("{path}?kind=guest"), &json!({})).await;
        let me = whoami(&server, text(&guest.ok(), "access_token")).await;
        assert_eq!(me["is_guest"], true);
        for kind in [
            "admin",
            "",
            "User",
            "GUEST",
            "guest%20",
            "user,guest",
            "%FF",
        ] {
            let reply = server
                .post(
                    &format!("{path}?kind={kind}"),
                    &with("username", json!("x")),
                )
                .await;
            reply.error(400, "M_INVALID_PARAM");
        }
    }
    assert_eq!(accounts(&server), 2, "the two guests");
}

/// REG-17, REG-18, TOK-08: the longest IDs are accepted too.
#[tokio::test]
async fn reg_17_a_given_device_id_is_returned_and_created() {
    let (ascii, emoji) = ("D".repeat(255), "\u{1F600}".repeat(255));
    let server = TestServer::new().await;
    for (name, device) in [
        ("a", "PHONE"),
        ("b", "my phone / 2.0 (ü)"),
        ("c", ascii.as_str()),
        ("d", emoji.as_str()),
    ] {
        let mut body = with("device_id", json!(device));
        body["username"] = json!(name);
        let answer = server.register(&body).await.ok();
        assert_eq!(answer["device_id"], device);
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["device_id"], device);
        assert_eq!(devices(&server, name).len(), 1);
    }
}

#[tokio::test]
async fn reg_17_without_a_device_id_the_server_generates_one() {
    let server = TestServer::new().await;
    let mut seen = std::collections::BTreeSet::new();
    for (name, device) in [("a", json!(null)), ("b", json!("")), ("c", json!(null))] {
        let mut body = with("device_id", device);
        body["username"] = json!(name);
        let answer = server.register(&body).await.ok();
        let generated = text(&answer, "device_id").to_owned();
        assert!(!generated.is_empty());
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["device_id"], generated);
        assert!(seen.insert(generated), "generated twice");
    }
}

#[tokio::test]
async fn reg_17_an_invalid_device_id_is_refused_before_uia() {
    let server = TestServer::new().await;
    for device in ["D".repeat(256), "a\nb".to_owned(), "\0".to_owned()] {
        for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
            let mut body = with("device_id", json!(device));
            body["auth"] = auth;
            server.register(&body).await.error(400, "M_INVALID_PARAM");
        }
    }
    assert_eq!((accounts(&server), uia_sessions(&server).len()), (0, 0));
}

/// REG-19, HTTP-26: the name is stored unchanged and has at most 100 characters.
#[tokio::test]
async fn reg_19_the_display_name_is_stored_with_the_new_device() {
    let server = TestServer::new().await;
    let longest = "ü".repeat(100);
    for (name, display_name) in [("a", "Ålice’s 📱 <b>"), ("b", longest.as_str())] {
        let mut body = with("initial_device_display_name", json!(display_name));
        body["username"] = json!(name);
        server.register(&body).await.ok();
        let stored = devices(&server, name)[0].display_name.clone();
        assert_eq!(stored.as_deref(), Some(display_name));
    }
    let body = with("initial_device_display_name", json!("ü".repeat(101)));
    server.register(&body).await.error(400, "M_INVALID_PARAM");
    assert_eq!(accounts(&server), 2);
}

#[tokio::test]
async fn reg_20_an_inhibited_login_has_no_token_and_no_device() {
    let server = TestServer::new().await;
    for (prefix, name) in PREFIXES.into_iter().zip(["a", "b"]) {
        let mut body = with("inhibit_login", json!(true));
        body["username"] = json!(name);
        body["refresh_token"] = json!(true);
        body["device_id"] = json!("PHONE");
        let answer = server.post(&format!("{prefix}/register"), &body).await.ok();
        assert_eq!(
            answer,
            json!({ "user_id": format!("@{name}:localhost"), "home_server": "localhost" })
        );
        assert_eq!(devices(&server, name).len(), 0);
    }
    let answer = server.register(&with("inhibit_login", json!(false))).await;
    assert!(answer.ok()["access_token"].is_string());
}

/// REG-23: the error comes after UIA, and the session remains valid for a request with the
/// password.
#[tokio::test]
async fn reg_23_a_missing_password_is_reported_after_uia() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        server
            .post(&format!("{prefix}/register"), &json!({}))
            .await
            .challenge();
        let body = json!({ "auth": { "type": "m.login.dummy" } });
        let reply = server.post(&format!("{prefix}/register"), &body).await;
        reply.error(400, "M_MISSING_PARAM");
    }
    let (_, session) = server.begin(&json!({ "username": "alice" })).await;
    let auth = json!({ "type": "m.login.dummy", "session": session });
    let reply = server.register(&json!({ "auth": auth })).await;
    reply.error(400, "M_MISSING_PARAM");
    assert_eq!(accounts(&server), 0);
    let body = json!({ "password": PASSWORD, "auth": { "session": session } });
    let answer = server.register(&body).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn reg_24_a_weak_password_is_refused_before_uia() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    for (name, password) in [
        ("alice", ""),
        ("alice", "a"),
        ("alice", "password1"),
        ("gatekeeper-of-oz", "gatekeeper-of-oz1"),
    ] {
        for prefix in PREFIXES {
            for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
                let body = json!({ "username": name, "password": password, "auth": auth });
                let reply = server.post(&format!("{prefix}/register"), &body).await;
                reply.error(400, "M_WEAK_PASSWORD");
            }
        }
    }
    assert_eq!((accounts(&server), uia_sessions(&server).len()), (0, 0));
    server.sign_up("alice").await;
}

/// REG-24: without a policy, only the empty password is weak. The maximum is 512 bytes.
#[tokio::test]
async fn reg_24_empty_and_overlong_passwords_are_always_refused() {
    let server = TestServer::new().await;
    let empty = server.register(&json!({ "password": "" })).await;
    empty.error(400, "M_WEAK_PASSWORD");
    let too_long = server
        .register(&json!({ "password": "ü".repeat(257) }))
        .await;
    too_long.error(400, "M_INVALID_PARAM");
    assert_eq!(uia_sessions(&server).len(), 0);
    for (name, password) in [("a", "x".to_owned()), ("b", "ü".repeat(256))] {
        let body =
            json!({ "username": name, "password": password, "auth": { "type": "m.login.dummy" } });
        server.register(&body).await.ok();
    }
}

/// A generator that returns the salt of a stored argon2 hash.
#[derive(Debug)]
struct SameSalt(Vec<u8>);

impl SameSalt {
    /// Reads the salt from `$argon2id$v=19$m=…$salt$hash`.
    fn of(phc: &str) -> Self {
        const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
        for c in phc.split('$').nth(4).unwrap_or_default().chars() {
            let index = ALPHABET.find(c).unwrap_or_else(|| panic!("{phc}"));
            bits = bits << 6 | u32::try_from(index).unwrap_or_default();
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xFF).unwrap_or_default());
            }
        }
        Self(bytes)
    }
}

impl Rng for SameSalt {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }
}

/// Whether this is the password of the account.
async fn has_password(server: &TestServer, localpart: &str, password: &str) -> bool {
    let phc = password_hash(server, localpart);
    let phc = phc.unwrap_or_else(|| panic!("{localpart} has no password"));
    let hasher = Hasher::new(server.local.config().passwords.clone());
    let again = hasher
        .hash(&Secret::new(password.to_owned()), &SameSalt::of(&phc))
        .await;
    phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$") && again.is_ok_and(|again| again.phc == phc)
}

/// REG-25, HTTP-26: the password comes from the body, and no member of `auth` replaces it.
#[tokio::test]
async fn reg_25_no_member_of_auth_becomes_the_password() {
    let server = TestServer::new().await;
    let auth = json!({ "type": "m.login.dummy", "password": "not this one", "user": "alice" });
    let mut body = json!({ "username": "alice", "auth": auth });
    server.register(&body).await.error(400, "M_MISSING_PARAM");
    assert_eq!(accounts(&server), 0);
    body["password"] = json!("übers3kr1t");
    server.register(&body).await.ok();
    assert!(has_password(&server, "alice", "übers3kr1t").await);
    for other in ["not this one", "ubers3kr1t", "übers3kr1t ", ""] {
        assert!(!has_password(&server, "alice", other).await, "{other}");
    }
}

/// REG-25, UIA-19: the session stores the first password, and a later password replaces it.
#[tokio::test]
async fn reg_25_the_last_password_of_a_session_is_stored() {
    let server = TestServer::new().await;
    for (name, last, expected) in [
        ("a", json!(null), "first ünd remembered"),
        ("b", json!("second"), "second"),
    ] {
        let body = json!({ "username": name, "password": "first ünd remembered" });
        let (_, session) = server.begin(&body).await;
        let auth = json!({ "type": "m.login.dummy", "session": session });
        let body = json!({ "password": last, "auth": auth });
        server.register(&body).await.ok();
        assert!(has_password(&server, name, expected).await, "{name}");
    }
}

#[tokio::test]
async fn reg_36_a_display_name_alone_keeps_remembered_parameters() {
    let server = TestServer::new().await;
    let first = json!({ "username": "alice", "password": PASSWORD, "device_id": "PHONE", "inhibit_login": false });
    let (_, session) = server.begin(&first).await;
    let last = json!({
        "initial_device_display_name": "Riot",
        "auth": { "type": "m.login.dummy", "session": session },
    });
    let answer = server.register(&last).await.ok();
    assert_eq!(answer["user_id"], "@alice:localhost");
    assert_eq!(answer["device_id"], "PHONE");
    assert!(password_hash(&server, "alice").is_some());
    let stored = devices(&server, "alice")[0].display_name.clone();
    assert_eq!(stored.as_deref(), Some("Riot"));
}

/// HTTP-15, HTTP-16: a value is never converted, and a wrong type is rejected before the first 401.
#[tokio::test]
async fn http_16_a_member_of_the_wrong_type_is_refused() {
    let server = TestServer::new().await;
    let non_strings = [json!(5), json!(true), json!([]), json!({}), json!(1.5)];
    let non_booleans = [json!("yes"), json!("true"), json!(1), json!([]), json!({})];
    let non_objects = [json!([]), json!("m.login.dummy"), json!(1), json!(true)];
    let table = [
        ("username", &non_strings[..]),
        ("password", &non_strings),
        ("device_id", &non_strings),
        ("initial_device_display_name", &non_strings),
        ("guest_access_token", &non_strings),
        ("inhibit_login", &non_booleans),
        ("refresh_token", &non_booleans),
        ("bind_email", &non_booleans),
        ("bind_msisdn", &non_booleans),
        ("auth", &non_objects),
    ];
    for prefix in PREFIXES {
        for (member, values) in &table {
            for value in *values {
                let body = json!({ *member: value });
                let reply = server.post(&format!("{prefix}/register"), &body).await;
                reply.error(400, "M_BAD_JSON");
            }
        }
        for auth in [json!({ "type": 5 }), json!({ "session": ["x"] })] {
            let body = json!({ "auth": auth });
            let reply = server.post(&format!("{prefix}/register"), &body).await;
            reply.error(400, "M_BAD_JSON");
        }
    }
    assert_eq!((accounts(&server), uia_sessions(&server).len()), (0, 0));
}

#[tokio::test]
async fn http_16_null_is_absent() {
    let server = TestServer::new().await;
    let nothing = json!({
        "username": null, "password": null, "device_id": null, "initial_device_display_name": null,
        "inhibit_login": null, "refresh_token": null, "guest_access_token": null,
        "bind_email": null, "bind_msisdn": null, "auth": null, "type": null,
    });
    let challenge = server.register(&nothing).await.challenge();
    assert!(challenge.get("errcode").is_none());
}

/// HTTP-17: `bind_email` and `bind_msisdn` have no effect without a validated 3PID.
#[tokio::test]
async fn http_17_unknown_members_and_parameters_are_ignored() {
    let server = TestServer::new().await;
    let mut body = with("zzz", json!(1));
    body["bind_email"] = json!(true);
    body["bind_msisdn"] = json!(false);
    body["auth"]["zzz"] = json!([{}]);
    let reply = server
        .post(
            "/_matrix/client/v3/register?zzz=1&kind=user&user_id=@x:y",
            &body,
        )
        .await;
    assert_eq!(reply.ok()["user_id"], "@alice:localhost");
}
