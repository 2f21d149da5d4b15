//! The pages and their forms: errors, links, notices, headers, and requests that must not write.

use std::time::Duration;

use test_support::{PASSWORD, TestServer};

use super::{PATH, begin, details, first_form, next, reload, request, start};
use crate::flows::support::{
    flows, is_free, new_token,
    oauth_pages::{Browser, LEGACY},
    threepid_helpers::{ALICE, MAIL},
    users, uses_left,
};

#[tokio::test]
async fn oa_145_without_the_setting_the_path_is_unknown() {
    let server = TestServer::with(&[LEGACY]).await;
    server.get(PATH).await.error(404, "M_UNRECOGNIZED");
    let reply = server.post_text(PATH, "x").await;
    reply.error(404, "M_UNRECOGNIZED");
}

/// OA-42: without a session the sign-up page, with one a choice. OA-43: every login page has the link.
#[tokio::test]
async fn oa_42_oa_43_a_request_for_a_sign_up_gets_the_form() {
    let server = start(&[]).await;
    server.server.sign_up("bob").await;
    let mut browser = Browser::new(&server.server);
    let page = browser.open(&request(&server)).await.expect(200);
    page.form(PATH);
    assert!(page.find_form("/login").is_none(), "{}", page.text);
    let login = browser.get(&page.link("Log in").unwrap()).await.expect(200);
    login.form("/login");
    let link = login.link("Create an account").unwrap();
    browser.get(&link).await.expect(200).form(PATH);
    for prompt in ["", "login", "select_account", "consent", "unknown"] {
        let mut browser = Browser::new(&server.server);
        let plain = request(&server).with("prompt", prompt);
        let login = browser.open(&plain).await.expect(200);
        let link = login.link("Create an account").unwrap();
        browser.get(&link).await.expect(200).form(PATH);
    }
    let plain = request(&server).with("prompt", "");
    browser.log_in(&plain, "bob", PASSWORD).await.expect(200);
    let choice = browser.open(&request(&server)).await.expect(200);
    choice.form("/consent");
    let link = choice.link("Create a new account").unwrap();
    let form = browser.get(&link).await.expect(200).form(PATH);
    // The browser then has the session of the new user.
    let consent = browser.submit(&form, &details("alice")).await.expect(200);
    assert!(consent.text.contains("@alice:localhost"));
    let consent = browser.open(&plain).await.expect(200);
    assert!(consent.text.contains("@alice:localhost"));
}

/// OA-42: while registration is closed, every request gets the login page with a notice.
#[tokio::test]
async fn oa_42_closed_registration_shows_the_login_page() {
    let server = start(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let mut browser = Browser::new(&server.server);
    let page = browser.open(&request(&server)).await.expect(200);
    let login = page.form("/login");
    assert!(page.text.contains("does not accept new accounts"));
    assert!(page.link("Create an account").is_none());
    let context = login.value("context");
    let page = browser.get(&format!("{PATH}?context={context}")).await;
    let page = page.expect(200);
    page.form("/login");
    assert!(page.text.contains("does not accept new accounts"));
    assert!(page.find_form(PATH).is_none(), "{}", page.text);
}

/// OA-59: an error keeps the input, without the password.
#[tokio::test]
async fn oa_59_an_error_is_shown_on_the_form() {
    let server = start(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    server.server.sign_up("bob").await;
    let mut browser = Browser::new(&server.server);
    let mut form = first_form(&server, &mut browser).await;
    for (name, password, again) in [
        ("bob", PASSWORD, PASSWORD),
        ("alice", "password1", "password1"),
        ("alice", PASSWORD, "ostrich lamp 8 quarrels"),
        ("alice", "", ""),
        ("Not a name!", PASSWORD, PASSWORD),
        ("", PASSWORD, PASSWORD),
        ("\"><script>alert(1)</script>", PASSWORD, PASSWORD),
    ] {
        let values = [
            ("username", name),
            ("password", password),
            ("password_again", again),
        ];
        let page = browser.submit(&form, &values).await;
        assert!(page.reply.status.is_client_error(), "{}", page.text);
        assert!(page.text.contains("role=\"alert\""), "{}", page.text);
        assert!(!page.text.contains(PASSWORD), "{}", page.text);
        assert!(!page.text.contains("<script"), "{}", page.text);
        form = page.form(PATH);
        assert_eq!(form.value("username"), name);
        assert_eq!(form.value("password"), "");
    }
    // The form that was shown with the errors still works.
    let consent = browser.submit(&form, &details("alice")).await.expect(200);
    consent.form("/consent");
}

/// OA-59: an abandoned sign-up uses no name and no token.
#[tokio::test]
async fn oa_59_an_abandoned_sign_up_consumes_nothing() {
    let flow = flows("m.login.registration_token+m.login.email.identity");
    let server = start(&[flow, MAIL]).await;
    let token = new_token(&server.server, &["--uses", "1"]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let page = next(&mut browser, &page, &[("token", &token)]).await;
    next(&mut browser, &page, &[("email", ALICE)]).await;
    server.server.deliver().await;
    assert!(users(&server.server).is_empty());
    assert!(is_free(&server.server, "alice").await);
    assert_eq!(uses_left(&server.server), [1]);
    server.server.advance(Duration::from_hours(48));
    assert!(users(&server.server).is_empty());
    assert!(is_free(&server.server, "alice").await);
    assert_eq!(uses_left(&server.server), [1]);
}

/// OA-70: no page writes when it is opened. OA-50, OA-51 and OA-71: headers, language and labels.
#[tokio::test]
async fn oa_70_a_get_request_only_reads() {
    let limits = ("GATEHOUSE_LIMITS", "on");
    let server = start(&[flows("m.login.email.identity"), MAIL, limits]).await;
    let mut browser = Browser::new(&server.server);
    let first = browser.open(&request(&server)).await.expect(200);
    let context = first.form(PATH).value("context").to_owned();
    let page = browser.submit(&first.form(PATH), &details("alice")).await;
    let page = page.expect(200);
    let session = page.form(PATH).value("session").to_owned();
    let waiting = next(&mut browser, &page, &[("email", ALICE)]).await;
    let before = server.server.dump();
    let first = format!("{PATH}?context={context}");
    for path in [
        PATH.to_owned(),
        format!("{first}&login="),
        format!("{first}&session={session}"),
        format!("{first}&session=unknown"),
        format!("{first}&session={session}&stage=m.login.dummy"),
        reload(&waiting),
        first,
    ] {
        let (page, calls) = server.server.calls_of(browser.get_once(&path)).await;
        let header = |name: &str| page.reply.headers[name].to_str().unwrap();
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        let cors = page.reply.headers.get("access-control-allow-origin");
        assert!(cors.is_none());
        assert!(page.text.contains("<html lang=\"en\">"), "{}", page.text);
        assert!(!page.text.contains("<script"), "{}", page.text);
        assert!(calls.len() <= 2, "{path}: {calls:?}");
        assert!(
            calls.iter().all(|call| call.operation.contains("Get")),
            "{calls:?}"
        );
    }
    assert_eq!(server.server.dump(), before);
    let form = browser.get(&format!("{PATH}?context={context}")).await;
    for id in ["username", "password", "password_again"] {
        assert!(form.text.contains(&format!("<label for=\"{id}\">")));
    }
    assert!(form.text.contains("autocomplete=\"new-password\""));
    assert!(form.text.contains("autocomplete=\"username\""));
}
