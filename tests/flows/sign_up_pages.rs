//! Sign-ups by page that are repeated, or that lose a race for their name (OA-59, OA-67).

use std::{sync::Arc, time::Duration};

use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    POLICIES, at_once, count, flows,
    oauth_pages::{Authorization, Browser, Form, OAUTH, Page, oauth_rows},
    serial, users,
};

const PATH: &str = "/sign-up";
const MANY: usize = 100;

/// Opens the sign-up page of a new authorization.
async fn open(browser: &mut Browser<'_>, server: &TestServer) -> Page {
    let authorization = Authorization::native(server).with("prompt", "create");
    browser.open(&authorization).await.expect(200)
}

/// The first form of a page, filled in.
fn details(page: &Page, name: &str, password: &str) -> Form {
    page.form(PATH).with(&[
        ("username", name),
        ("password", password),
        ("password_again", password),
    ])
}

fn names(server: &TestServer) -> Vec<String> {
    users(server).into_keys().collect()
}

#[track_caller]
fn assert_consent(page: &Page, name: &str) {
    let question = format!("Allow access to @{name}:localhost?");
    assert!(page.text.contains(&question), "{}", page.text);
}

/// A double click on the button of the first page, in a flow without further forms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_59_a_hundred_first_forms_give_one_account() {
    let _serial = serial().await;
    let server = Arc::new(TestServer::with(&[OAUTH]).await);
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let form = details(&page, "alice", PASSWORD);
    server.expect_faults();
    let cookies = browser.cookies.clone();
    let answers = at_once(MANY, |_| {
        let (server, form, cookies) = (Arc::clone(&server), form.clone(), cookies.clone());
        async move {
            let mut browser = Browser::new(&server);
            browser.cookies = cookies;
            let page = browser.submit_until_answered(&form, &[]).await.expect(200);
            assert_consent(&page, "alice");
            browser.cookie().unwrap().to_owned()
        }
    })
    .await;
    assert!(answers.iter().all(|cookie| *cookie == answers[0]));
    assert_eq!(names(&server), ["alice"]);
    assert_eq!(oauth_rows(&server), ["BROWSER", "CLIENT"]);
    assert_eq!(count(&server, "UiaSessions"), 1);
}

/// The response to the last form was lost, so the browser still has the old cookie. The first form repeats the response
/// only with the same password.
#[tokio::test]
async fn oa_67_a_lost_response_is_repeated_for_ten_minutes() {
    let server = TestServer::with(&[OAUTH, flows("m.login.terms"), POLICIES]).await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let form = details(&first, "alice", PASSWORD);
    let terms = browser.submit(&form, &[]).await.expect(200).form(PATH);
    let mut lost = browser.clone();
    assert_consent(&lost.submit(&terms, &[]).await.expect(200), "alice");
    for form in [&form, &terms] {
        let mut again = browser.clone();
        assert_consent(&again.submit(form, &[]).await.expect(200), "alice");
        assert_eq!(again.cookie(), lost.cookie());
    }
    let other = details(&first, "alice", "another password 5");
    let other = browser.clone().submit(&other, &[]).await.expect(400);
    assert!(other.text.contains("The username is already taken"));
    server.advance(Duration::from_secs(601));
    for form in [&form, &terms] {
        let late = browser.clone().submit(form, &[]).await.expect(400);
        let text = "The account has been created already";
        assert!(late.text.contains(text), "{}", late.text);
    }
    assert_eq!(names(&server), ["alice"]);
}

/// The completed stages stay, and the first page asks for another name.
#[tokio::test]
async fn oa_59_a_name_that_is_taken_meanwhile_can_be_changed() {
    let offered = flows("m.login.terms m.login.dummy");
    let server = TestServer::with(&[OAUTH, offered, POLICIES]).await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let form = details(&first, "alice", PASSWORD);
    let choice = browser.submit(&form, &[]).await.expect(200);
    let link = choice.link("With the policies of this server").unwrap();
    let terms = browser.get(&link).await.expect(200);
    server.sign_up("alice").await;
    let page = browser.submit(&terms.form(PATH), &[]).await.expect(400);
    let text = "The username is already taken";
    assert!(page.text.contains(text), "{}", page.text);
    assert_eq!(page.form(PATH).value("username"), "alice");
    let form = details(&page, "alicia", PASSWORD);
    assert_consent(&browser.submit(&form, &[]).await.expect(200), "alicia");
    assert_eq!(names(&server), ["alice", "alicia"]);
}

/// A session of a client is no session of a page, and the other way round.
#[tokio::test]
async fn oa_59_pages_and_clients_share_no_session() {
    let server = TestServer::with(&[OAUTH, flows("m.login.terms"), POLICIES]).await;
    let mut browser = Browser::new(&server);
    let first = open(&mut browser, &server).await;
    let form = details(&first, "alice", PASSWORD);
    let terms = browser.submit(&form, &[]).await.expect(200).form(PATH);
    let (_, session) = server
        .begin(&crate::flows::support::registration("bob"))
        .await;
    let values = [("session", session.as_str())];
    browser.submit(&terms, &values).await.expect(400);
    let body = crate::flows::support::stage("m.login.terms", terms.value("session"));
    server.register(&body).await.refused("M_UNKNOWN");
    assert!(names(&server).is_empty());
}
