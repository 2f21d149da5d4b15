//! The key ring in Secrets Manager: the settings with which a function starts, and the replacement
//! of keys while functions with old and new settings run at the same time.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::HashMap;

use gatehouse_local::aws_fakes::KEY_RING;
use serde_json::{Value, json};
use shared::{
    config::{Config, read_keys},
    key_ring::KeySettings,
    rng::SystemRng,
    secrets::KeyPurpose,
};
use test_support::{Log, PASSWORD, TestServer};

use crate::flows::support::{
    device_grant::{GrantServer, element},
    oauth_pages::{Browser, OAUTH},
};

const OLD: &str = "MarkerOldRoot0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDE";
const NEW: &str = "MarkerNewRoot0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDE";
const PEPPERS: [&str; 2] = ["marker pepper, the first", "marker pepper, the second"];

/// Returns the secret settings of a function that starts now, from its environment and from the
/// contents of the secret in Secrets Manager.
async fn start(
    server: &TestServer,
    settings: &[(&'static str, &str)],
) -> Result<HashMap<&'static str, String>, String> {
    let mut values = HashMap::from([
        ("GATEHOUSE_SERVER_NAME", "localhost".to_owned()),
        ("GATEHOUSE_REGISTRATION", "closed".to_owned()),
        ("GATEHOUSE_SECRET_ARN", KEY_RING.to_owned()),
    ]);
    values.extend(
        settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let lookup = |name: &str| values.get(name).cloned();
    let aws = server.local.aws("admin");
    let sdk = aws.sdk_config(aws.endpoints.secrets_manager.as_deref());
    let fetched = KeySettings::fetch_if_used(&sdk, lookup, &SystemRng).await;
    let fetched = fetched.map_err(|fault| fault.to_string())?;
    Config::from_lookup(fetched.over(lookup)).map_err(|faults| faults.to_string())?;
    let secrets = shared::key_ring::MEMBERS.map(|(_, setting)| setting);
    let found = fetched.over(lookup);
    Ok(secrets
        .into_iter()
        .filter_map(|name| Some((name, found(name)?)))
        .collect())
}

/// Starts a server with these contents of the secret and with its tables in a directory.
async fn server_of(secret: &Value, data: &std::path::Path) -> TestServer {
    let disclosing_server = TestServer::new().await;
    disclosing_server
        .local
        .aws_fakes()
        .set_secret(&secret.to_string());
    let settings = start(&disclosing_server, &[]).await.unwrap();
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    TestServer::in_directory(&settings, data).await
}

#[tokio::test]
async fn a_function_starts_with_the_contents_of_the_secret() {
    let (log, _guard) = Log::capture();
    let server = TestServer::new().await;
    let secret = json!({ "current": NEW, "previous": OLD, "pepper": PEPPERS[0] });
    server.local.aws_fakes().set_secret(&secret.to_string());
    let settings = start(&server, &[]).await.unwrap();
    let expected = HashMap::from([
        ("GATEHOUSE_SECRET", NEW.to_owned()),
        ("GATEHOUSE_SECRET_PREVIOUS", OLD.to_owned()),
        ("GATEHOUSE_PASSWORD_PEPPER", PEPPERS[0].to_owned()),
    ]);
    assert_eq!(settings, expected);
    // The admin CLI reads the same keys.
    let (keys, _) = read_keys(|name| settings.get(name).cloned()).unwrap();
    assert_eq!(
        keys.hashes(KeyPurpose::RegistrationToken, b"token").len(),
        2
    );
    // The trace of the SDK is excluded, because functions do not log it.
    let text = log.text();
    let ours = text.lines().filter(|line| line.contains("gatehouse"));
    for line in ours {
        assert!(!line.to_lowercase().contains("marker"), "{line}");
    }
}

#[tokio::test]
async fn a_function_does_not_start_with_an_invalid_secret() {
    let server = TestServer::new().await;
    for (secret, fault) in [
        (
            None,
            "GATEHOUSE_SECRET_ARN: Secrets Manager rejected the request: ResourceNotFoundException; there is no such secret in this region",
        ),
        (
            Some(NEW),
            "GATEHOUSE_SECRET_ARN: the secret is not a JSON object",
        ),
        (
            Some(r#"{ "current": "short" }"#),
            "GATEHOUSE_SECRET: must have at least 32 bytes",
        ),
    ] {
        if let Some(secret) = secret {
            server.local.aws_fakes().set_secret(secret);
        }
        assert_eq!(start(&server, &[]).await.unwrap_err(), fault);
    }
    let secret = json!({ "current": NEW, "pepper": PEPPERS[0] }).to_string();
    server.local.aws_fakes().set_secret(&secret);
    for name in ["GATEHOUSE_SECRET", "GATEHOUSE_PASSWORD_PEPPER"] {
        let fault = start(&server, &[(name, OLD)]).await.unwrap_err();
        assert!(fault.contains(name) && !fault.contains(OLD), "{fault}");
    }
    start(&server, &[("GATEHOUSE_SECRET_PREVIOUS", OLD)])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_function_that_uses_no_key_reads_no_secret() {
    let server = TestServer::new().await;
    let root = || start(&server, &[("GATEHOUSE_SECRET_ARN", "none")]);
    let (one, other) = (root().await.unwrap(), root().await.unwrap());
    assert_ne!(one["GATEHOUSE_SECRET"], other["GATEHOUSE_SECRET"]);
}

/// The captcha key may be in the secret before a provider is configured, and functions without
/// access to the secret must start.
#[tokio::test]
async fn a_captcha_key_in_the_secret_prevents_no_start() {
    let server = TestServer::new().await;
    let secret = json!({ "current": NEW, "captcha_secret_key": "marker" });
    server.local.aws_fakes().set_secret(&secret.to_string());
    start(&server, &[]).await.unwrap();
    let captcha = [
        ("GATEHOUSE_CAPTCHA_PROVIDER", "turnstile"),
        ("GATEHOUSE_CAPTCHA_SITE_KEY", "site"),
    ];
    let settings = start(&server, &captcha).await.unwrap();
    assert_eq!(settings["GATEHOUSE_CAPTCHA_SECRET_KEY"], "marker");
    let without_access = [&captcha[..], &[("GATEHOUSE_SECRET_ARN", "none")]].concat();
    let settings = start(&server, &without_access).await.unwrap();
    assert_ne!(settings["GATEHOUSE_CAPTCHA_SECRET_KEY"], "marker");
}

/// In the first step all functions get the new root key, in the second step they use it. Functions
/// that have restarted and functions that have not can read each other's sessions.
#[tokio::test]
async fn replacing_the_root_key_in_two_steps_breaks_no_session() {
    let directory = tempfile::tempdir().unwrap();
    let steps = [
        json!({ "current": OLD, "next": NEW }),
        json!({ "current": NEW, "previous": OLD }),
    ];
    for (begins, ends) in [(0, 1), (1, 0)] {
        let parameters = json!({ "username": format!("alice{begins}"), "password": PASSWORD });
        let server = server_of(&steps[begins], directory.path()).await;
        let (_, session) = server.begin(&parameters).await;
        drop(server);
        let server = server_of(&steps[ends], directory.path()).await;
        let auth = json!({ "auth": { "type": "m.login.dummy", "session": session } });
        let answer = server.register(&auth).await.ok();
        assert_eq!(answer["user_id"], format!("@alice{begins}:localhost"));
    }
}

/// OA-113: a device gets its codes before a step, the user enters the code after it, and the client has lost the response to
/// a poll.
#[tokio::test]
async fn replacing_the_root_key_breaks_no_device_grant() {
    let steps = [
        [("GATEHOUSE_SECRET", OLD), ("GATEHOUSE_SECRET_NEXT", NEW)],
        [
            ("GATEHOUSE_SECRET", NEW),
            ("GATEHOUSE_SECRET_PREVIOUS", OLD),
        ],
    ];
    for (before, after) in [(0, 1), (1, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let start = async |step: usize| {
            let settings = [&[OAUTH], &steps[step][..]].concat();
            let server = TestServer::in_directory(&settings, directory.path()).await;
            GrantServer::of(server)
        };
        start(before).await.server.sign_up("alice").await;
        let device = start(before).await.device().await;
        let grant = start(after).await;
        let mut browser = Browser::new(&grant.server);
        let consent = device.consent(&mut browser, "alice").await.expect(200);
        assert_eq!(element(&consent, "network"), "127.0.0.1");
        browser.decide(&consent, "allow").await.expect(200);
        let tokens = grant.poll(&device).await.ok();
        drop(grant);
        assert_eq!(start(before).await.poll(&device).await.ok(), tokens);
    }
}

#[tokio::test]
async fn a_pepper_is_replaced_without_losing_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let peppered = |pepper: Option<&str>, previous: Option<&str>| json!({ "current": OLD, "pepper": pepper.unwrap_or_default(), "pepper_previous": previous.unwrap_or_default() });
    let login = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": PASSWORD,
    });
    let path = "/_matrix/client/v3/login";
    let first = peppered(Some(PEPPERS[0]), None);
    server_of(&first, directory.path())
        .await
        .sign_up("alice")
        .await;
    let both = peppered(Some(PEPPERS[1]), Some(PEPPERS[0]));
    server_of(&both, directory.path())
        .await
        .post(path, &login)
        .await
        .ok();
    // The password has been hashed again, so the first pepper is not needed any more.
    let second = peppered(Some(PEPPERS[1]), None);
    server_of(&second, directory.path())
        .await
        .post(path, &login)
        .await
        .ok();
    let lost = server_of(&first, directory.path()).await;
    lost.post(path, &login).await.error(403, "M_FORBIDDEN");
}
