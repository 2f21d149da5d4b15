//! `m.login.recaptcha`, with a fake provider on the loopback interface.

use std::{net::TcpListener, sync::Arc};

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use crate::flows::support::{
    DUMMY, RECAPTCHA, assert_users, at_once,
    captcha_provider::{Provider, SECRET},
    page, registration, stage, submit, users, with,
};

fn captcha(response: &str, session: &str) -> Value {
    let mut body = stage(RECAPTCHA, session);
    body["auth"]["response"] = response.into();
    body
}

#[tokio::test]
async fn uia_47_secret_and_response_are_forwarded() {
    for kind in ["recaptcha", "hcaptcha", "turnstile"] {
        for prefix in PREFIXES {
            let provider = Provider::start();
            let mut settings = provider.settings("m.login.recaptcha+m.login.dummy");
            settings[1].1 = kind;
            let server = TestServer::with(&settings).await;
            let path = format!("{prefix}/register");
            let first = server.post(&path, &registration("alice")).await.challenge();
            let session = first["session"].as_str().unwrap();
            assert_eq!(
                first["params"][RECAPTCHA],
                json!({ "public_key": "site-key" })
            );
            assert!(!first.to_string().contains(SECRET));
            let done = server
                .post(&path, &captcha("good-é &=", session))
                .await
                .challenge();
            assert_eq!(done["completed"], json!([RECAPTCHA]));
            server.post(&path, &stage(DUMMY, session)).await.ok();
            let forms = provider.forms();
            assert_eq!(
                forms,
                ["secret=marker%2Fsecret%2Bkey&response=good-%C3%A9+%26%3D"]
            );
            assert_users(&server, &["alice"]);
        }
    }
}

#[tokio::test]
async fn uia_47_a_bad_response_is_rejected_and_a_good_one_may_follow() {
    let provider = Provider::start();
    let server = TestServer::with(&provider.settings("m.login.recaptcha+m.login.dummy")).await;
    let (_, session) = server.begin(&registration("alice")).await;
    for (body, code) in [
        (captcha("bad", &session), "M_CAPTCHA_INVALID"),
        (stage(RECAPTCHA, &session), "M_CAPTCHA_NEEDED"),
        (captcha("", &session), "M_CAPTCHA_NEEDED"),
        (captcha(&"x".repeat(9000), &session), "M_CAPTCHA_INVALID"),
    ] {
        let refused = server.register(&body).await.refused(code);
        assert_eq!(refused["session"], session.as_str());
        assert_eq!(refused["completed"], json!([]));
    }
    assert_eq!(
        provider.forms().len(),
        1,
        "only a well-formed response causes a call"
    );
    let mut wrong_type = stage(RECAPTCHA, &session);
    wrong_type["auth"]["response"] = json!(5);
    server.register(&wrong_type).await.error(400, "M_BAD_JSON");
    let done = server
        .register(&captcha("good", &session))
        .await
        .challenge();
    assert_eq!(done["completed"], json!([RECAPTCHA]));
    // UIA-17: a completed stage is not checked again.
    server.register(&captcha("bad", &session)).await.challenge();
    assert_eq!(provider.forms().len(), 2);
    server.register(&stage(DUMMY, &session)).await.ok();
}

#[tokio::test]
async fn uia_47_a_failing_provider_completes_no_stage_until_retried() {
    let provider = Provider::start();
    let server = TestServer::with(&provider.settings("m.login.recaptcha+m.login.dummy")).await;
    let (_, session) = server.begin(&registration("alice")).await;
    for trouble in [
        "html", "text", "number", "nothing", "null", "empty", "huge", "fault", "moved", "cut",
        "slow",
    ] {
        let refused = server
            .register(&captcha(trouble, &session))
            .await
            .refused("M_UNAUTHORIZED");
        assert_eq!(refused["completed"], json!([]), "{trouble}");
        assert_eq!(refused["session"], session.as_str(), "{trouble}");
    }
    let done = server
        .register(&captcha("good", &session))
        .await
        .challenge();
    assert_eq!(done["completed"], json!([RECAPTCHA]));
    server.register(&stage(DUMMY, &session)).await.ok();
}

/// The user cannot correct these errors: the response is that of an unreachable provider.
#[tokio::test]
async fn uia_47_a_wrong_secret_key_is_not_the_users_fault() {
    let provider = Provider::start();
    let server = TestServer::with(&provider.settings("m.login.recaptcha+m.login.dummy")).await;
    let (_, session) = server.begin(&registration("alice")).await;
    for response in [
        "ours-invalid-input-secret",
        "ours-missing-input-secret",
        "ours-sitekey-secret-mismatch",
        "ours-internal-error",
        "ours-a-new-code",
        "refused",
    ] {
        let refused = server
            .register(&captcha(response, &session))
            .await
            .refused("M_UNAUTHORIZED");
        assert_eq!(refused["completed"], json!([]), "{response}");
        let message = refused["error"].as_str().unwrap();
        assert!(message.contains("does not respond"), "{message}");
    }
}

#[tokio::test]
async fn uia_47_a_used_response_asks_for_another_one() {
    let provider = Provider::start();
    let server = TestServer::with(&provider.settings(RECAPTCHA)).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let refused = server
        .register(&captcha("old", &session))
        .await
        .refused("M_CAPTCHA_INVALID");
    assert!(refused["error"].as_str().unwrap().contains("again"));
}

#[tokio::test]
async fn uia_47_an_unreachable_provider_completes_no_stage() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let provider = Provider::unreachable(format!("http://{closed}/siteverify"));
    let server = TestServer::with(&provider.settings(RECAPTCHA)).await;
    let (_, session) = server.begin(&registration("alice")).await;
    server
        .register(&captcha("good", &session))
        .await
        .refused("M_UNAUTHORIZED");
    assert_users(&server, &[]);
}

/// UIA-47: the provider accepts only the first of two concurrent submissions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_47_the_loser_of_two_submissions_sees_the_stage_done() {
    let provider = Arc::new(Provider::start());
    let server =
        Arc::new(TestServer::with(&provider.settings("m.login.recaptcha+m.login.dummy")).await);
    let (_, session) = server.begin(&registration("alice")).await;
    let both = at_once(2, |_| {
        let (server, provider, body) = (
            Arc::clone(&server),
            Arc::clone(&provider),
            captcha("held", &session),
        );
        async move {
            let reply = server.register(&body).await;
            // The first submission has been recorded; only then is the other one rejected.
            provider.release();
            reply
        }
    })
    .await;
    for reply in both {
        let done = reply.challenge();
        assert_eq!(done["completed"], json!([RECAPTCHA]));
        assert!(done.get("errcode").is_none(), "{done}");
    }
    server.register(&stage(DUMMY, &session)).await.ok();
    assert_users(&server, &["alice"]);
}

/// UIA-15, UIA-47: the captcha is the last stage. The test registers with a chosen name and without
/// one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uia_15_the_loser_of_two_captchas_gets_the_same_account() {
    for parameters in [
        registration("alice"),
        json!({ "password": test_support::PASSWORD }),
    ] {
        let provider = Arc::new(Provider::start());
        let server = Arc::new(TestServer::with(&provider.settings(RECAPTCHA)).await);
        let (_, session) = server.begin(&parameters).await;
        let both = at_once(2, |_| {
            let (server, provider, body) = (
                Arc::clone(&server),
                Arc::clone(&provider),
                captcha("held", &session),
            );
            async move {
                let reply = server.register(&body).await;
                provider.release();
                reply
            }
        })
        .await;
        assert_eq!(users(&server).len(), 1, "one session, one account");
        both[0].ok();
        assert_eq!(both[0].body, both[1].body);
    }
}

#[tokio::test]
async fn uia_72_the_captchas_page_takes_the_field_of_each_widget() {
    for (kind, field) in [
        ("recaptcha", "g-recaptcha-response"),
        ("hcaptcha", "h-captcha-response"),
        ("turnstile", "cf-turnstile-response"),
    ] {
        let provider = Provider::start();
        let mut settings = provider.settings("m.login.recaptcha+m.login.dummy");
        settings[1].1 = kind;
        let server = TestServer::with(&settings).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let path = page(PREFIXES[1], RECAPTCHA, &session);
        let form = server.get(&path).await.text();
        assert!(
            form.contains("data-sitekey=\"site-key\"") && !form.contains(SECRET),
            "{form}"
        );
        assert_eq!(submit(&server, &path, "").await.status, 401);
        assert_eq!(
            submit(&server, &path, &format!("{field}=bad")).await.status,
            401
        );
        assert_eq!(
            submit(&server, &path, &format!("{field}=good-%2B"))
                .await
                .status,
            200
        );
        assert!(provider.forms()[1].ends_with("&response=good-%2B"));
        let last = with(registration("alice"), &stage(DUMMY, &session));
        server.register(&last).await.ok();
    }
}
