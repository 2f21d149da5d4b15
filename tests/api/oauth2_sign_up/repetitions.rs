//! Forms that are sent more than once (OA-67), and concurrent last forms (OA-59).

use std::sync::Arc;

use test_support::{PASSWORD, TestServer};

use super::{PATH, assert_signed_up, begin, open};
use crate::flows::support::{
    POLICIES, assert_users, at_once, count, flows,
    oauth_pages::{Browser, Form, OAUTH, oauth_rows},
    serial,
};

const MANY: usize = 100;

/// Sends one form many times at once from one browser. Returns the cookie and the consent page of each answer.
async fn send_at_once(
    server: &Arc<TestServer>,
    form: Form,
    cookies: std::collections::BTreeMap<String, String>,
) -> Vec<(String, String)> {
    at_once(MANY, move |_| {
        let (server, form, cookies) = (Arc::clone(server), form.clone(), cookies.clone());
        async move {
            let mut browser = Browser::new(&server);
            browser.cookies = cookies;
            let page = browser.submit(&form, &[]).await.expect(200);
            let is_consent = page.text.contains("Allow access to @alice:localhost?");
            assert!(is_consent, "{}", page.text);
            (browser.cookie().unwrap().to_owned(), page.text)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_59_a_hundred_first_forms_give_one_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[OAUTH]).await);
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let form = page.form(PATH).with(&[
        ("username", "alice"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ]);
    let cookies = browser.cookies.clone();
    let answers = send_at_once(&server, form, cookies).await;
    assert!(answers.iter().all(|(cookie, _)| *cookie == answers[0].0));
    assert_users(&server, &["alice"]);
    assert_eq!(oauth_rows(&server), ["BROWSER", "CLIENT"]);
    assert_eq!(count(&server, "UiaSessions"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_59_a_hundred_last_forms_give_one_account() {
    let _serial = serial().await;
    let server = TestServer::with(&[OAUTH, flows("m.login.terms"), POLICIES]).await;
    let server = Arc::new(server);
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    let cookies = browser.cookies.clone();
    let answers = send_at_once(&server, page.form(PATH), cookies).await;
    assert!(answers.iter().all(|(cookie, _)| *cookie == answers[0].0));
    assert_users(&server, &["alice"]);
    assert_eq!(oauth_rows(&server), ["BROWSER", "CLIENT"]);
}

/// The response to the last form was lost, so the browser still has the old cookie.
#[tokio::test]
async fn oa_67_a_form_that_is_sent_again_gets_the_same_session() {
    let server = TestServer::with(&[OAUTH, flows("m.login.terms"), POLICIES]).await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let terms = begin(&mut browser, &first, "alice").await.expect(200);
    let mut lost = browser.clone();
    lost.submit(&terms.form(PATH), &[]).await.expect(200);
    // The first form needs the password, and the last form the key of the sign-up.
    let mut second = browser.clone();
    let consent = begin(&mut second, &first, "alice").await;
    assert_eq!(second.cookie(), lost.cookie());
    assert_signed_up(&mut second, &consent, "alice").await;
    let values = [
        ("username", "alice"),
        ("password", "another password 5"),
        ("password_again", "another password 5"),
    ];
    let other = browser.clone().submit(&first.form(PATH), &values).await;
    assert!(other.text.contains("The username is already taken"));
    server.advance(std::time::Duration::from_secs(601));
    let late = browser.submit(&terms.form(PATH), &[]).await.expect(400);
    assert!(
        late.text.contains("The account has been created already"),
        "{}",
        late.text
    );
    assert_users(&server, &["alice"]);
}

/// After a sign-up, the cookie of the earlier pages has changed.
#[tokio::test]
async fn oa_67_going_back_after_a_sign_up_gives_a_clear_page() {
    let server = TestServer::with(&[OAUTH]).await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    begin(&mut browser, &first, "alice").await.expect(200);
    let again = begin(&mut browser, &first, "alice").await.expect(400);
    assert!(
        again.text.contains("Start again in your app"),
        "{}",
        again.text
    );
    assert_users(&server, &["alice"]);
}
