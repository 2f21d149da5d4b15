//! The scenario of the sign-up pages, with limits on: every stage, duplicates, and the link of an earlier session.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::BTreeSet;

use gatehouse_local::dynamodb::proxy::Use;
use test_support::{PASSWORD, TestServer};

use super::start_every_function;
use crate::flows::support::{
    POLICIES, flows,
    homeserver::{Homeserver, Misbehaviour},
    new_token,
    oauth_pages::{Authorization, Browser, OAUTH, Page},
    threepid_helpers::{ALICE, MAIL, NUMBER, SMS, code_to, confirm, link_to},
};

const PATH: &str = "/sign-up";
const FLOW: &str = "m.login.registration_token+m.login.terms+m.login.email.identity+m.login.msisdn";

/// Submits the first form of a new authorization.
async fn begin(browser: &mut Browser<'_>, server: &TestServer, name: &str) -> Page {
    let authorization = Authorization::native(server).with("prompt", "create");
    let form = browser.open(&authorization).await.form(PATH);
    browser.submit(&form, &details(name)).await
}

fn details(name: &str) -> [(&str, &str); 3] {
    [
        ("username", name),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ]
}

async fn next(browser: &mut Browser<'_>, page: &Page, values: &[(&str, &str)]) -> Page {
    browser.submit(&page.form(PATH), values).await.expect(200)
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let settings = [
        OAUTH,
        flows(FLOW),
        POLICIES,
        MAIL,
        SMS,
        ("GATEHOUSE_LIMITS", "on"),
    ];
    let server = TestServer::with(&settings).await;
    start_every_function(&server).await;
    let token = new_token(&server, &["--uses", "5"]).await;
    let mut browser = Browser::new(&server);
    let page = begin(&mut browser, &server, "alice").await;
    let page = next(&mut browser, &page, &[("token", &token)]).await;
    let page = next(&mut browser, &page, &[]).await;
    // The message is sent twice, so that the second request replaces the first.
    let page = next(&mut browser, &page, &[("email", ALICE)]).await;
    let page = next(&mut browser, &page, &[("action", "restart")]).await;
    let page = next(&mut browser, &page, &[("email", ALICE)]).await;
    server.deliver().await;
    confirm(&server, &link_to(&server, ALICE)).await;
    let page = next(&mut browser, &page, &[("action", "check")]).await;
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let page = next(&mut browser, &page, &number).await;
    server.deliver().await;
    let code = code_to(&server, NUMBER.1);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let wrong = [("action", "check"), ("code", wrong)];
    let page = browser.submit(&page.form(PATH), &wrong).await;
    let old = browser.clone();
    let right = [("action", "check"), ("code", code.as_str())];
    let consent = next(&mut browser, &page, &right).await;
    consent.form("/consent");
    // The response is repeated for the old cookie.
    let mut old = old;
    next(&mut old, &page, &right).await.form("/consent");
    let mut used = server.local.proxy().used();
    used.extend(with_homeserver().await);
    used
}

/// Users of a homeserver: in a browser that has the session of another user, after a lost response of the homeserver, and
/// with a name that is taken there in between.
async fn with_homeserver() -> BTreeSet<Use> {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    server.expect_faults();
    let mut browser = Browser::new(&server);
    let consent = begin(&mut browser, &server, "alice").await;
    consent.expect(200).form("/consent");
    let authorization = Authorization::native(&server).with("prompt", "create");
    let choice = browser.open(&authorization).await.expect(200);
    let link = choice.link("Create a new account").unwrap();
    let form = browser.get(&link).await.form(PATH);
    let form = form.with(&details("bob"));
    homeserver.misbehave_at(2, Misbehaviour::LosesResponse);
    browser.submit(&form, &[]).await.expect(503);
    homeserver.set_misbehaviour(None);
    let mut again = browser.clone();
    for browser in [&mut browser, &mut again] {
        let consent = browser.submit(&form, &[]).await.expect(200);
        consent.form("/consent");
    }
    homeserver.create_foreign_after_check("dave");
    let mut browser = Browser::new(&server);
    begin(&mut browser, &server, "dave").await.expect(400);
    server.local.proxy().used()
}
