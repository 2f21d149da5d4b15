//! Forms that another browser, another authorization or an attacker sends.

use std::time::Duration;

use test_support::PASSWORD;

use super::{PATH, begin, details, first_form, next, request, start};
use crate::flows::support::{
    POLICIES, TERMS, flows, new_token,
    oauth_pages::{Browser, Form, with_changed_bit},
    oauth_tokens::OAuthServer,
    users, uses_left,
};

/// Sends a form as it is, with these headers.
async fn send(browser: &mut Browser<'_>, form: &Form, headers: &[(&str, &str)]) -> (u16, String) {
    let page = browser.post(&form.action, &form.fields, headers).await;
    (page.reply.status.as_u16(), page.text)
}

async fn assert_refused(server: &OAuthServer, browser: &mut Browser<'_>, form: &Form) {
    let before = server.server.dump();
    let (status, text) = send(browser, form, &[]).await;
    assert_eq!(status, 400, "{text}");
    assert!(!text.contains("/oauth2/authorize/consent"), "{text}");
    assert_eq!(server.server.dump(), before);
}

/// OA-59: the stages keep their order, and the account needs all of them.
#[tokio::test]
async fn oa_59_no_stage_can_be_skipped() {
    let flow = flows("m.login.registration_token+m.login.terms+m.login.dummy");
    let server = start(&[flow, POLICIES]).await;
    let token = new_token(&server.server, &["--uses", "1"]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let form = page.form(PATH);
    for (stage, status) in [
        (TERMS, 400),
        ("m.login.dummy", 400),
        ("m.login.password", 400),
        ("m.login.email.identity", 400),
        ("unknown", 400),
    ] {
        let page = browser.submit(&form, &[("stage", stage)]).await;
        assert_eq!(page.reply.status, status, "{stage}: {}", page.text);
    }
    // Without a stage, the page of the next one is shown.
    let mut bare = form.clone();
    bare.fields.retain(|(name, _)| name != "stage");
    let page = browser.submit(&bare, &[]).await.expect(200);
    assert!(page.text.contains("name=\"token\""), "{}", page.text);
    assert!(users(&server.server).is_empty());
    assert_eq!(uses_left(&server.server), [1]);
    let page = next(&mut browser, &page, &[("token", &token)]).await;
    // The stage that is completed already changes nothing.
    let again = browser.submit(&form, &[("token", &token)]).await;
    assert!(users(&server.server).is_empty(), "{}", again.text);
    next(&mut browser, &page, &[]).await.form("/consent");
}

/// OA-48, OA-54: a form needs the cookie, the CSRF token and the context of its browser.
#[tokio::test]
async fn oa_54_a_form_of_another_page_or_browser_is_refused() {
    let server = start(&[flows("m.login.terms+m.login.dummy"), POLICIES]).await;
    let mut alice = Browser::new(&server.server);
    let first = first_form(&server, &mut alice).await;
    let first = first.with(&details("alice"));
    let mut mallory = Browser::new(&server.server);
    let foreign = first_form(&server, &mut mallory).await;
    let foreign = foreign.with(&details("mallory"));
    let login = request(&server).with("prompt", "");
    let of_login = alice.clone().open(&login).await.form("/login");
    let own = |name| foreign.value(name).to_owned();
    for form in [
        first.clone().with(&[("csrf", "")]),
        first.clone().with(&[("csrf", &own("csrf"))]),
        first.clone().with(&[("csrf", of_login.value("csrf"))]),
        first.clone().with(&[("context", "")]),
        first.clone().with(&[("context", &own("context"))]),
        first
            .clone()
            .with(&[("context", &with_changed_bit(first.value("context")))]),
        first.clone().with(&[("session", "x y")]),
        first.clone().with(&[("session", "unknown")]),
        foreign.clone(),
    ] {
        assert_refused(&server, &mut alice, &form).await;
    }
    assert_refused(&server, &mut mallory, &first).await;
    assert_refused(&server, &mut Browser::new(&server.server), &first).await;
    let mut without = first.clone();
    without.fields.retain(|(name, _)| name != "csrf");
    assert_refused(&server, &mut alice, &without).await;
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
    ] {
        let (status, text) = send(&mut alice, &first, &headers).await;
        assert_eq!(status, 400, "{headers:?}: {text}");
    }
    let stage = alice.submit(&first, &[]).await.expect(200).form(PATH);
    // The session of alice is useless in another browser, and with another context of the same browser.
    let session = stage.value("session").to_owned();
    let stolen = foreign.clone().with(&[("session", &session)]);
    assert_refused(&server, &mut mallory, &stolen).await;
    let mut of_stage = stolen.clone();
    of_stage.fields.retain(|(name, _)| name != "username");
    assert_refused(&server, &mut mallory, &of_stage).await;
    let other = first_form(&server, &mut alice).await;
    let mixed = stage.clone().with(&[("context", other.value("context"))]);
    assert_refused(&server, &mut alice, &mixed).await;
    let url = format!("{PATH}?context={}&session={session}", own("context"));
    mallory.get_once(&url).await.expect(400);
    alice.get_once(&url).await.expect(400);
    assert!(users(&server.server).is_empty());
    alice.submit(&stage, &[]).await.expect(200).form("/consent");
}

/// OA-67: a form of an earlier page gets the same result or a page that says what to do.
#[tokio::test]
async fn oa_67_back_and_expiry_have_a_clear_page() {
    let server = start(&[flows("m.login.terms+m.login.dummy"), POLICIES]).await;
    let mut browser = Browser::new(&server.server);
    let first = first_form(&server, &mut browser).await;
    let mut late = browser.clone();
    let one = browser.submit(&first, &details("alice")).await.expect(200);
    let two = browser.submit(&first, &details("alice")).await.expect(200);
    assert_eq!(one.form(PATH).fields, two.form(PATH).fields);
    // Another name is another sign-up.
    let three = browser.submit(&first, &details("carol")).await.expect(200);
    assert_ne!(one.form(PATH).fields, three.form(PATH).fields);
    next(&mut browser, &one, &[]).await.form("/consent");
    // The cookie has changed, so the earlier form cannot be used again.
    let back = browser.submit(&one.form(PATH), &[]).await.expect(400);
    assert!(back.text.contains("Start again in your app"));
    assert_eq!(users(&server.server).len(), 1);
    server.server.advance(Duration::from_mins(61));
    let expired = late.submit(&first, &details("dave")).await.expect(400);
    assert!(expired.text.contains("Start again in your app"));
    assert_eq!(users(&server.server).len(), 1);
}

/// OA-57, OA-59: the session key cannot be guessed from the name, because it depends on the password too.
#[tokio::test]
async fn oa_59_the_password_of_another_form_begins_another_sign_up() {
    let server = start(&[flows("m.login.terms+m.login.dummy"), POLICIES]).await;
    let mut browser = Browser::new(&server.server);
    let first = first_form(&server, &mut browser).await;
    let one = browser.submit(&first, &details("alice")).await.expect(200);
    let other = format!("{PASSWORD} 2");
    let values = [
        ("username", "alice"),
        ("password", other.as_str()),
        ("password_again", other.as_str()),
    ];
    let two = browser.submit(&first, &values).await.expect(200);
    let session = |page: &super::Page| page.form(PATH).value("session").to_owned();
    assert_ne!(session(&one), session(&two));
}
