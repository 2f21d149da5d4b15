//! `GET /_matrix/key/v2/server`.

use serde_json::{Value, json};
use test_support::{NOW, TestServer};

use crate::flows::support::identity_server::verifies;

const PATHS: [&str; 2] = ["/_matrix/key/v2/server", "/_matrix/key/v2/server/"];
const SEED: &str = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1";

/// Asserts that a document is signed with each of its valid keys.
#[track_caller]
fn assert_signed(document: &Value) {
    let server = document["server_name"].as_str().unwrap_or_default();
    let keys = document["verify_keys"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    assert_eq!(keys.len(), 1, "{document}");
    for (id, key) in keys {
        let signature = document["signatures"][server][&id].as_str();
        let signature = signature.unwrap_or_default();
        assert!(verifies(&key["key"], signature, document), "{document}");
        let mut other = document.clone();
        other["valid_until_ts"] = json!(NOW);
        assert!(!verifies(&key["key"], signature, &other));
    }
}

#[tokio::test]
async fn ids_19_the_signed_key_is_served_with_and_without_a_slash() {
    let server = TestServer::with(&[("GATEHOUSE_SERVER_NAME", "example.org")]).await;
    let mut documents = Vec::new();
    for path in PATHS {
        let (reply, calls) = server.calls_of(server.get(path)).await;
        assert!(calls.is_empty(), "a table was read");
        documents.push(reply.ok());
    }
    assert_eq!(documents[0], documents[1]);
    let document = &documents[0];
    assert_signed(document);
    assert_eq!(document["server_name"], "example.org");
    assert_eq!(document["old_verify_keys"], json!({}));
    let day = 24 * 60 * 60 * 1000;
    assert_eq!(document["valid_until_ts"], NOW + day);
}

#[tokio::test]
async fn ids_19_the_key_depends_on_the_secret_only() {
    let secret = |letter: char| format!("{letter}0123456789abcdef0123456789abcdef");
    let (old, new) = (secret('a'), secret('b'));
    let mut documents = Vec::new();
    for settings in [
        vec![("GATEHOUSE_SECRET", old.as_str())],
        vec![("GATEHOUSE_SECRET", old.as_str())],
        vec![
            ("GATEHOUSE_SECRET", new.as_str()),
            ("GATEHOUSE_SECRET_PREVIOUS", old.as_str()),
        ],
    ] {
        let server = TestServer::with(&settings).await;
        documents.push(server.get(PATHS[0]).await.ok());
    }
    assert_eq!(documents[0], documents[1]);
    let (before, after) = (&documents[0], &documents[2]);
    assert_signed(after);
    assert_ne!(before["verify_keys"], after["verify_keys"]);
    let before = before["verify_keys"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (id, key) in before {
        let old = &after["old_verify_keys"][&id];
        assert_eq!(*old, json!({ "key": key["key"], "expired_ts": NOW }));
    }
}

#[tokio::test]
async fn ids_19_an_operators_own_key_is_published_instead() {
    let line = format!("ed25519 a_1 {SEED}");
    let server = TestServer::with(&[("GATEHOUSE_SIGNING_KEY", &line)]).await;
    let document = server.get(PATHS[1]).await.ok();
    assert_signed(&document);
    // This key is from the specification's test vectors.
    let expected =
        json!({ "ed25519:a_1": { "key": "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI" } });
    assert_eq!(document["verify_keys"], expected);
    assert_eq!(document["old_verify_keys"], json!({}));
    assert!(!document.to_string().contains(SEED));
}
