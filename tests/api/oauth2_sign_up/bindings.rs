//! A sign-up belongs to one browser and one authorization, and its stages have an order (OA-48, OA-54, incident of
//! CVE-2026-18963).

use test_support::TestServer;

use super::{PATH, assert_signed_up, begin, open};
use crate::flows::support::{
    POLICIES, assert_users, flows, new_token,
    oauth_pages::{Browser, Form, OAUTH, oauth_rows, with_changed_bit},
};

const FLOW: &str = "m.login.registration_token+m.login.terms";

async fn start() -> (TestServer, String) {
    let server = TestServer::with(&[OAUTH, flows(FLOW), POLICIES]).await;
    let token = new_token(&server, &["--uses", "9"]).await;
    (server, token)
}

/// The form of a stage that is not the next one.
fn of_stage(form: &Form, stage: &str) -> Form {
    form.clone().with(&[("stage", stage)])
}

#[tokio::test]
async fn oa_59_a_stage_cannot_be_skipped_or_replaced() {
    let (server, token) = start().await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    let form = page.form(PATH);
    for stage in [
        "m.login.terms",
        "m.login.dummy",
        "m.login.password",
        "x",
        "",
    ] {
        let page = browser.submit(&of_stage(&form, stage), &[]).await;
        assert_eq!(page.reply.status, 400, "{stage}: {}", page.text);
    }
    // Without a stage the page shows the next one.
    let mut without = form.clone();
    without.fields.retain(|(name, _)| name != "stage");
    let page = browser.submit(&without, &[]).await.expect(200);
    assert_eq!(page.form(PATH).value("stage"), "m.login.registration_token");
    assert_users(&server, &[]);
    let terms = browser
        .submit(&form, &[("token", &token)])
        .await
        .expect(200);
    // A completed stage may be sent again.
    let again = browser
        .submit(&form, &[("token", &token)])
        .await
        .expect(200);
    assert_eq!(again.form(PATH).value("stage"), "m.login.terms");
    let consent = browser.submit(&terms.form(PATH), &[]).await;
    assert_signed_up(&mut browser, &consent, "alice").await;
}

#[tokio::test]
async fn oa_48_another_browser_cannot_continue() {
    let (server, token) = start().await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let page = begin(&mut browser, &first, "alice").await.expect(200);
    let mut other = Browser::new(&server);
    let own = open(&mut other, &server).await;
    let csrf = own.form(PATH).value("csrf").to_owned();
    for form in [first.form(PATH), page.form(PATH)] {
        for values in [vec![], vec![("csrf", csrf.as_str())]] {
            let values = [&values[..], &[("token", token.as_str())]].concat();
            other.submit(&form, &values).await.expect(400);
        }
    }
    let context = page.form(PATH).value("context").to_owned();
    let session = page.form(PATH).value("session").to_owned();
    let path = format!("/oauth2/sign-up?context={context}&session={session}");
    other.get(&path).await.expect(400);
    browser.get(&path).await.expect(200);
    assert_users(&server, &[]);
    assert_eq!(oauth_rows(&server), ["CLIENT"]);
}

#[tokio::test]
async fn oa_48_a_sign_up_belongs_to_one_authorization() {
    let (server, token) = start().await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let page = begin(&mut browser, &first, "alice").await.expect(200);
    let other = open(&mut browser, &server).await;
    let foreign = other.form(PATH).value("context").to_owned();
    let changed = with_changed_bit(page.form(PATH).value("context"));
    for context in [foreign.as_str(), &changed, ""] {
        let values = [("context", context), ("token", &token)];
        browser.submit(&page.form(PATH), &values).await.expect(400);
    }
    for session in ["x", "", "a&b"] {
        let values = [("session", session), ("token", &token)];
        browser.submit(&page.form(PATH), &values).await.expect(400);
    }
    // The session of a client is not the session of a page.
    let (_, uia) = server
        .begin(&crate::flows::support::registration("bob"))
        .await;
    browser
        .submit(&page.form(PATH), &[("session", &uia)])
        .await
        .expect(400);
    assert_users(&server, &[]);
}

#[tokio::test]
async fn oa_54_a_form_needs_its_own_token_and_origin() {
    let (server, _) = start().await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let page = begin(&mut browser, &first, "alice").await.expect(200);
    let login = browser.get(&first.link("Log in").unwrap()).await;
    let csrf = login.form("/login").value("csrf").to_owned();
    let before = server.dump();
    for form in [first.form(PATH), page.form(PATH)] {
        for value in ["", "x", &csrf] {
            browser.submit(&form, &[("csrf", value)]).await.expect(400);
        }
        for header in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let path = &form.action;
            browser
                .post(path, &form.fields, &[header])
                .await
                .expect(400);
        }
    }
    assert_eq!(server.dump(), before);
}

#[tokio::test]
async fn oa_70_no_url_of_the_pages_writes_anything() {
    let (server, _) = start().await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let page = begin(&mut browser, &first, "alice").await.expect(200);
    let form = page.form(PATH);
    let (context, session) = (form.value("context"), form.value("session"));
    let base = format!("/oauth2/sign-up?context={context}");
    let before = server.dump();
    for rest in [
        String::new(),
        "&login=".to_owned(),
        format!("&session={session}"),
        format!("&session={session}&stage=m.login.terms&token=x&action=check"),
        format!("&session={session}&username=bob&password=x&password_again=x"),
    ] {
        browser.get(&format!("{base}{rest}")).await.expect(200);
    }
    browser.get("/oauth2/sign-up").await.expect(400);
    assert_eq!(server.dump(), before);
}
