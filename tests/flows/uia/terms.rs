//! `m.login.terms`: the policies that are shown, and the acceptance that is recorded.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, assert_users, flows, new_token, page, registration, stage,
    submit, token_stage, with,
};

fn accepted(server: &TestServer, policy: &str) -> Vec<String> {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let key = format!("TERMS#{policy}");
    rows.iter()
        .filter(|row| row["sk"]["S"] == key.as_str())
        .map(|row| row["version"]["S"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn uia_61_the_policies_are_shown_in_every_language() {
    let server = TestServer::with(&[flows(TERMS), POLICIES]).await;
    for prefix in PREFIXES {
        let challenge = server
            .post(&format!("{prefix}/register"), &json!({}))
            .await
            .challenge();
        let policies = challenge["params"][TERMS]["policies"].as_object().unwrap();
        assert_eq!(policies.len(), 1);
        let opaque = |text: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
            (1..=255).contains(&text.len()) && text.chars().all(legal)
        };
        for (id, policy) in policies {
            assert!(opaque(id) && opaque(policy["version"].as_str().unwrap()));
            let mut languages = policy.as_object().unwrap().clone();
            languages.remove("version");
            assert_eq!(languages.keys().collect::<Vec<_>>(), ["en", "fr"]);
            for text in languages.values() {
                assert!(!text["name"].as_str().unwrap().is_empty());
                assert!(text["url"].as_str().unwrap().starts_with("https://"));
            }
        }
    }
}

#[tokio::test]
async fn uia_62_accepted_terms_are_recorded_with_their_version() {
    for by_page in [false, true] {
        let server = TestServer::with(&[flows(TERMS), POLICIES]).await;
        let (_, session) = server.begin(&registration("alice")).await;
        if by_page {
            let done = submit(&server, &page(PREFIXES[1], TERMS, &session), "").await;
            assert_eq!(done.status, 200);
        }
        server.register(&stage(TERMS, &session)).await.ok();
        assert_eq!(accepted(&server, "privacy"), ["1.2"]);
        assert_users(&server, &["alice"]);
    }
}

/// UIA-62: the recorded version is the version that was shown when the session was started.
#[tokio::test]
async fn uia_62_the_recorded_version_is_the_shown_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::in_directory(&[flows(TERMS), POLICIES], directory.path()).await;
    let (_, session) = server.begin(&registration("alice")).await;
    drop(server);
    let policies = r#"{"privacy":{"version":"2","en":{"name":"P","url":"https://example.org"}},
        "cookies":{"version":"7","en":{"name":"C","url":"https://example.org/c"}}}"#;
    let settings = [flows(TERMS), ("GATEHOUSE_TERMS", policies)];
    let server = TestServer::in_directory(&settings, directory.path()).await;
    server.register(&stage(TERMS, &session)).await.ok();
    assert_eq!(accepted(&server, "privacy"), ["1.2"]);
    assert!(accepted(&server, "cookies").is_empty());
    let (challenge, session) = server.begin(&registration("bob")).await;
    assert_eq!(
        challenge["params"][TERMS]["policies"],
        serde_json::from_str::<Value>(policies).unwrap()
    );
    server.register(&stage(TERMS, &session)).await.ok();
    assert_eq!(accepted(&server, "privacy"), ["1.2", "2"]);
    assert_eq!(accepted(&server, "cookies"), ["7"]);
}

#[tokio::test]
async fn uia_62_without_acceptance_no_terms_are_recorded() {
    let server = TestServer::with(&[flows("m.login.terms m.login.dummy"), POLICIES]).await;
    server.sign_up("alice").await;
    assert!(accepted(&server, "privacy").is_empty());
}

/// UIA-62: a request without a session, or with an unknown one, cannot accept policies that no response has shown. Its
/// response shows them.
#[tokio::test]
async fn uia_62_policies_that_were_not_shown_are_not_accepted() {
    let attempts = [
        (json!({ "type": TERMS }), "M_UNAUTHORIZED"),
        (json!({ "type": TERMS, "session": "unknown" }), "M_UNKNOWN"),
    ];
    for (auth, code) in attempts {
        let server = TestServer::with(&[flows(TERMS), POLICIES]).await;
        let body = with(registration("alice"), &json!({ "auth": auth }));
        let challenge = server.register(&body).await.refused(code);
        assert_eq!(challenge["completed"], json!([]));
        assert!(challenge["params"][TERMS]["policies"]["privacy"].is_object());
        assert_users(&server, &[]);
        assert!(accepted(&server, "privacy").is_empty());
        // The session of this response has shown the policies.
        let session = challenge["session"].as_str().unwrap();
        server.register(&stage(TERMS, session)).await.ok();
        assert_eq!(accepted(&server, "privacy"), ["1.2"]);
    }
}

/// UIA-11, UIA-62: a stage before the terms may be completed without a session. The response shows the policies.
#[tokio::test]
async fn uia_62_an_earlier_stage_without_a_session_shows_the_terms() {
    let flow = "m.login.registration_token+m.login.terms+m.login.dummy";
    let server = TestServer::with(&[flows(flow), POLICIES]).await;
    let token = new_token(&server, &[]).await;
    let first = with(registration("alice"), &token_stage(&token, None));
    let challenge = server.register(&first).await.challenge();
    assert_eq!(challenge["completed"], json!([TOKEN]));
    let session = challenge["session"].as_str().unwrap();
    server.register(&stage(TERMS, session)).await.challenge();
    server.register(&stage(DUMMY, session)).await.ok();
    assert_eq!(accepted(&server, "privacy"), ["1.2"]);
}
