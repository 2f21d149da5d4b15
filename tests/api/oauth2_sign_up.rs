//! `GET` and `POST /oauth2/sign-up`: an account from the pages of the OAuth 2.0 API (OA-42, OA-43, OA-59, OA-60).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod forms;
mod refusals;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use shared::http::Query;
use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    POLICIES, assert_users, at_once,
    captcha_provider::Provider,
    flows,
    homeserver::Homeserver,
    new_token,
    oauth_pages::{Authorization, Browser, Form, NATIVE_URI, OAUTH, Page, native_client},
    oauth_tokens::{OAuthServer, TOKEN, send},
    serial,
    threepid_helpers::{
        ALICE, MAIL, NUMBER, SMS, assert_addresses, code_to, form_of, link_to, path_of,
    },
    users, uses_left,
};

/// The path of the pages.
const PATH: &str = "/oauth2/sign-up";

/// A server with the API and these settings.
async fn start(settings: &[(&str, &str)]) -> OAuthServer {
    of(TestServer::with(&[&[OAUTH], settings].concat()).await)
}

fn of(server: TestServer) -> OAuthServer {
    let client = native_client(&server);
    OAuthServer { server, client }
}

/// A request for a sign-up.
fn request(server: &OAuthServer) -> Authorization {
    Authorization::new(&server.client, NATIVE_URI).with("prompt", "create")
}

/// The fields of the first form.
fn details(name: &str) -> [(&str, &str); 3] {
    [
        ("username", name),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ]
}

/// The first form of a new request.
async fn first_form(server: &OAuthServer, browser: &mut Browser<'_>) -> Form {
    browser.open(&request(server)).await.expect(200).form(PATH)
}

/// Submits the first form. Returns the next page.
async fn begin(server: &OAuthServer, browser: &mut Browser<'_>, name: &str) -> Page {
    let form = first_form(server, browser).await;
    browser.submit(&form, &details(name)).await
}

/// Submits the form of a stage, which must be accepted.
async fn next(browser: &mut Browser<'_>, page: &Page, values: &[(&str, &str)]) -> Page {
    browser.submit(&page.form(PATH), values).await.expect(200)
}

/// Asserts that the page asks alice for consent and that alice has no device. Then gives consent and exchanges the code.
/// Returns the tokens.
async fn finish(server: &OAuthServer, browser: &mut Browser<'_>, consent: &Page) -> Value {
    assert!(
        consent.text.contains("@alice:localhost"),
        "{}",
        consent.text
    );
    let rows = users(&server.server)["alice"].clone();
    assert!(!rows.iter().any(|sk| sk.starts_with("DEV#")), "{rows:?}");
    let last = browser.decide(consent, "allow").await.expect(200);
    let exchange = server.exchange(&last.response()["code"]);
    let tokens = send(&server.server, TOKEN, &exchange).await.ok();
    let whoami = server.whoami(&tokens).await.ok();
    assert_eq!(whoami["user_id"], "@alice:localhost");
    assert_users(&server.server, &["alice"]);
    tokens
}

/// The path from which a page that waits reloads itself.
fn reload(page: &Page) -> String {
    let (_, meta) = page.text.split_once("http-equiv=\"refresh\" ").unwrap();
    let (_, query) = meta.split_once(";url=").unwrap();
    let query = query.split('"').next().unwrap().replace("&amp;", "&");
    format!("{PATH}{query}")
}

/// OA-55, OA-57, OA-59: the cookie changes, the browser has a session, and no device exists before the exchange.
#[tokio::test]
async fn oa_59_a_sign_up_without_further_stages_ends_in_tokens() {
    let server = start(&[]).await;
    let mut browser = Browser::new(&server.server);
    let form = first_form(&server, &mut browser).await;
    let before = browser.cookie().unwrap().to_owned();
    let consent = browser.submit(&form, &details("alice")).await.expect(200);
    let cookie = browser.cookie().unwrap().to_owned();
    assert_ne!(cookie, before, "OA-55");
    finish(&server, &mut browser, &consent).await;
    // The session serves the next request, and only this cookie has it.
    let again = request(&server).with("prompt", "");
    browser.open(&again).await.expect(200).form("/consent");
    let mut old = Browser::new(&server.server);
    let name = browser.cookies.keys().next().unwrap().clone();
    old.cookies.insert(name, before);
    old.open(&again).await.expect(200).form("/login");
    // The password is that of the form.
    let mut other = Browser::new(&server.server);
    let consent = other.log_in(&again, "alice", PASSWORD).await;
    consent.expect(200).form("/consent");
}

#[tokio::test]
async fn oa_59_the_policies_are_accepted_on_a_page() {
    let server = start(&[flows("m.login.terms+m.login.dummy"), POLICIES]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    assert!(
        page.text.contains("https://example.org/en"),
        "{}",
        page.text
    );
    assert!(users(&server.server).is_empty());
    let consent = next(&mut browser, &page, &[]).await;
    let rows = users(&server.server)["alice"].clone();
    assert!(rows.iter().any(|sk| sk.starts_with("TERMS#")), "{rows:?}");
    finish(&server, &mut browser, &consent).await;
}

#[tokio::test]
async fn oa_59_a_registration_token_is_used_with_the_account() {
    let server = start(&[flows("m.login.registration_token")]).await;
    let token = new_token(&server.server, &["--uses", "1"]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let wrong = browser
        .submit(&page.form(PATH), &[("token", "wrong")])
        .await;
    let page = wrong.expect(401);
    assert!(page.text.contains("role=\"alert\""), "{}", page.text);
    assert_eq!(uses_left(&server.server), [1]);
    let consent = next(&mut browser, &page, &[("token", &token)]).await;
    assert_eq!(uses_left(&server.server), [0]);
    finish(&server, &mut browser, &consent).await;
}

#[tokio::test]
async fn oa_59_a_captcha_is_solved_on_a_page() {
    let provider = Provider::start();
    let server = start(&provider.settings("m.login.recaptcha")).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let policy = page.reply.headers["content-security-policy"].to_str();
    let policy = policy.unwrap();
    assert!(policy.contains("script-src "), "{policy:?}");
    let field = "g-recaptcha-response";
    let refused = browser.submit(&page.form(PATH), &[(field, "bad")]).await;
    let page = refused.expect(401);
    assert!(users(&server.server).is_empty());
    let consent = next(&mut browser, &page, &[(field, "good-1")]).await;
    finish(&server, &mut browser, &consent).await;
}

/// OA-60: the page waits and reloads. The link is opened in another browser, which gets no session.
#[tokio::test]
async fn oa_60_the_link_of_an_email_begins_no_session_in_its_browser() {
    let server = start(&[flows("m.login.email.identity"), MAIL]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let waiting = next(&mut browser, &page, &[("email", ALICE)]).await;
    server.server.deliver().await;
    let waiting = browser.get(&reload(&waiting)).await.expect(200);
    assert!(waiting.text.contains("http-equiv=\"refresh\""));
    // The button has no effect before the link is opened.
    let form = waiting.form(PATH);
    let early = browser.submit(&form, &[("action", "check")]).await;
    let waiting = early.expect(401);
    let link = link_to(&server.server, ALICE);
    let mut other = Browser::new(&server.server);
    let plain = request(&server).with("prompt", "");
    other.open(&plain).await.expect(200).form("/login");
    let cookie = other.cookie().unwrap().to_owned();
    other.get(path_of(&link)).await.expect(200);
    let (path, form) = form_of(&server.server, &link).await;
    let form = Query::parse(format!("{form}&action=confirm").as_bytes());
    let fields = form.pairs();
    let fields: Vec<_> = fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let confirmed = other.post(&path, &fields, &[]).await.expect(200);
    assert!(confirmed.reply.headers.get("set-cookie").is_none());
    assert_eq!(other.cookie(), Some(cookie.as_str()));
    other.open(&plain).await.expect(200).form("/login");
    assert!(users(&server.server).is_empty());
    // The first browser continues by itself to a button, and has the session after it.
    let confirmed = browser.get(&reload(&waiting)).await.expect(200);
    assert!(!confirmed.text.contains("http-equiv=\"refresh\""));
    assert!(users(&server.server).is_empty(), "OA-70");
    let consent = next(&mut browser, &confirmed, &[("action", "check")]).await;
    finish(&server, &mut browser, &consent).await;
    other.open(&plain).await.expect(200).form("/login");
    assert_addresses(&server.server, &[(&format!("email#{ALICE}"), "alice")]);
}

#[tokio::test]
async fn oa_59_a_phone_number_is_confirmed_with_a_code() {
    let server = start(&[flows("m.login.msisdn"), SMS]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let page = next(&mut browser, &page, &number).await;
    server.server.deliver().await;
    let code = code_to(&server.server, NUMBER.1);
    let values = [("action", "check"), ("code", code.as_str())];
    let consent = next(&mut browser, &page, &values).await;
    finish(&server, &mut browser, &consent).await;
    assert_addresses(
        &server.server,
        &[(&format!("msisdn#{}", NUMBER.1), "alice")],
    );
}

/// A choice of flows is a page with links.
#[tokio::test]
async fn oa_59_the_user_chooses_between_flows() {
    let offered = flows("m.login.email.identity m.login.msisdn");
    let server = start(&[offered, MAIL, SMS]).await;
    let mut browser = Browser::new(&server.server);
    let choice = begin(&server, &mut browser, "alice").await.expect(200);
    assert!(choice.find_form(PATH).is_none());
    let mail = choice.link("With an e-mail address").unwrap();
    let page = browser.get(&mail).await.expect(200);
    page.form(PATH);
    let back = page.link("Choose another way").unwrap();
    let choice = browser.get(&back).await.expect(200);
    let phone = choice.link("With a phone number").unwrap();
    let page = browser.get(&phone).await.expect(200);
    assert!(page.text.contains("phone_number"), "{}", page.text);
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let page = next(&mut browser, &page, &number).await;
    server.server.deliver().await;
    let code = code_to(&server.server, NUMBER.1);
    let values = [("action", "check"), ("code", code.as_str())];
    let consent = next(&mut browser, &page, &values).await;
    finish(&server, &mut browser, &consent).await;
}

/// HS-11, OA-80: the user is provisioned at the sign-up, the device at the exchange.
#[tokio::test]
async fn oa_59_the_user_is_provisioned_at_the_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    let server = of(server);
    let mut browser = Browser::new(&server.server);
    let consent = begin(&server, &mut browser, "alice").await.expect(200);
    let calls = ["is_localpart_available alice", "provision_user alice"];
    assert_eq!(homeserver.take_calls(), calls);
    assert!(homeserver.devices("alice").is_empty());
    let last = browser.decide(&consent, "allow").await.expect(200);
    let exchange = server.exchange(&last.response()["code"]);
    send(&server.server, TOKEN, &exchange).await.ok();
    assert_eq!(homeserver.devices("alice").len(), 1);
    homeserver.assert_no_violations();
}

/// OA-59, OA-67: one browser sends the last form 100 times.
#[tokio::test]
async fn oa_59_a_last_form_that_is_sent_100_times_creates_one_account() {
    let _guard = serial().await;
    let server = start(&[flows("m.login.terms+m.login.dummy"), POLICIES]).await;
    let mut browser = Browser::new(&server.server);
    let page = begin(&server, &mut browser, "alice").await.expect(200);
    let (form, cookies) = (page.form(PATH), browser.cookies.clone());
    server.server.expect_faults();
    let shared = Arc::new(server);
    let outcomes = at_once(100, |_| {
        let (server, form) = (Arc::clone(&shared), form.clone());
        let cookies = cookies.clone();
        async move {
            let mut browser = Browser::new(&server.server);
            browser.cookies = cookies;
            let page = browser.submit_until_answered(&form, &[]).await;
            (page, browser.cookies)
        }
    })
    .await;
    let cookies: BTreeSet<_> = outcomes
        .iter()
        .map(|(page, cookies)| {
            assert_eq!(page.reply.status, 200, "{}", page.text);
            assert!(page.text.contains("@alice:localhost"), "{}", page.text);
            cookies.values().next().unwrap().clone()
        })
        .collect();
    assert_eq!(cookies.len(), 1, "every response has the same cookie");
    let (page, cookies) = outcomes.into_iter().next().unwrap();
    let mut browser = Browser::new(&shared.server);
    browser.cookies = cookies;
    finish(&shared, &mut browser, &page).await;
}

/// OA-59: 100 browsers want the same name and have one use of a registration token.
#[tokio::test]
async fn oa_59_a_name_that_100_browsers_want_has_one_account() {
    let _guard = serial().await;
    let server = start(&[flows("m.login.registration_token")]).await;
    let token = new_token(&server.server, &["--uses", "100"]).await;
    server.server.expect_faults();
    let shared = Arc::new(server);
    let pages = at_once(100, |_| {
        let (server, token) = (Arc::clone(&shared), token.clone());
        async move {
            let mut browser = Browser::new(&server.server);
            let first = first_form(&server, &mut browser).await;
            let values = details("alice");
            let page = browser.submit_until_answered(&first, &values).await;
            match page.find_form(PATH) {
                Some(form) => {
                    let token = [("token", token.as_str())];
                    browser.submit_until_answered(&form, &token).await
                }
                None => page,
            }
        }
    })
    .await;
    let winners = pages.iter().filter(|page| page.reply.status == 200).count();
    assert_eq!(winners, 1);
    for page in pages.iter().filter(|page| page.reply.status != 200) {
        assert_eq!(page.reply.status, 400, "{}", page.text);
        assert!(page.find_form("/consent").is_none(), "{}", page.text);
    }
    assert_eq!(users(&shared.server).keys().collect::<Vec<_>>(), ["alice"]);
    assert_eq!(uses_left(&shared.server).iter().sum::<i64>(), 99);
}
