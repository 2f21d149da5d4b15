//! Names: grammar, policy and uniqueness.

use std::sync::Arc;

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};
use tokio::task::JoinSet;

use crate::api::{
    rows::{accounts, devices, uia_sessions},
    support::{dummy_registration, set_status, text, whoami},
};

/// Whether the grammar allows the character in a localpart. Capitals are allowed.
fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._=-/+".contains(c)
}

#[tokio::test]
async fn reg_02_a_user_id_is_built_from_the_username() {
    let server = TestServer::new().await;
    for (prefix, name) in PREFIXES.into_iter().zip(["alice", "bob"]) {
        let body = dummy_registration(name);
        let answer = server.post(&format!("{prefix}/register"), &body).await.ok();
        let expected = format!("@{name}:localhost");
        assert_eq!(answer["user_id"], expected, "{prefix}");
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["user_id"], expected, "{prefix}");
    }
}

#[tokio::test]
async fn reg_04_ascii_capitals_are_folded() {
    let server = TestServer::new().await;
    for (typed, user_id) in [
        ("user-UPPER", "@user-upper:localhost"),
        ("ALICE", "@alice:localhost"),
        ("A.B_C=D-E/F+G", "@a.b_c=d-e/f+g:localhost"),
    ] {
        let answer = server.sign_up(typed).await;
        assert_eq!(answer["user_id"], user_id, "{typed}");
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["user_id"], user_id, "{typed}");
    }
}

/// REG-03, REG-05, REG-06, REG-10, REG-13: the test sends every illegal ASCII character, and other characters that are
/// lookalikes or have broken other servers. No response depends on the prefix or on `auth`, and nothing is written.
#[tokio::test]
async fn reg_05_illegal_characters_are_refused_before_uia() {
    let server = TestServer::new().await;
    let before = server.dump();
    let beyond = "£éßıſ\u{212A}\u{FF41}\u{0301}\u{200B}\u{202E}\u{FFFD}\u{1F600}".chars();
    let mut refused = 0;
    for c in (0..=127u8)
        .map(char::from)
        .filter(|c| !is_legal(*c))
        .chain(beyond)
    {
        for name in [
            format!("user{c}name"),
            format!("{c}user"),
            format!("user{c}"),
        ] {
            for (prefix, body) in [
                (PREFIXES[0], json!({ "username": name })),
                (PREFIXES[1], dummy_registration(&name)),
            ] {
                let reply = server.post(&format!("{prefix}/register"), &body).await;
                reply.error(400, "M_INVALID_USERNAME");
            }
        }
        refused += 1;
    }
    assert!(refused > 60, "too few characters were tested");
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn reg_05_the_kelvin_sign_is_not_a_k() {
    let server = TestServer::new().await;
    server.sign_up("kelvin").await;
    let body = json!({ "username": "\u{212A}elvin" });
    server
        .register(&body)
        .await
        .error(400, "M_INVALID_USERNAME");
}

#[tokio::test]
async fn reg_06_each_legal_character_registers() {
    let server = TestServer::new().await;
    let legal: Vec<char> = (0..=127u8)
        .map(char::from)
        .filter(|c| is_legal(*c) && !c.is_ascii_uppercase())
        .collect();
    assert_eq!(legal.len(), 26 + 10 + 6);
    for c in legal {
        let name = format!("x{c}");
        let answer = server.sign_up(&name).await;
        assert_eq!(answer["user_id"], format!("@{name}:localhost"));
    }
    server.sign_up("a").await;
}

#[tokio::test]
async fn reg_06_the_empty_name_is_refused() {
    let server = TestServer::new().await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/register");
        let reply = server.post(&path, &json!({ "username": "" })).await;
        reply.error(400, "M_INVALID_USERNAME");
    }
    assert_eq!(uia_sessions(&server).len(), 0);
}

#[tokio::test]
async fn reg_07_a_user_id_of_255_bytes_passes_and_256_fails() {
    for server_name in ["localhost", "matrix.example.org:8448"] {
        let server = TestServer::with(&[("GATEHOUSE_SERVER_NAME", server_name)]).await;
        let room = 255 - "@:".len() - server_name.len();
        let longest = "a".repeat(room);
        let answer = server.sign_up(&longest).await;
        assert_eq!(text(&answer, "user_id").len(), 255);
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["user_id"], answer["user_id"]);
        for too_long in [room + 1, 10_000] {
            let body = json!({ "username": "b".repeat(too_long) });
            server
                .register(&body)
                .await
                .error(400, "M_INVALID_USERNAME");
        }
    }
}

/// REG-08, REG-09: a generated name cannot be guessed.
#[tokio::test]
async fn reg_09_generated_usernames_are_valid_and_unique() {
    let server = TestServer::new().await;
    let body = json!({ "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let answer = server.register(&body).await.ok();
        let user_id = text(&answer, "user_id").to_owned();
        let name = user_id.strip_prefix('@').unwrap();
        let name = name.strip_suffix(":localhost").unwrap();
        assert!(!name.is_empty() && name.chars().all(is_legal), "{user_id}");
        assert_eq!(name, name.to_ascii_lowercase());
        let me = whoami(&server, text(&answer, "access_token")).await;
        assert_eq!(me["user_id"], user_id);
        assert!(seen.insert(user_id), "generated twice: {answer}");
    }
    assert_eq!(accounts(&server), 20);
}

/// REG-11, REG-13: neither the case of the letters nor `auth` has an effect.
#[tokio::test]
async fn reg_11_a_taken_name_is_refused_before_uia() {
    let server = TestServer::new().await;
    let alice = server.sign_up("alice").await;
    let before = server.dump();
    for prefix in PREFIXES {
        for name in ["alice", "ALICE", "Alice"] {
            for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
                let body = json!({ "username": name, "password": "another one", "auth": auth });
                let reply = server.post(&format!("{prefix}/register"), &body).await;
                reply.error(400, "M_USER_IN_USE");
            }
        }
    }
    assert_eq!(server.dump(), before);
    let me = whoami(&server, text(&alice, "access_token")).await;
    assert_eq!(me["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn reg_14_a_name_taken_during_uia_is_refused_at_the_end() {
    let server = TestServer::new().await;
    let (_, session) = server
        .begin(&json!({ "username": "alice", "password": PASSWORD }))
        .await;
    let registered = server.sign_up("alice").await;
    let body = json!({ "auth": { "type": "m.login.dummy", "session": session } });
    server.register(&body).await.error(400, "M_USER_IN_USE");
    let me = whoami(&server, text(&registered, "access_token")).await;
    assert_eq!(me["device_id"], registered["device_id"]);
    assert_eq!(accounts(&server), 1);
}

#[tokio::test]
async fn reg_14_of_twenty_concurrent_registrations_one_succeeds() {
    let server = Arc::new(TestServer::new().await);
    let mut requests = JoinSet::new();
    for index in 0..20 {
        let server = Arc::clone(&server);
        requests.spawn(async move {
            // Half of the requests use capitals.
            let name = if index % 2 == 0 { "alice" } else { "ALICE" };
            let body = dummy_registration(name);
            server.register(&body).await
        });
    }
    let replies = requests.join_all().await;
    let (succeeded, refused): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((succeeded.len(), refused.len()), (1, 19));
    for reply in refused {
        reply.error(400, "M_USER_IN_USE");
    }
    let answer = succeeded[0].ok();
    let me = whoami(&server, text(&answer, "access_token")).await;
    assert_eq!(me["user_id"], "@alice:localhost");
    let devices = devices(&server, "alice");
    assert_eq!(devices.len(), 1, "a rejected registration left a device");
}

#[tokio::test]
async fn reg_15_the_401_steps_reserve_nothing() {
    let server = TestServer::new().await;
    server
        .begin(&json!({ "username": "alice", "password": PASSWORD }))
        .await;
    assert_eq!(accounts(&server), 0);
    let free = "/_matrix/client/v3/register/available?username=alice";
    assert_eq!(server.get(free).await.ok(), json!({ "available": true }));
    assert_eq!(server.sign_up("alice").await["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn reg_16_a_deactivated_users_name_stays_taken() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    set_status(&server, "alice", "deactivated");
    let before = server.dump();
    for auth in [json!(null), json!({ "type": "m.login.dummy" })] {
        let body = json!({ "username": "Alice", "password": PASSWORD, "auth": auth });
        server.register(&body).await.error(400, "M_USER_IN_USE");
    }
    assert_eq!(server.dump(), before);
}

/// REG-13, REG-35.
#[tokio::test]
async fn reg_35_names_against_the_policy_are_refused_before_uia() {
    for (settings, refused, accepted) in [
        (
            &[][..],
            &["_x", "_", "123", "0", "abuse", "Postmaster"][..],
            &["x_", "123a", "abuse2"][..],
        ),
        (
            &[("GATEHOUSE_RESERVED_NAMES", "root admin")],
            &["root", "ADMIN"],
            &["abuse", "roots"],
        ),
        (
            &[("GATEHOUSE_RESERVED_NAMES", "none")],
            &["_y"],
            &["abuse", "none"],
        ),
        (
            &[("GATEHOUSE_NAME_PATTERN", "[a-z]+")],
            &["a1", "1a", "a.b", "a/"],
            &["abc", "ABE"],
        ),
        (
            &[("GATEHOUSE_NAME_LENGTH", "3-5")],
            &["ab", "abcdef"],
            &["abc", "abcde"],
        ),
    ] {
        let server = TestServer::with(settings).await;
        for name in refused {
            let body = json!({ "username": name });
            server
                .register(&body)
                .await
                .error(400, "M_INVALID_USERNAME");
        }
        assert_eq!(uia_sessions(&server).len(), 0, "{settings:?}");
        for name in accepted {
            let answer = server.sign_up(name).await;
            let expected = format!("@{}:localhost", name.to_ascii_lowercase());
            assert_eq!(answer["user_id"], expected, "{settings:?}");
        }
    }
}
