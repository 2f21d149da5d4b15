//! The scenario of the recovery pages: a new password after a link and after a code, without and with a homeserver.

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use test_support::TestServer;

use super::start_every_function;
use crate::flows::{
    homeserver::interrupt,
    support::{
        account_helpers::{ADDRESSES, OTHER_PASSWORD, sign_up_with},
        homeserver::{Homeserver, Misbehaviour},
        oauth_pages::{Authorization, Browser, OAUTH, Page},
        threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, code_to, confirm, link_to},
    },
};

const PATH: &str = "/recovery";

/// Opens the page of a stage.
async fn open(browser: &mut Browser<'_>, server: &TestServer, stage: &str) -> Page {
    let login = browser.open(&Authorization::native(server)).await;
    let link = login.link("Set a new password").unwrap();
    browser.get(&format!("{link}&stage={stage}")).await
}

async fn next(browser: &mut Browser<'_>, page: &Page, values: &[(&str, &str)]) -> Page {
    browser.submit(&page.form(PATH), values).await.expect(200)
}

async fn by_mail(browser: &mut Browser<'_>, server: &TestServer) -> Page {
    let page = open(browser, server, EMAIL).await;
    // The message is sent twice, so that the second request replaces the first.
    let page = next(browser, &page, &[("email", ALICE)]).await;
    let page = next(browser, &page, &[("action", "restart")]).await;
    let page = next(browser, &page, &[("email", ALICE)]).await;
    server.deliver().await;
    confirm(server, &link_to(server, ALICE)).await;
    next(browser, &page, &[("action", "check")]).await
}

async fn by_text(browser: &mut Browser<'_>, server: &TestServer) -> Page {
    let page = open(browser, server, MSISDN).await;
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let page = next(browser, &page, &number).await;
    server.deliver().await;
    let code = code_to(server, NUMBER.1);
    next(browser, &page, &[("action", "check"), ("code", &code)]).await
}

/// Sets the password twice: the second form gets the stored response.
async fn set_password(browser: &mut Browser<'_>, page: &Page) {
    let values = [
        ("password", OTHER_PASSWORD),
        ("password_again", OTHER_PASSWORD),
    ];
    for _ in 0..2 {
        next(browser, page, &values).await.form("/login");
    }
}

async fn recoveries(server: &TestServer) {
    sign_up_with(server, "alice", EMAIL, ALICE).await;
    sign_up_with(server, "bob", MSISDN, NUMBER.1).await;
    server.advance(Duration::from_hours(2));
    let mut browser = Browser::new(server);
    let page = by_mail(&mut browser, server).await;
    set_password(&mut browser, &page).await;
    let mut browser = Browser::new(server);
    let page = by_text(&mut browser, server).await;
    set_password(&mut browser, &page).await;
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let limited = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let server = TestServer::with(&limited).await;
    start_every_function(&server).await;
    recoveries(&server).await;
    let mut used = server.local.proxy().used();
    let settings = [&ADDRESSES[..], &[OAUTH]].concat();
    let (homeserver, server) = Homeserver::with_server(&settings).await;
    recoveries(&server).await;
    // An earlier change was interrupted, and the homeserver does not respond.
    server.advance(Duration::from_hours(2));
    let mut browser = Browser::new(&server);
    let page = by_mail(&mut browser, &server).await;
    interrupt(&server, "alice");
    set_password(&mut browser, &page).await;
    let mut browser = Browser::new(&server);
    let page = by_mail(&mut browser, &server).await;
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    set_password(&mut browser, &page).await;
    used.extend(server.local.proxy().used());
    used
}
