//! Registration: passwords, tokens, captcha responses and session IDs.

use serde_json::{Value, json};
use test_support::Log;

use super::{AS_TOKEN, HS_TOKEN, LeakDetector, PASSWORD, RESPONSE, TOKEN_TEXT};
use crate::flows::support::{
    DUMMY, POLICIES, RECAPTCHA, TERMS, TOKEN, captcha_provider::Provider, flows, stage,
    token_stage, with,
};

fn registration(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "refresh_token": true })
}

/// L4, incident 12 (the new password in plain text in the UIA row), incident 22 (a span logged it)
#[tokio::test]
async fn incident_12_no_secret_leaks_at_any_moment_of_a_sign_up() {
    let (log, _guard) = Log::capture();
    let provider = Provider::start();
    let mut settings = provider
        .settings("m.login.recaptcha+m.login.registration_token+m.login.terms+m.login.dummy")
        .to_vec();
    settings.push(POLICIES);
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector
        .server
        .registration_token(&["--token", TOKEN_TEXT, "--uses", "9"])
        .await;
    detector.search();
    for by_page in [false, true] {
        let session = detector
            .begin(&registration(&format!("alice{by_page}")))
            .await;
        if by_page {
            assert_eq!(
                detector
                    .submit(
                        RECAPTCHA,
                        &session,
                        &format!("g-recaptcha-response={RESPONSE}-1")
                    )
                    .await,
                200
            );
            assert_eq!(
                detector
                    .submit(TOKEN, &session, &format!("token={TOKEN_TEXT}"))
                    .await,
                200
            );
            assert_eq!(detector.submit(TERMS, &session, "").await, 200);
            assert_eq!(detector.submit(DUMMY, &session, "").await, 200);
            let answer = detector
                .register(&json!({ "auth": { "session": session } }))
                .await;
            assert!(answer["access_token"].is_string());
            continue;
        }
        let captcha =
            json!({ "auth": { "type": RECAPTCHA, "session": session, "response": RESPONSE } });
        detector.register(&captcha).await;
        detector
            .register(&token_stage("marker-wrong-token", Some(&session)))
            .await;
        detector
            .register(&token_stage(TOKEN_TEXT, Some(&session)))
            .await;
        detector.register(&stage(TERMS, &session)).await;
        detector
            .register(&json!({ "password": PASSWORD, "auth": { "session": session } }))
            .await;
        let answer = detector.register(&stage(DUMMY, &session)).await;
        assert!(answer["refresh_token"].is_string());
        let again = detector.register(&stage(DUMMY, &session)).await;
        assert_eq!(again, answer);
        let token = answer["access_token"].as_str().unwrap();
        let whoami = detector.server.whoami(token).await;
        detector.check(&whoami);
        let query = format!("/_matrix/client/v3/account/whoami?access_token={token}");
        let whoami = detector.server.get(&query).await;
        assert_eq!(detector.check(&whoami)["user_id"], "@alicefalse:localhost");
    }
    assert!(log.text().contains("/register"), "the log is captured");
}

/// L4, incident 22: the requests of this test fail.
#[tokio::test]
async fn incident_22_no_secret_is_in_the_log_of_a_failure() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&[flows("m.login.dummy")], &log).await;
    detector.server.sign_up("taken").await;
    detector.secrets.push("marker-wrong-token".to_owned());
    let session = detector.begin(&registration("alice")).await;
    let taken = with(registration("taken"), &stage(DUMMY, &session));
    detector.register(&taken).await;
    detector
        .register(&with(registration("b@d"), &stage(DUMMY, &session)))
        .await;
    detector
        .register(&with(
            registration("alice"),
            &json!({ "auth": { "type": PASSWORD, "session": session } }),
        ))
        .await;
    detector
        .register(&with(
            registration("alice"),
            &stage(DUMMY, "marker-wrong-token"),
        ))
        .await;
    detector
        .register(&with(
            registration("alice"),
            &json!({ "device_id": [PASSWORD] }),
        ))
        .await;
    detector
        .register(&with(
            registration("alice"),
            &json!({ "guest_access_token": "marker-wrong-token" }),
        ))
        .await;
    let broken = format!(r#"{{"password":"{PASSWORD}","#);
    let reply = detector
        .server
        .post_text("/_matrix/client/v3/register", &broken)
        .await;
    detector.check(&reply);
    let junk = detector.server.whoami("marker-wrong-token").await;
    detector.check(&junk);
    let validity =
        "/_matrix/client/v1/register/m.login.registration_token/validity?token=marker-wrong-token";
    let reply = detector.server.get(validity).await;
    detector.check(&reply);
    // The causes of a server error are logged.
    detector.server.expect_faults();
    let cut = gatehouse_local::dynamodb::proxy::Fault::new(
        gatehouse_local::dynamodb::proxy::FaultKind::ConnectionReset,
    );
    detector.server.local.proxy().inject(cut.times(4));
    let reply = detector.server.register(&stage(DUMMY, &session)).await;
    assert_eq!(reply.status, 500);
    detector.check(&reply);
    assert!(log.text().contains("failed with an internal error"));
    detector.register(&stage(DUMMY, &session)).await;
}

/// Incident 12: application services, guests and their upgrade.
#[tokio::test]
async fn incident_12_no_secret_of_guests_and_appservices_leaks() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&[("GATEHOUSE_GUESTS", "true")], &log).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("irc.yaml");
    let yaml = format!(
        "id: irc\nas_token: {AS_TOKEN}\nhs_token: {HS_TOKEN}\nsender_localpart: ircbot\n\
         namespaces:\n  users:\n  - exclusive: true\n    regex: '@irc_.*'\n"
    );
    std::fs::write(&file, yaml).unwrap();
    detector
        .server
        .admin_run(&["appservices", "add", file.to_str().unwrap()])
        .await
        .unwrap();
    detector.search();
    let bridged = json!({ "type": "m.login.application_service", "username": "irc_alice" });
    let request = http::Request::post("/_matrix/client/v3/register")
        .header("authorization", format!("Bearer {AS_TOKEN}"));
    let reply = detector
        .server
        .send(request.body(bridged.to_string().into_bytes()).unwrap())
        .await;
    reply.ok();
    detector.check(&reply);
    let whoami = detector.server.whoami(AS_TOKEN).await;
    whoami.ok();
    detector.check(&whoami);
    let guest = detector
        .server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await;
    guest.ok();
    let guest = detector.check(&guest);
    let name = guest["user_id"].as_str().unwrap()[1..]
        .split(':')
        .next()
        .unwrap();
    let upgrade = with(
        registration(name),
        &json!({ "guest_access_token": guest["access_token"] }),
    );
    let session = detector.begin(&upgrade).await;
    let answer = detector.register(&stage(DUMMY, &session)).await;
    assert_eq!(answer["user_id"], guest["user_id"]);
}
