//! The scenario of the account pages, with limits on: every page and every change, with and without a homeserver.

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use test_support::{PASSWORD, TestServer};

use super::start_every_function;
use crate::flows::support::{
    account_helpers::{ADDRESSES, OTHER_PASSWORD, sign_up, sign_up_with},
    homeserver::{Homeserver, Misbehaviour},
    oauth_pages::{Browser, DEVICE, OAUTH, action, device_action},
    oauth_tokens::OAuthServer,
    threepid_helpers::{ALICE, EMAIL, NUMBER, code_to},
};

/// Opens the page of a change and submits its form.
async fn change(browser: &mut Browser<'_>, path: &str, form: &str, values: &[(&str, &str)]) {
    let form = browser.get(path).await.expect(200).form(form);
    browser.submit(&form, values).await.expect(200);
}

/// Every change of an account. The password is the last one before the deactivation.
async fn changes(server: &TestServer, user: &str, device: &str) {
    let mut browser = Browser::new(server);
    let path = action("devices_list");
    browser.log_in_at(&path, user, PASSWORD).await.expect(200);
    server.advance(Duration::from_mins(2));
    let (view, delete) = (
        device_action("device_view", device),
        device_action("device_delete", device),
    );
    change(&mut browser, &view, "/rename", &[("name", "x")]).await;
    change(&mut browser, &delete, "/sign-out", &[]).await;
    let new = [
        ("password", OTHER_PASSWORD),
        ("password_again", OTHER_PASSWORD),
    ];
    change(&mut browser, "/account?action=password", "/password", &new).await;
    let deactivate = action("account_deactivate");
    change(&mut browser, &deactivate, "/deactivate", &[]).await;
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let oauth = OAuthServer::with(&settings).await;
    let server = &oauth.server;
    start_every_function(server).await;
    oauth.log_in().await;
    let bob = sign_up_with(server, "bob", EMAIL, ALICE).await;
    let mut browser = Browser::new(server);
    let page = browser.log_in_at("/account", "nobody", "wrong").await;
    page.expect(403);
    let profile = action("profile");
    browser.log_in_at(&profile, ALICE, PASSWORD).await;
    change(&mut browser, &profile, "/remove", &[]).await;
    let form = browser.get(&profile).await.form("/phone");
    let number = [("country", "GB"), ("phone_number", NUMBER.0)];
    let form = browser.submit(&form, &number).await.form("/account/add");
    server.deliver().await;
    let code = code_to(server, NUMBER.1);
    for (code, status) in [("0", 400), (code.as_str(), 200)] {
        let page = browser.submit(&form, &[("code", code)]).await;
        page.expect(status);
    }
    let start = browser.get("/account").await.form("/logout");
    browser.submit(&start, &[]).await.expect(200);
    changes(server, "alice", DEVICE).await;
    changes(server, "bob", &bob.id).await;
    let mut used = server.local.proxy().used();
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    for (user, misbehaviour) in [("alice", None), ("bob", Some(Misbehaviour::Down))] {
        let device = sign_up(&server, user).await;
        homeserver.set_misbehaviour(misbehaviour);
        changes(&server, user, &device.id).await;
    }
    used.extend(server.local.proxy().used());
    used
}
