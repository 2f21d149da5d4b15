//! The cost of the device authorization grant.

use std::time::Duration;

use crate::flows::{
    cost::CostTable,
    support::{
        device_grant::{DEVICE_PATH, GrantServer, LINK},
        oauth_pages::Browser,
        oauth_tokens::send,
    },
};

async fn costs(limits: &str) -> CostTable {
    let grant = GrantServer::with(&[("GATEHOUSE_LIMITS", limits)]).await;
    let server = &grant.server;
    let mut browser = Browser::new(server);
    // The functions are warm.
    let first = grant.device().await;
    first.consent(&mut browser, "alice").await;
    grant.poll(&first).await;
    server.advance(Duration::from_mins(1));
    let mut costs = CostTable::default();
    let request = grant.request();
    let work = send(server, DEVICE_PATH, &request);
    costs.expect("request", server, work, 200).await;
    let (device, denied) = (grant.device().await, grant.device().await);
    server.advance(Duration::from_secs(5));
    let work = grant.poll(&device);
    costs.expect("poll", server, work, 400).await;
    let work = grant.poll(&device);
    costs.expect("poll, too early", server, work, 400).await;
    let mut other = Browser::new(server);
    let work = other.get(LINK);
    costs.measure("first page", server, work).await.expect(200);
    let work = browser.get(LINK);
    let page = costs.measure("page for the code", server, work).await;
    let form = page.expect(200).form(LINK);
    let work = browser.submit(&form, &[("user_code", "BCDF-GHJK")]);
    let page = costs.measure("wrong code", server, work).await;
    page.expect(400);
    let work = browser.submit(&form, &[("user_code", "x")]);
    let page = costs.measure("no code", server, work).await;
    page.expect(400);
    server.advance(Duration::from_mins(5));
    let values = [("user_code", device.user_code.as_str())];
    let work = browser.submit(&form, &values);
    let consent = costs.measure("code", server, work).await.expect(200);
    let refused = denied.consent(&mut browser, "alice").await;
    let work = browser.decide(&consent, "allow");
    costs.measure("allow", server, work).await.expect(200);
    let work = browser.decide(&consent, "allow");
    let page = costs.measure("allow, repeated", server, work).await;
    page.expect(200);
    let work = browser.decide(&refused, "cancel");
    costs.measure("cancel", server, work).await.expect(200);
    let work = grant.poll(&device);
    costs.expect("exchange", server, work, 200).await;
    let work = grant.poll(&device);
    let reply = costs.measure("exchange, repeated", server, work).await;
    let tokens = reply.ok();
    for what in ["first use of a token", "second use"] {
        let work = server.whoami(tokens["access_token"].as_str().unwrap());
        costs.expect(what, server, work, 200).await;
    }
    let work = grant.poll(&denied);
    costs
        .expect("poll after a refusal", server, work, 400)
        .await;
    let work = grant.poll(&device);
    costs.expect("poll after a use", server, work, 400).await;
    costs
}

/// A poll before the decision is one write, and no read.
#[tokio::test]
async fn device_grant_without_limits() {
    costs("off").await.assert(
        "request: GetItem OAuth > TransactWriteItems OAuth = 1r 4w
        poll: UpdateItem OAuth = 0r 1w
        poll, too early: UpdateItem OAuth > UpdateItem OAuth = 0r 1w
        first page: nothing
        page for the code: GetItem OAuth > BatchGetItem Accounts = 2r 0w
        wrong code: GetItem OAuth > BatchGetItem Accounts + BatchGetItem OAuth = 3r 0w
        no code: GetItem OAuth > BatchGetItem Accounts = 2r 0w
        code: GetItem OAuth > BatchGetItem Accounts + BatchGetItem OAuth > UpdateItem OAuth > GetItem Accounts + GetItem OAuth + UpdateItem OAuth = 5r 2w
        allow: GetItem OAuth > TransactWriteItems Accounts&OAuth = 1r 4w
        allow, repeated: GetItem OAuth > TransactWriteItems Accounts&OAuth > GetItem OAuth = 2r 0w
        cancel: GetItem OAuth > TransactWriteItems Accounts&OAuth = 1r 4w
        exchange: UpdateItem OAuth > GetItem OAuth > TransactWriteItems Accounts&OAuth = 1r 6w
        exchange, repeated: UpdateItem OAuth > BatchGetItem Accounts = 2r 0w
        first use of a token: BatchGetItem Accounts > UpdateItem Accounts = 2r 1w
        second use: BatchGetItem Accounts = 2r 0w
        poll after a refusal: UpdateItem OAuth = 0r 0w
        poll after a use: UpdateItem OAuth > BatchGetItem Accounts = 2r 0w",
    );
}

#[tokio::test]
async fn device_grant_with_limits() {
    costs("on").await.assert(
        "request: GetItem OAuth + UpdateItem Limits > TransactWriteItems OAuth = 1r 5w
        poll: UpdateItem OAuth = 0r 1w
        poll, too early: UpdateItem OAuth > UpdateItem OAuth = 0r 1w
        first page: nothing
        page for the code: GetItem OAuth > BatchGetItem Accounts = 2r 0w
        wrong code: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > BatchGetItem Accounts + BatchGetItem OAuth = 3r 3w
        no code: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > BatchGetItem Accounts = 2r 3w
        code: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > UpdateItem Limits > BatchGetItem Accounts + BatchGetItem OAuth > UpdateItem OAuth > GetItem Accounts + GetItem OAuth + UpdateItem Limits + UpdateItem Limits + UpdateItem OAuth = 5r 7w
        allow: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&OAuth = 1r 5w
        allow, repeated: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&OAuth > GetItem OAuth = 2r 1w
        cancel: GetItem OAuth + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&OAuth = 1r 5w
        exchange: UpdateItem OAuth > GetItem OAuth > TransactWriteItems Accounts&OAuth = 1r 6w
        exchange, repeated: UpdateItem OAuth > BatchGetItem Accounts = 2r 0w
        first use of a token: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Accounts = 2r 3w
        second use: BatchGetItem Accounts + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits + UpdateItem Limits = 2r 2w
        poll after a refusal: UpdateItem OAuth = 0r 0w
        poll after a use: UpdateItem OAuth > BatchGetItem Accounts > UpdateItem Limits = 2r 1w",
    );
}
