//! The tokens of the OAuth 2.0 API: codes, verifiers, access and refresh tokens, and the session IDs in them.

use serde_json::Value;
use test_support::{Log, Reply};

use crate::flows::{
    leaks::{LeakDetector, PASSWORD},
    support::{
        oauth_pages::{Authorization, Browser, NATIVE_URI, OAUTH, VERIFIER, native_client},
        oauth_tokens::{REVOKE, TOKEN, form, send},
        registration,
    },
};

/// The tokens of a response, and their parts: one part of a refresh token is the session ID.
fn secrets_of(tokens: &Value) -> Vec<String> {
    let members = ["access_token", "refresh_token"];
    let tokens = members.iter().filter_map(|name| tokens[*name].as_str());
    let parts = |token: &str| {
        // The other parts of a token are the names of user and device, and a checksum.
        let long = token.split(['_', '.']).filter(|part| part.len() >= 20);
        long.map(str::to_owned).collect::<Vec<_>>()
    };
    tokens
        .flat_map(|token| [vec![token.to_owned()], parts(token)].concat())
        .collect()
}

fn check(detector: &mut LeakDetector, reply: &Reply) -> Value {
    let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
    detector.secrets.extend(secrets_of(&body));
    detector.search();
    body
}

/// OA-157: neither a table nor a log line contains a token or a code, also after a refresh, a replay and a revocation.
#[tokio::test]
async fn oa_157_no_token_of_the_oauth_api_leaks() {
    let (log, _guard) = Log::capture();
    let settings = [OAUTH, ("GATEHOUSE_LIMITS", "on")];
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector.ignores_sdk_trace = true;
    detector
        .secrets
        .extend([PASSWORD, VERIFIER].map(str::to_owned));
    let mut body = registration("alice");
    body["password"] = PASSWORD.into();
    body["auth"] = serde_json::json!({ "type": "m.login.dummy" });
    detector.register(&body).await;
    let server = std::sync::Arc::clone(&detector.server);
    let client = native_client(&server);
    let mut browser = Browser::new(&server);
    let authorization = Authorization::new(&client, NATIVE_URI);
    let consent = browser.log_in(&authorization, "alice", PASSWORD).await;
    let last = browser.decide(&consent, "allow").await;
    let code = last.response()["code"].clone();
    detector.secrets.push(code.clone());
    let exchange = form(&[
        ("grant_type", "authorization_code"),
        ("client_id", &client),
        ("code", &code),
        ("redirect_uri", NATIVE_URI),
        ("code_verifier", VERIFIER),
    ]);
    let refresh = |tokens: &Value| {
        form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ])
    };
    let first = check(&mut detector, &send(&server, TOKEN, &exchange).await);
    let second = check(&mut detector, &send(&server, TOKEN, &refresh(&first)).await);
    let token = |tokens: &Value| tokens["access_token"].as_str().unwrap().to_owned();
    check(&mut detector, &server.whoami(&token(&second)).await);
    check(&mut detector, &send(&server, TOKEN, &refresh(&first)).await);
    check(
        &mut detector,
        &send(&server, TOKEN, &refresh(&second)).await,
    );
    let revoked = form(&[("token", &token(&second)), ("client_id", "ghc_other")]);
    check(&mut detector, &send(&server, REVOKE, &revoked).await);
    check(&mut detector, &send(&server, TOKEN, &exchange).await);
    assert!(detector.secrets.len() >= 8, "{:?}", detector.secrets.len());
}
