//! `GET /versions`.

use serde_json::{Value, json};
use test_support::TestServer;

use super::support::{WHOAMI, masked, text};

const VERSIONS: &str = "/_matrix/client/versions";

/// `rX.Y.Z` or `vX.Y`.
fn is_version(text: &str) -> bool {
    let (numbers, expected) = match text.split_at_checked(1) {
        Some(("r", rest)) => (rest, 3),
        Some(("v", rest)) => (rest, 2),
        _ => return false,
    };
    let numbers: Vec<&str> = numbers.split('.').collect();
    numbers.len() == expected && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

#[tokio::test]
async fn ver_01_versions_and_features_have_their_form() {
    let server = TestServer::new().await;
    let answer = server.get(VERSIONS).await.ok();
    let versions = answer["versions"].as_array().unwrap();
    assert!(!versions.is_empty());
    for version in versions {
        assert!(is_version(version.as_str().unwrap()), "{version}");
    }
    let features = answer["unstable_features"].as_object().unwrap();
    assert!(features.values().all(Value::is_boolean), "{answer}");
    insta::assert_snapshot!(masked(&answer, &[]), @r#"
    {
      "unstable_features": {
        "m.id_access_token": true,
        "m.require_identity_server": false,
        "m.separate_add_and_bind": true
      },
      "versions": [
        "r0.5.0",
        "r0.6.0",
        "r0.6.1",
        "v1.1",
        "v1.2",
        "v1.3",
        "v1.4",
        "v1.5",
        "v1.6",
        "v1.7",
        "v1.8",
        "v1.9",
        "v1.10",
        "v1.11",
        "v1.12",
        "v1.13",
        "v1.14",
        "v1.15"
      ]
    }
    "#);
}

#[tokio::test]
async fn ver_01_a_token_is_neither_needed_nor_examined() {
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let (plain, calls) = server.calls_of(server.get(VERSIONS)).await;
    assert!(calls.is_empty(), "{calls:?}");
    for junk in ["junk", "gha_junk"] {
        assert_eq!(server.get_as(junk, VERSIONS).await.ok(), plain.ok());
        let query = format!("{VERSIONS}?access_token={junk}");
        assert_eq!(server.get(&query).await.ok(), plain.ok());
    }
}

/// VER-02, TOK-02: versions that allow tokens in the query are listed, and such tokens work.
#[tokio::test]
async fn ver_02_the_listed_versions_are_supported() {
    let server = TestServer::new().await;
    let answer = server.get(VERSIONS).await.ok();
    let versions = answer["versions"].as_array().unwrap();
    for promised in ["r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.11"] {
        assert!(versions.contains(&json!(promised)), "{promised}");
    }
    let alice = server.sign_up("alice").await;
    let path = format!("{WHOAMI}?access_token={}", text(&alice, "access_token"));
    assert_eq!(server.get(&path).await.ok()["user_id"], "@alice:localhost");
}

#[tokio::test]
async fn ver_03_r0_5_clients_find_their_flags() {
    let server = TestServer::new().await;
    let features = server.get(VERSIONS).await.ok()["unstable_features"].clone();
    for (flag, value) in [
        ("m.require_identity_server", false),
        ("m.id_access_token", true),
        ("m.separate_add_and_bind", true),
    ] {
        assert_eq!(features[flag], value, "{flag}");
    }
}
