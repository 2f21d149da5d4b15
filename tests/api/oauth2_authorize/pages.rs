//! The common properties of all pages: headers, forms and the cookie (OA-50 to OA-55, OA-71).

use test_support::{PASSWORD, TestServer};

use super::{open, start};
use crate::flows::support::oauth_pages::{
    Authorization, Browser, Form, OAUTH, oauth_rows, with_changed_bit,
};

/// OA-50, OA-51, OA-71
#[tokio::test]
async fn oa_50_every_page_is_protected_and_needs_no_script() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let login = browser.open(&valid).await.expect(200);
    let wrong = [("user", "alice"), ("password", "wrong")];
    let refused = browser
        .submit(&login.form("/login"), &wrong)
        .await
        .expect(403);
    let right = [("user", "alice"), ("password", PASSWORD)];
    let consent = browser
        .submit(&login.form("/login"), &right)
        .await
        .expect(200);
    let out_of_date = browser
        .submit(&login.form("/login"), &right)
        .await
        .expect(400);
    let denied = browser.decide(&consent, "cancel").await.expect(200);
    let last = browser.decide(&consent, "allow").await.expect(200);
    let log_out = consent.form("/logout");
    let other = browser.submit(&log_out, &[]).await.expect(200);
    let unknown = open(&server, &valid.clone().with("client_id", "x"))
        .await
        .expect(400);
    let invalid = open(&server, &valid.clone().with("scope", "x"))
        .await
        .expect(400);
    let foreign = browser
        .post("/oauth2/authorize/login", &[], &[])
        .await
        .expect(400);
    let text = server.post_text("/oauth2/authorize/login", "{}").await;
    assert_eq!(text.status, 415);
    let no_form = browser
        .get_once("/oauth2/authorize/consent")
        .await
        .expect(400);
    for page in [
        login,
        refused,
        consent,
        out_of_date,
        denied,
        last,
        other,
        unknown,
        invalid,
        foreign,
        no_form,
    ] {
        page.assert_protected();
    }
}

/// OA-53: the only redirect, to the sign-up page, does not repeat a form. OA-52: it stays on this server.
#[tokio::test]
async fn oa_53_a_redirect_is_303_to_this_server() {
    let server =
        TestServer::with(&[OAUTH, ("GATEHOUSE_PUBLIC_URL", "https://a.example/base")]).await;
    let create = Authorization::native(&server).with("prompt", "create");
    let page = Browser::new(&server)
        .get_once(&create.path())
        .await
        .expect(303);
    let location = page.location().unwrap();
    assert!(
        location.starts_with("/oauth2/sign-up?context="),
        "{location}"
    );
    let location = page.reply.headers["location"].to_str().unwrap();
    assert!(location.starts_with("/base/oauth2/"), "{location}");
}

/// Asserts that a form is refused before anything is read or written.
async fn assert_refused(
    server: &TestServer,
    browser: &Browser<'_>,
    form: &Form,
    headers: &[(&str, &str)],
) {
    let before = server.dump();
    let mut browser = browser.clone();
    let work = browser.post(&form.action, &form.fields, headers);
    let (page, calls) = server.calls_of(work).await;
    let page = page.expect(400);
    assert!(
        page.text.contains("Start again in your app"),
        "{}",
        page.text
    );
    assert!(calls.is_empty(), "{calls:?}");
    assert_eq!(page.continue_url(), None);
    assert!(page.reply.headers.get("set-cookie").is_none());
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn oa_54_only_forms_of_own_pages_are_accepted() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    let login = browser.open(&valid).await.form("/login");
    let login = login.with(&[("user", "alice"), ("password", PASSWORD)]);
    let mut other = Browser::new(&server);
    let of_other = other.open(&valid).await.form("/login");
    let before_login = browser.clone();
    let consent = browser.submit(&login, &[]).await.expect(200);
    let allow = consent.form("/consent").with(&[("action", "allow")]);
    let log_out = consent.form("/logout");
    let forms = [
        (&before_login, &login),
        (&browser, &allow),
        (&browser, &log_out),
    ];
    for (browser, form) in forms {
        let own = form.value("csrf");
        for token in [
            "",
            "x",
            &own[1..],
            of_other.value("csrf"),
            // The token of another form of the same browser.
            if form.action.ends_with("/consent") {
                log_out.value("csrf")
            } else {
                allow.value("csrf")
            },
        ] {
            let form = form.clone().with(&[("csrf", token)]);
            assert_refused(&server, browser, &form, &[]).await;
        }
        for headers in [
            [("origin", "https://evil.example")],
            [("origin", "null")],
            [("origin", "http://127.0.0.1:8009")],
            [("origin", "https://127.0.0.1:8008")],
            [("origin", "http://127.0.0.1:8008.evil.example")],
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
            [("sec-fetch-site", "none")],
        ] {
            assert_refused(&server, browser, form, &headers).await;
        }
        let mut without_cookie = (*browser).clone();
        without_cookie.cookies.clear();
        assert_refused(&server, &without_cookie, form, &[]).await;
        let changed = with_changed_bit(form.value("context"));
        for context in ["", "x", &changed, of_other.value("context")] {
            let form = form.clone().with(&[("context", context)]);
            assert_refused(&server, browser, &form, &[]).await;
        }
    }
    assert!(!oauth_rows(&server).contains(&"CODE".to_owned()));
    let own = [
        ("origin", "http://127.0.0.1:8008"),
        ("sec-fetch-site", "same-origin"),
    ];
    let page = browser
        .post(&allow.action, &allow.fields, &own)
        .await
        .expect(200);
    assert!(page.response().contains_key("code"));
}

/// OA-55: the cookie of `https` has the prefix and `Secure`; that of a loopback server has neither.
#[tokio::test]
async fn oa_55_the_cookie_is_bound_to_the_host() {
    for (url, name, end) in [
        (
            "https://account.example.org/path",
            "__Host-gatehouse",
            "; Secure",
        ),
        ("http://127.0.0.1:8008", "gatehouse", ""),
    ] {
        let server = TestServer::with(&[OAUTH, ("GATEHOUSE_PUBLIC_URL", url)]).await;
        let mut browser = Browser::new(&server);
        let valid = Authorization::native(&server);
        let page = browser.open(&valid).await.expect(200);
        let cookie = page.reply.headers["set-cookie"].to_str().unwrap();
        let value = browser.cookie().unwrap();
        assert_eq!(value.len(), 43, "256 bits: {value}");
        let expected = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{end}");
        assert_eq!(cookie, expected);
        // The cookie is set once.
        let page = browser.open(&valid).await.expect(200);
        assert!(page.reply.headers.get("set-cookie").is_none());
    }
}

/// OA-55: fixation. A cookie that another party has planted gets no session, and each change of the session changes it.
#[tokio::test]
async fn oa_55_the_cookie_changes_with_the_session() {
    let server = start().await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut attacker = Browser::new(&server);
    attacker.open(&valid).await.form("/login");
    let mut victim = attacker.clone();
    let consent = victim.log_in(&valid, "alice", PASSWORD).await;
    let form = consent.form("/consent");
    assert_ne!(victim.cookie(), attacker.cookie());
    attacker.open(&valid).await.form("/login");
    assert_refused(&server, &attacker, &form, &[]).await;
    let mut copy = victim.clone();
    let page = victim
        .submit(&consent.form("/logout"), &[])
        .await
        .expect(200);
    page.form("/login");
    assert_ne!(victim.cookie(), copy.cookie());
    copy.open(&valid).await.form("/login");
    // A second login ends the session of the first.
    victim
        .log_in(&valid, "alice", PASSWORD)
        .await
        .form("/consent");
    let mut copy = victim.clone();
    let again = valid.with("prompt", "login");
    victim
        .log_in(&again, "alice", PASSWORD)
        .await
        .form("/consent");
    assert_ne!(victim.cookie(), copy.cookie());
    copy.open(&again.with("prompt", "")).await.form("/login");
    let sessions = oauth_rows(&server)
        .into_iter()
        .filter(|key| key == "BROWSER");
    assert_eq!(sessions.count(), 1);
}
