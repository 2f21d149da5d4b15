//! Fallback pages over HTTP. `tests/browser` tests their behaviour in browsers.

use http::Request;
use serde_json::json;
use shared::secrets::sha256_base64;
use test_support::{PREFIXES, Reply, TestServer};

use crate::flows::support::{
    DUMMY, POLICIES, RECAPTCHA, TERMS, TOKEN, TWO_STAGES, assert_users, flows, new_token, page,
    registration, stage, submit, token_stage,
};

const HOSTILE: [&str; 5] = [
    "%22%3E%3Csvg%20onload=alert(1)%3E",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "'%20onmouseover='alert(1)",
    "%7B%7B7*7%7D%7D%00%0A%0D",
    "javascript:alert(1)//%22",
];

const ALL_STAGES: &str = "m.login.recaptcha+m.login.dummy m.login.registration_token+m.login.dummy m.login.terms+m.login.dummy m.login.dummy+m.login.terms";

async fn server_with_all_stages() -> TestServer {
    TestServer::with(&[
        flows(ALL_STAGES),
        POLICIES,
        ("GATEHOUSE_CAPTCHA_PROVIDER", "hcaptcha"),
        ("GATEHOUSE_CAPTCHA_SITE_KEY", "site-key"),
        ("GATEHOUSE_CAPTCHA_SECRET_KEY", "secret-key"),
    ])
    .await
}

/// The SHA-256 of `text` as a source of a content security policy, in standard base64.
fn csp_hash(text: &str) -> String {
    let hash = sha256_base64(text.as_bytes())
        .replace('-', "+")
        .replace('_', "/");
    format!("'sha256-{hash}='")
}

pub(crate) fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    text.split(from)
        .skip(1)
        .map(|rest| rest.split(to).next().unwrap_or_default())
        .collect()
}

/// Asserts the properties of every page (UIA-74, UIA-76, HTTP-28, incident 6) and returns the text of
/// the page.
#[track_caller]
pub(crate) fn is_page(reply: &Reply, status: u16) -> String {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    let header = |name: &str| {
        reply
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or(""))
    };
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert!(!reply.headers.contains_key("cross-origin-opener-policy"));
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("referrer-policy"), "strict-origin");
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    let directive = |name: &str| {
        let own = policy
            .split(';')
            .map(str::trim)
            .find(|own| own.split(' ').next() == Some(name));
        own.unwrap_or_default()
    };
    assert_eq!(directive("default-src"), "default-src 'none'");
    assert_eq!(directive("frame-ancestors"), "frame-ancestors 'none'");
    assert_eq!(directive("base-uri"), "base-uri 'none'");
    assert_eq!(directive("form-action"), "form-action 'self'");
    assert!(
        !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"),
        "{policy}"
    );
    for style in between(&text, "<style>", "</style>") {
        assert!(
            directive("style-src").contains(&csp_hash(style)),
            "{policy}"
        );
    }
    let scripts = between(&text, "<script>", "</script>");
    assert!(scripts.len() <= 1, "{text}");
    for script in scripts {
        assert_eq!(
            directive("script-src"),
            format!("script-src {}", csp_hash(script))
        );
    }
    text
}

#[track_caller]
pub(crate) fn is_final(reply: &Reply) {
    let text = is_page(reply, 200);
    assert!(text.contains("window.onAuthDone()"), "UIA-71: {text}");
    assert!(
        text.contains("window.opener.postMessage('authDone','*')"),
        "UIA-71: {text}"
    );
    assert!(!text.contains("<form"), "{text}");
}

#[track_caller]
pub(crate) fn is_not_final(reply: &Reply, status: u16) -> String {
    let text = is_page(reply, status);
    assert!(
        !text.contains("onAuthDone") && !text.contains("authDone"),
        "UIA-71: {text}"
    );
    text
}

pub(crate) async fn completed(server: &TestServer, session: &str) -> serde_json::Value {
    let poll = json!({ "auth": { "session": session } });
    server.register(&poll).await.challenge()["completed"].clone()
}

/// UIA-70, UIA-73
#[tokio::test]
async fn uia_70_every_offered_stage_has_a_page_without_side_effects() {
    let server = server_with_all_stages().await;
    let (_, session) = server.begin(&registration("alice")).await;
    for prefix in PREFIXES {
        for stage in [DUMMY, TOKEN, TERMS, RECAPTCHA] {
            for _ in 0..2 {
                let text = is_not_final(&server.get(&page(prefix, stage, &session)).await, 200);
                assert_eq!(
                    between(&text, "<form", ">"),
                    [" method=\"post\""],
                    "the form posts to the URL of the page"
                );
                assert!(text.contains("“alice” on localhost"), "{text}");
            }
        }
    }
    assert_eq!(completed(&server, &session).await, json!([]));
}

/// UIA-71, UIA-72
#[tokio::test]
async fn uia_72_submitting_the_page_completes_the_stage() {
    for prefix in PREFIXES {
        let server = TestServer::with(&[TWO_STAGES]).await;
        let token = new_token(&server, &["--uses", "1"]).await;
        let (_, session) = server.begin(&registration("alice")).await;
        let path = page(prefix, TOKEN, &session);
        let wrong = is_not_final(&submit(&server, &path, "token=wrong-token").await, 401);
        assert!(
            wrong.contains("role=\"alert\"") && wrong.contains("<form"),
            "{wrong}"
        );
        is_not_final(&submit(&server, &path, "").await, 401);
        assert_eq!(completed(&server, &session).await, json!([]));
        is_final(&submit(&server, &path, &format!("token=+{token}%E2%80%8B%20")).await);
        assert_eq!(completed(&server, &session).await, json!([TOKEN]));
        // The page is the same when it is shown or submitted again.
        is_final(&server.get(&path).await);
        is_final(&submit(&server, &path, "token=wrong-token").await);
        is_final(&submit(&server, &page(prefix, DUMMY, &session), "").await);
        assert_users(&server, &[]);
        let last = json!({ "auth": { "session": session } });
        let answer = server.post(&format!("{prefix}/register"), &last).await.ok();
        assert_eq!(answer["user_id"], "@alice:localhost");
        is_final(&server.get(&page(prefix, DUMMY, &session)).await);
        is_final(&submit(&server, &page(prefix, DUMMY, &session), "").await);
        assert_users(&server, &["alice"]);
    }
}

/// UIA-16: the page of a later stage shows an error while an earlier one is incomplete.
#[tokio::test]
async fn uia_16_a_page_out_of_order_completes_nothing() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let token = new_token(&server, &[]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], DUMMY, &session);
    is_not_final(&server.get(&path).await, 400);
    let refused = submit(&server, &path, "").await;
    assert!(refused.status.is_client_error());
    is_not_final(&refused, refused.status.as_u16());
    assert_eq!(completed(&server, &session).await, json!([]));
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    is_final(&submit(&server, &path, "").await);
}

/// UIA-73, UIA-32
#[tokio::test]
async fn uia_73_a_missing_session_is_400_and_an_unknown_one_404() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&registration("alice")).await;
    for prefix in PREFIXES {
        let base = format!("{prefix}/auth/{DUMMY}/fallback/web");
        for (path, status) in [
            (base.clone(), 400),
            (format!("{base}?session="), 400),
            (format!("{base}?sessions={session}"), 400),
            (format!("{base}?session=mine"), 404),
            (format!("{base}?session={}", "x".repeat(2000)), 404),
            (page(prefix, "x.y", &session), 404),
            (page(prefix, "m.login.token", &session), 404),
            (page(prefix, TERMS, &session), 404),
        ] {
            is_not_final(&server.get(&path).await, status);
            is_not_final(&submit(&server, &path, "").await, status);
        }
        let put = Request::put(page(prefix, DUMMY, &session))
            .body(Vec::new())
            .unwrap();
        server.send(put).await.error(405, "M_UNRECOGNIZED");
    }
    assert_eq!(completed(&server, &session).await, json!([]));
}

/// UIA-74, incident 5 (`session` put unescaped into a page)
#[tokio::test]
async fn uia_74_hostile_values_are_inert() {
    let server = TestServer::with(&[TWO_STAGES]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let safe = is_not_final(&server.get(&page(PREFIXES[1], TOKEN, &session)).await, 200);
    let unknown = is_not_final(&server.get(&page(PREFIXES[1], TOKEN, "mine")).await, 404);
    for value in HOSTILE {
        // A slash would result in another path.
        let in_path = value.replace('/', "%2F");
        for prefix in PREFIXES {
            for path in [
                page(prefix, TOKEN, value),
                page(prefix, &in_path, &session),
                page(prefix, &in_path, value),
            ] {
                assert_eq!(
                    is_not_final(&server.get(&path).await, 404),
                    unknown,
                    "{path}"
                );
                let post = submit(&server, &path, &format!("token={value}")).await;
                assert_eq!(is_not_final(&post, 404), unknown, "{path}");
            }
            let path = format!(
                "{}&{value}={value}&token={value}",
                page(prefix, TOKEN, &session)
            );
            assert_eq!(is_not_final(&server.get(&path).await, 200), safe, "{path}");
            let refused = submit(&server, &path, &format!("token={value}&{value}=1")).await;
            let refused = is_not_final(&refused, 401);
            assert!(
                !refused.contains("alert(1)") && !refused.contains("7*7"),
                "{refused}"
            );
        }
    }
}

#[tokio::test]
async fn uia_74_the_type_is_decoded() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[0], "%6D%2elogin.dummy", &session);
    is_not_final(&server.get(&path).await, 200);
    is_final(&submit(&server, &path, "").await);
    server.register(&stage(DUMMY, &session)).await.ok();
}

#[tokio::test]
async fn uia_74_the_operators_own_words_are_escaped_too() {
    let policies = r#"{"p":{"version":"1","en":{"name":"<b>R&D</b>\"","url":"https://example.org/?a=1&b=2"}}}"#;
    let server = TestServer::with(&[flows(TERMS), ("GATEHOUSE_TERMS", policies)]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let text = is_not_final(&server.get(&page(PREFIXES[1], TERMS, &session)).await, 200);
    assert!(!text.contains("<b>"), "{text}");
    assert!(
        text.contains("R&#38;D") || text.contains("R&amp;D"),
        "{text}"
    );
}

/// UIA-76: only the sources of the captcha provider are allowed.
#[tokio::test]
async fn uia_76_the_captchas_script_is_allowed_by_its_source() {
    let server = server_with_all_stages().await;
    let (_, session) = server.begin(&registration("alice")).await;
    let reply = server.get(&page(PREFIXES[1], RECAPTCHA, &session)).await;
    let text = is_not_final(&reply, 200);
    let source = between(&text, "<script src=\"", "\"")[0];
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    let scripts = policy
        .split(';')
        .find(|own| own.trim().starts_with("script-src "))
        .unwrap();
    assert!(
        scripts.split(' ').any(|allowed| allowed == source),
        "{source}: {policy}"
    );
}

/// Incident 6 (pages could be framed): the 429 of a page is a page with the same headers.
#[tokio::test]
async fn incident_6_no_page_can_be_framed_not_even_an_error() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], DUMMY, &session);
    let mut last = server.get(&path).await;
    for _ in 0..100 {
        last = server.get(&path).await;
        if last.status == 429 {
            break;
        }
        is_not_final(&last, 200);
    }
    is_not_final(&last, 429);
    assert!(last.headers.contains_key("retry-after"), "HTTP-20");
}

/// HTTP-18 on pages: a form that is too large is rejected.
#[tokio::test]
async fn uia_73_a_form_that_is_too_large_completes_nothing() {
    let server = TestServer::new().await;
    let (_, session) = server.begin(&registration("alice")).await;
    let path = page(PREFIXES[1], DUMMY, &session);
    let reply = submit(&server, &path, &"x".repeat(65 * 1024)).await;
    is_not_final(&reply, reply.status.as_u16());
    assert_eq!(completed(&server, &session).await, json!([]));
}
