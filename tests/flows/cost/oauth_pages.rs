//! The cost of the pages of the OAuth 2.0 API.

use std::time::Duration;

use test_support::{PASSWORD, TestServer};

use crate::flows::{
    cost::CostTable,
    support::oauth_pages::{Authorization, Browser, OAUTH, Page},
};

async fn pages(limits: &str) -> CostTable {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", limits)]).await;
    server.sign_up("alice").await;
    let valid = Authorization::native(&server);
    let mut browser = Browser::new(&server);
    // The functions are warm.
    browser.open(&valid).await;
    server.advance(Duration::from_hours(1));
    let mut costs = CostTable::default();
    let expect = |page: Page, status: u16| page.expect(status);
    let work = browser.open(&valid);
    let page = costs.measure("authorize", &server, work).await;
    let login = expect(page, 200).form("/login");
    for (what, user, password, status) in [
        ("login page, wrong", "alice", "wrong", 403),
        ("login page, nobody", "nobody", "wrong", 403),
    ] {
        server.advance(Duration::from_mins(5));
        let values = [("user", user), ("password", password)];
        let work = browser.submit(&login, &values);
        expect(costs.measure(what, &server, work).await, status);
    }
    server.advance(Duration::from_mins(5));
    let values = [("user", "alice"), ("password", PASSWORD)];
    let work = browser.submit(&login, &values);
    expect(costs.measure("login page", &server, work).await, 200);
    let work = browser.open(&valid);
    let page = costs
        .measure("authorize with a session", &server, work)
        .await;
    let page = expect(page, 200);
    let consent = page.form("/consent");
    for what in ["allow", "allow, repeated"] {
        server.advance(Duration::from_secs(10));
        let work = browser.submit(&consent, &[("action", "allow")]);
        expect(costs.measure(what, &server, work).await, 200);
    }
    server.advance(Duration::from_mins(1));
    let work = browser.submit(&consent, &[("action", "allow")]);
    let what = "allow, first use in a minute";
    expect(costs.measure(what, &server, work).await, 200);
    let work = browser.submit(&consent, &[("action", "cancel")]);
    expect(costs.measure("cancel", &server, work).await, 200);
    let work = browser.submit(&consent, &[("csrf", "x")]);
    expect(costs.measure("foreign form", &server, work).await, 400);
    server.advance(Duration::from_secs(10));
    let log_out = page.form("/logout");
    let work = browser.submit(&log_out, &[]);
    expect(costs.measure("log out by page", &server, work).await, 200);
    costs
}

/// OA-47: `GET` writes nothing.
#[tokio::test]
async fn oauth_pages_without_limits() {
    pages("off").await.assert(
        "authorize: BatchGetItem OAuth = 2r 0w
        login page, wrong: BatchGetItem Accounts = 2r 0w
        login page, nobody: BatchGetItem Accounts = 2r 0w
        login page: BatchGetItem Accounts > BatchGetItem Accounts + BatchGetItem OAuth + DeleteItem OAuth + PutItem OAuth = 5r 2w
        authorize with a session: BatchGetItem OAuth > BatchGetItem Accounts = 4r 0w
        allow: BatchGetItem OAuth > BatchGetItem Accounts + PutItem OAuth = 3r 1w
        allow, repeated: BatchGetItem OAuth > BatchGetItem Accounts + PutItem OAuth = 3r 1w
        allow, first use in a minute: BatchGetItem OAuth > BatchGetItem Accounts + PutItem OAuth + UpdateItem OAuth = 3r 2w
        cancel: nothing
        foreign form: nothing
        log out by page: DeleteItem OAuth = 0r 1w",
    );
}

#[tokio::test]
async fn oauth_pages_with_limits() {
    pages("on").await.assert(
        "authorize: BatchGetItem OAuth = 2r 0w
        login page, wrong: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 4r 4w
        login page, nobody: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits = 4r 4w
        login page: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > BatchGetItem Accounts + BatchGetItem OAuth + DeleteItem OAuth + PutItem OAuth + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 7r 9w
        authorize with a session: BatchGetItem OAuth > BatchGetItem Accounts = 4r 0w
        allow: BatchGetItem OAuth + UpdateItem Limits > BatchGetItem Accounts + PutItem OAuth = 3r 2w
        allow, repeated: BatchGetItem OAuth + UpdateItem Limits > BatchGetItem Accounts + PutItem OAuth = 3r 2w
        allow, first use in a minute: BatchGetItem OAuth + UpdateItem Limits > BatchGetItem Accounts + PutItem OAuth + UpdateItem OAuth = 3r 3w
        cancel: nothing
        foreign form: nothing
        log out by page: UpdateItem Limits > DeleteItem OAuth = 0r 2w",
    );
}
