//! The cost of the account pages.

use std::time::Duration;

use test_support::{PASSWORD, TestServer};

use crate::flows::{
    cost::CostTable,
    support::{
        account_helpers::{ADDRESSES, OTHER_PASSWORD, sign_up_with},
        oauth_pages::{Browser, DEVICE, action, device_action},
        oauth_tokens::OAuthServer,
        threepid_helpers::{EMAIL, NUMBER, confirm, link_to},
    },
};

async fn pages(limits: &str) -> CostTable {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", limits)]].concat();
    let oauth = OAuthServer::with(&settings).await;
    let server = &oauth.server;
    oauth.log_in().await;
    sign_up_with(server, "bob", EMAIL, "bob@example.org").await;
    let mut browser = Browser::new(server);
    // The function is warm.
    browser.get("/account").await;
    server.advance(Duration::from_hours(1));
    let mut costs = CostTable::default();
    let login = browser.get("/account").await.form("/login");
    let values = [("user", "alice"), ("password", PASSWORD)];
    let login = login.with(&values);
    let work = browser.post(&login.action, &login.fields, &[]);
    let page = costs.measure("log in", server, work).await;
    page.expect(303);
    for (what, path) in [
        ("start page", "/account".to_owned()),
        ("list of devices", action("devices_list")),
        ("one device", device_action("device_view", DEVICE)),
        ("profile", action("profile")),
        ("password form", "/account?action=password".to_owned()),
    ] {
        let page = costs.measure(what, server, browser.get(&path)).await;
        page.expect(200);
    }
    server.advance(Duration::from_secs(10));
    let view = device_action("device_view", DEVICE);
    let delete = device_action("device_delete", DEVICE);
    let new = [
        ("password", OTHER_PASSWORD),
        ("password_again", OTHER_PASSWORD),
    ];
    for (what, path, form, values) in [
        ("rename", view.as_str(), "/rename", &[("name", "x")][..]),
        ("sign out", &delete, "/sign-out", &[]),
        (
            "new password",
            "/account?action=password",
            "/password",
            &new,
        ),
    ] {
        let form = browser.get(path).await.form(form);
        server.advance(Duration::from_secs(10));
        let page = costs.measure(what, server, browser.submit(&form, values));
        page.await.expect(200);
    }
    end_account(&mut costs, server, &mut browser).await;
    change_addresses(&mut costs, server).await;
    costs
}

/// A deactivation, and forms that change nothing.
async fn end_account(costs: &mut CostTable, server: &TestServer, browser: &mut Browser<'_>) {
    let form = browser.get(&action("account_deactivate")).await;
    let form = form.form("/deactivate");
    server.advance(Duration::from_mins(1));
    let work = browser.submit(&form, &[("csrf", "x")]);
    costs
        .measure("foreign form", server, work)
        .await
        .expect(400);
    let work = browser.submit(&form, &[]);
    costs.measure("deactivate", server, work).await.expect(200);
    server.advance(Duration::from_secs(10));
    let work = browser.submit(&form, &[]);
    let page = costs.measure("without a session", server, work).await;
    page.expect(200).form("/login");
}

/// Changes of the addresses of bob.
async fn change_addresses(costs: &mut CostTable, server: &TestServer) {
    let mut browser = Browser::new(server);
    let page = browser.log_in_at(&action("profile"), "bob", PASSWORD).await;
    let form = page.form("/remove");
    server.advance(Duration::from_secs(10));
    let work = browser.submit(&form, &[]);
    costs
        .measure("remove address", server, work)
        .await
        .expect(200);
    let send = page.form("/email").with(&[("email", "new@example.org")]);
    server.advance(Duration::from_mins(1));
    let work = browser.post(&send.action, &send.fields, &[]);
    let page = costs.measure("send an e-mail", server, work).await;
    let path = page.expect(303).location().unwrap();
    let work = browser.get(&path);
    let page = costs.measure("confirmation page", server, work).await;
    let add = page.form("/add");
    server.deliver().await;
    confirm(server, &link_to(server, "new@example.org")).await;
    server.advance(Duration::from_secs(10));
    let work = browser.submit(&add, &[]);
    costs
        .measure("add an address", server, work)
        .await
        .expect(200);
    server.advance(Duration::from_mins(6));
    let work = browser.submit(&form, &[("address", NUMBER.1)]);
    let page = costs.measure("old password", server, work).await;
    page.expect(200).form("/login");
}

/// OA-70: a page writes nothing.
#[tokio::test]
async fn account_pages_without_limits() {
    pages("off").await.assert(
        "log in: BatchGetItem Accounts > DeleteItem OAuth + PutItem OAuth = 2r 2w
        start page: GetItem OAuth > BatchGetItem Accounts = 3r 0w
        list of devices: GetItem OAuth > BatchGetItem Accounts + Query Accounts > BatchGetItem OAuth = 5r 0w
        one device: GetItem OAuth > BatchGetItem Accounts + GetItem Accounts > BatchGetItem OAuth = 5r 0w
        profile: GetItem OAuth > BatchGetItem Accounts + Query Accounts = 4r 0w
        password form: GetItem OAuth > BatchGetItem Accounts = 3r 0w
        rename: GetItem OAuth > BatchGetItem Accounts > UpdateItem Accounts = 3r 1w
        sign out: GetItem OAuth > BatchGetItem Accounts > TransactWriteItems Accounts = 3r 4w
        new password: GetItem OAuth > BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts&Outbox > DeleteItem OAuth + PutItem OAuth = 4r 9w
        foreign form: nothing
        deactivate: GetItem OAuth > BatchGetItem Accounts + UpdateItem OAuth > Query Accounts + Query Accounts > TransactWriteItems Accounts&Outbox = 5r 8w
        without a session: GetItem OAuth > BatchGetItem Accounts = 3r 0w
        remove address: GetItem OAuth > BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts&Outbox > Query Accounts = 5r 9w
        send an e-mail: GetItem OAuth > BatchGetItem Accounts + UpdateItem OAuth > GetItem Proofs > TransactWriteItems Outbox&Proofs = 4r 6w
        confirmation page: GetItem OAuth > BatchGetItem Accounts + GetItem Proofs = 4r 0w
        add an address: GetItem OAuth > BatchGetItem Accounts > GetItem Proofs > GetItem Accounts + Query Accounts > TransactWriteItems Accounts&Outbox&Proofs = 6r 13w
        old password: GetItem OAuth > BatchGetItem Accounts + UpdateItem OAuth = 3r 1w",
    );
}

#[tokio::test]
async fn account_pages_with_limits() {
    pages("on").await.assert(
        "log in: BatchGetItem Accounts&Limits + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > UpdateItem Limits > DeleteItem OAuth + PutItem OAuth + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits = 4r 9w
        start page: GetItem OAuth > BatchGetItem Accounts = 3r 0w
        list of devices: GetItem OAuth > BatchGetItem Accounts + Query Accounts > BatchGetItem OAuth = 5r 0w
        one device: GetItem OAuth > BatchGetItem Accounts + GetItem Accounts > BatchGetItem OAuth = 5r 0w
        profile: GetItem OAuth > BatchGetItem Accounts + Query Accounts = 4r 0w
        password form: GetItem OAuth > BatchGetItem Accounts = 3r 0w
        rename: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > UpdateItem Accounts = 3r 3w
        sign out: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > TransactWriteItems Accounts = 3r 6w
        new password: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > Query Accounts + UpdateItem Limits > UpdateItem Limits > TransactWriteItems Accounts&Outbox + UpdateItem Limits > DeleteItem OAuth + PutItem OAuth = 4r 14w
        foreign form: nothing
        deactivate: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts + UpdateItem OAuth > Query Accounts + Query Accounts > TransactWriteItems Accounts&Outbox = 5r 10w
        without a session: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts = 3r 2w
        remove address: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > Query Accounts > TransactWriteItems Accounts&Outbox > Query Accounts = 5r 11w
        send an e-mail: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts + UpdateItem OAuth > GetItem Proofs + UpdateItem Limits + UpdateItem Limits + UpdateItem Limits > TransactWriteItems Outbox&Proofs = 4r 11w
        confirmation page: GetItem OAuth > BatchGetItem Accounts + GetItem Proofs = 4r 0w
        add an address: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts > GetItem Proofs > GetItem Accounts + Query Accounts > UpdateItem Limits > TransactWriteItems Accounts&Outbox&Proofs = 6r 16w
        old password: GetItem OAuth + UpdateItem Limits + UpdateItem Limits > BatchGetItem Accounts + UpdateItem OAuth = 3r 3w",
    );
}
