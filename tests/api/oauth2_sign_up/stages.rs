//! The stages of a sign-up: each form, the choice between flows, and flows that are not completed.

use test_support::TestServer;

use super::{PATH, assert_signed_up, begin, open};
use crate::flows::support::{
    POLICIES, assert_users,
    captcha_provider::Provider,
    flows, new_token,
    oauth_pages::{Browser, OAUTH, oauth_rows},
    threepid_helpers::{MAIL, SMS, claims, code_to, confirm, link_to},
    uses_left,
};

const ADDRESS: &str = "alice@example.org";
const CHECK: (&str, &str) = ("action", "check");

#[tokio::test]
async fn oa_59_a_token_is_used_and_policies_are_accepted() {
    let offered = flows("m.login.registration_token+m.login.terms+m.login.dummy");
    let server = TestServer::with(&[OAUTH, offered, POLICIES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    assert!(
        page.text
            .contains("creating the account “alice” on localhost")
    );
    let wrong = browser
        .submit(&page.form(PATH), &[("token", "wrong")])
        .await;
    assert_eq!(wrong.reply.status, 401, "{}", wrong.text);
    assert!(wrong.text.contains("The registration token is not valid"));
    let page = browser
        .submit(&wrong.form(PATH), &[("token", &token)])
        .await;
    assert!(
        page.text.contains("https://example.org/fr"),
        "{}",
        page.text
    );
    assert_eq!(
        uses_left(&server).iter().sum::<i64>(),
        1,
        "nothing is used yet"
    );
    let consent = browser.submit(&page.form(PATH), &[]).await;
    assert_signed_up(&mut browser, &consent, "alice").await;
    assert_eq!(uses_left(&server).iter().sum::<i64>(), 0);
    assert!(crate::flows::support::users(&server)["alice"].contains("TERMS#privacy"));
}

#[tokio::test]
async fn oa_59_a_captcha_is_verified() {
    let provider = Provider::start();
    let mut settings = provider.settings("m.login.recaptcha").to_vec();
    settings.push(OAUTH);
    let server = TestServer::with(&settings).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    assert!(page.text.contains("g-recaptcha"), "{}", page.text);
    let form = page.form(PATH);
    let bad = browser
        .submit(&form, &[("g-recaptcha-response", "bad")])
        .await;
    assert_eq!(bad.reply.status, 401, "{}", bad.text);
    let consent = browser
        .submit(&form, &[("g-recaptcha-response", "good")])
        .await;
    assert_signed_up(&mut browser, &consent, "alice").await;
    assert_eq!(provider.forms().len(), 2);
}

/// The page waits and reloads itself. The browser of the link gets no session.
#[tokio::test]
async fn oa_60_a_link_in_another_browser_begins_no_session_there() {
    let server = TestServer::with(&[OAUTH, flows("m.login.email.identity"), MAIL]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    let waiting = browser
        .submit(&page.form(PATH), &[("email", ADDRESS)])
        .await;
    assert!(
        waiting
            .text
            .contains("We have sent a mail to a…@example.org")
    );
    let early = browser.submit(&waiting.form(PATH), &[CHECK]).await;
    assert_eq!(early.reply.status, 401, "{}", early.text);
    let (_, content) = waiting.text.split_once("content=\"5;url=").unwrap();
    let query = content.split('"').next().unwrap().replace("&amp;", "&");
    let reload = format!("/oauth2/sign-up{query}");
    assert!(query.ends_with("&reload=1"), "{query}");
    let again = browser.get(&reload).await.expect(200);
    assert!(again.text.contains("content=\"5;url="), "{}", again.text);
    server.deliver().await;
    // Another browser, without the cookie.
    let reply = confirm(&server, &link_to(&server, ADDRESS)).await;
    assert!(reply.headers.get("set-cookie").is_none());
    assert_eq!(oauth_rows(&server), ["CLIENT"]);
    let confirmed = browser.get(&reload).await.expect(200);
    assert!(confirmed.text.contains("Your address is confirmed"));
    assert!(!confirmed.text.contains("http-equiv"), "{}", confirmed.text);
    assert_users(&server, &[]);
    let consent = browser.submit(&confirmed.form(PATH), &[CHECK]).await;
    assert_signed_up(&mut browser, &consent, "alice").await;
    assert_eq!(claims(&server)[&format!("email#{ADDRESS}")], "alice");
}

#[tokio::test]
async fn oa_59_a_user_chooses_between_flows() {
    let offered = flows("m.login.email.identity m.login.msisdn");
    let server = TestServer::with(&[OAUTH, offered, MAIL, SMS]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let choice = begin(&mut browser, &page, "alice").await.expect(200);
    assert!(choice.find_form(PATH).is_none(), "{}", choice.text);
    let email = choice.link("With an e-mail address").unwrap();
    let page = browser.get(&email).await.expect(200);
    assert!(page.text.contains("Please enter your e-mail address"));
    let back = page.link("Choose another way").unwrap();
    let choice = browser.get(&back).await.expect(200);
    let phone = choice.link("With a phone number").unwrap();
    let page = browser.get(&phone).await.expect(200);
    let values = [("country", "GB"), ("phone_number", "07400 123456")];
    let page = browser.submit(&page.form(PATH), &values).await.expect(200);
    server.deliver().await;
    let code = code_to(&server, "447400123456");
    let wrong = [
        CHECK,
        ("code", if code == "000000" { "000001" } else { "000000" }),
    ];
    let page = browser.submit(&page.form(PATH), &wrong).await;
    assert!(
        page.text.contains("The code is not correct"),
        "{}",
        page.text
    );
    let consent = browser
        .submit(&page.form(PATH), &[CHECK, ("code", &code)])
        .await;
    assert_signed_up(&mut browser, &consent, "alice").await;
    assert_eq!(claims(&server)["msisdn#447400123456"], "alice");
}

#[tokio::test]
async fn oa_59_an_abandoned_sign_up_consumes_nothing() {
    let offered = flows("m.login.registration_token+m.login.terms");
    let server = TestServer::with(&[OAUTH, offered, POLICIES]).await;
    let token = new_token(&server, &["--uses", "1"]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let page = begin(&mut browser, &page, "alice").await.expect(200);
    browser
        .submit(&page.form(PATH), &[("token", &token)])
        .await
        .expect(200);
    assert_eq!(uses_left(&server).iter().sum::<i64>(), 1);
    assert_eq!(oauth_rows(&server), ["CLIENT"]);
    assert_users(&server, &[]);
    // Another user takes the name and the token.
    let mut other = Browser::new(&server);
    let page = open(&mut other, &server).await;
    let page = begin(&mut other, &page, "alice").await.expect(200);
    let page = other.submit(&page.form(PATH), &[("token", &token)]).await;
    let consent = other.submit(&page.form(PATH), &[]).await;
    assert_signed_up(&mut other, &consent, "alice").await;
}

/// The completed stages stay, and the first form asks for another name.
#[tokio::test]
async fn oa_59_a_name_that_is_taken_meanwhile_can_be_changed() {
    let offered = flows("m.login.terms m.login.dummy");
    let server = TestServer::with(&[OAUTH, offered, POLICIES]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    let choice = begin(&mut browser, &page, "alice").await.expect(200);
    let link = choice.link("With the policies of this server").unwrap();
    let terms = browser.get(&link).await.expect(200);
    server.sign_up("alice").await;
    let page = browser.submit(&terms.form(PATH), &[]).await.expect(400);
    assert!(
        page.text.contains("The username is already taken"),
        "{}",
        page.text
    );
    assert_eq!(page.form(PATH).value("username"), "alice");
    let consent = begin(&mut browser, &page, "alicia").await;
    assert_signed_up(&mut browser, &consent, "alicia").await;
}

#[tokio::test]
async fn oa_67_an_expired_page_says_to_start_again() {
    let server = TestServer::with(&[OAUTH]).await;
    let mut browser = Browser::new(&server);
    let page = open(&mut browser, &server).await;
    server.advance(std::time::Duration::from_secs(3601));
    let late = begin(&mut browser, &page, "alice").await.expect(400);
    assert!(
        late.text.contains("Start again in your app"),
        "{}",
        late.text
    );
    assert_users(&server, &[]);
}
