//! The list of devices, and changes of one device (OA-127, OA-129, OA-130).

use std::slice;

use serde_json::json;
use test_support::{PASSWORD, TestServer};

use crate::flows::support::{
    account_helpers::{Device, log_in, sign_up},
    homeserver::{Homeserver, Misbehaviour},
    oauth_pages::{Browser, DEVICE, OAUTH, Page, action, device_action},
    oauth_tokens::OAuthServer,
};

/// A browser of alice, at the page of an action with a device.
async fn at<'a>(server: &'a TestServer, name: &str, device: &str) -> (Browser<'a>, Page) {
    let mut browser = Browser::new(server);
    let path = device_action(name, device);
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    (browser, page.expect(200))
}

/// The IDs and the display names in the response of `GET /devices`.
async fn names(server: &TestServer, device: &Device) -> Vec<(String, String)> {
    let listed = server
        .get_as(&device.token, "/_matrix/client/v3/devices")
        .await
        .ok();
    let listed = listed["devices"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let pair = |own: &serde_json::Value| (text(&own["device_id"]), text(&own["display_name"]));
    listed.iter().map(pair).collect()
}

/// The name, the client, the API and the time of the login of each device. Devices of other users and devices that are
/// logged out are left out.
#[tokio::test]
async fn oa_130_the_list_shows_each_device() {
    let oauth = OAuthServer::new().await;
    let server = &oauth.server;
    oauth.log_in().await;
    let mut body = crate::flows::support::account_helpers::login_of("alice", PASSWORD);
    body["device_id"] = "LAPTOP".into();
    body["initial_device_display_name"] = "<b>Laptop</b>".into();
    server.post("/_matrix/client/v3/login", &body).await.ok();
    let ended = log_in(server, "alice", PASSWORD).await;
    ended.log_out(server).await;
    let bob = sign_up(server, "bob").await;
    let mut browser = Browser::new(server);
    let path = action("devices_list");
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    let page = page.expect(200);
    page.assert_protected();
    let entries: Vec<_> = page.text.split("<li>").skip(1).collect();
    let entry = |id: &str| {
        let own = format!("<dd>{id}</dd>");
        let found = entries.iter().find(|entry| entry.contains(&own));
        *found.unwrap_or_else(|| panic!("{id}: {}", page.text))
    };
    let (phone, laptop) = (entry(DEVICE), entry("LAPTOP"));
    for text in ["<bdi>Element X</bdi> (element.io)", "OAuth 2.0"] {
        assert!(phone.contains(text), "{phone}");
        assert!(!laptop.contains(text), "{laptop}");
    }
    assert!(laptop.contains("<bdi>&#60;b&#62;Laptop"), "{laptop}");
    assert!(laptop.contains("account API"), "{laptop}");
    for entry in [phone, laptop] {
        assert!(entry.contains("15 January 2027 at 08:00 UTC"), "{entry}");
    }
    assert!(!page.text.contains(&ended.id) && !page.text.contains(&bob.id));
    // The registration of alice also has a device.
    assert_eq!(entries.len(), 3);
    let link = page.link("Element X</bdi>").unwrap();
    let page = browser.get(&link).await.expect(200);
    assert!(page.text.contains("<bdi>Element X</bdi> (element.io)"));
}

/// OA-130: the tokens of the session are invalid at once, and the refresh token too.
#[tokio::test]
async fn oa_130_signing_out_revokes_an_oauth_session() {
    let oauth = OAuthServer::new().await;
    let tokens = oauth.log_in().await;
    oauth.whoami(&tokens).await.ok();
    let (mut browser, page) = at(&oauth.server, "device_delete", DEVICE).await;
    let form = page.form("/account/sign-out");
    let done = browser.submit(&form, &[]).await.expect(200);
    done.assert_protected();
    assert!(done.text.contains("The device is signed out"));
    oauth.whoami(&tokens).await.error(401, "M_UNKNOWN_TOKEN");
    assert_eq!(oauth.refresh(&tokens).await.status, 400);
    let list = browser.get(&done.link("Your devices").unwrap()).await;
    assert!(!list.text.contains(DEVICE));
    // DEV-03: a repeated form has the same page.
    let again = browser.submit(&form, &[]).await.expect(200);
    assert_eq!(again.text, done.text);
}

/// OA-127, OA-129: only devices of the user are deleted, and the page does not disclose whether there was one.
#[tokio::test]
async fn oa_127_a_foreign_device_is_not_signed_out() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let (mut browser, page) = at(&server, "device_delete", &alice.id).await;
    let form = page.form("/account/sign-out");
    let mut texts = Vec::new();
    for id in [bob.id.as_str(), "NOTTHERE", ""] {
        let page = browser.submit(&form, &[("device_id", id)]).await;
        texts.push(page.expect(200).text);
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
    assert!(alice.is_valid(&server).await && bob.is_valid(&server).await);
}

/// OA-129, HS-14: both changes of a device are carried over, and succeed without the homeserver.
#[tokio::test]
async fn oa_129_device_changes_reach_the_homeserver() {
    let (homeserver, server) = Homeserver::with_server(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    let other = log_in(&server, "alice", PASSWORD).await;
    let (mut browser, page) = at(&server, "device_view", &alice.id).await;
    homeserver.take_calls();
    let rename = page.form("/account/rename");
    let values = [("name", "Kitchen")];
    browser.submit(&rename, &values).await.expect(200);
    assert_eq!(
        homeserver.take_calls(),
        ["update_device_display_name alice"]
    );
    assert_eq!(
        homeserver.user("alice").unwrap().devices[&alice.id],
        "Kitchen"
    );
    let link = page.link("Sign out this device").unwrap();
    let sign_out = browser.get(&link).await.form("/account/sign-out");
    browser.submit(&sign_out, &[]).await.expect(200);
    assert_eq!(homeserver.take_calls(), ["delete_device alice"]);
    assert_eq!(homeserver.devices("alice"), [other.id.as_str()]);
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    let values = [("device_id", other.id.as_str())];
    browser.submit(&sign_out, &values).await.expect(200);
    assert!(!other.is_valid(&server).await);
    homeserver.assert_no_violations();
}

#[tokio::test]
async fn oa_129_a_device_is_renamed_as_by_the_api() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    let (mut browser, page) = at(&server, "device_view", &alice.id).await;
    let form = page.form("/account/rename");
    // A new name needs no recent password, as in the account API.
    server.advance(std::time::Duration::from_mins(20));
    let page = browser.submit(&form, &[("name", " My \"phone\" ")]).await;
    page.expect(200).assert_protected();
    let expected = (alice.id.clone(), "My \"phone\"".to_owned());
    assert_eq!(names(&server, &alice).await, slice::from_ref(&expected));
    let long = "x".repeat(101);
    for name in ["", "  ", &long] {
        let page = browser.submit(&form, &[("name", name)]).await.expect(400);
        page.assert_protected();
    }
    for id in ["NOTTHERE", ""] {
        let values = [("name", "x"), ("device_id", id)];
        let page = browser.submit(&form, &values).await.expect(404);
        assert!(page.text.contains("The device does not exist"));
    }
    assert_eq!(names(&server, &alice).await, [expected]);
    let path = device_action("device_view", &alice.id);
    let page = browser.get(&path).await.expect(200);
    assert_eq!(page.form("/account/rename").value("name"), "My \"phone\"");
}

/// OA-130: a list is complete, in the order of `GET /devices`.
#[tokio::test]
async fn oa_130_the_list_has_many_devices() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    for number in 0..30 {
        let mut body = crate::flows::support::account_helpers::login_of("alice", PASSWORD);
        body["device_id"] = json!(format!("DEVICE{number}"));
        server.post("/_matrix/client/v3/login", &body).await.ok();
    }
    let mut browser = Browser::new(&server);
    let path = action("devices_list");
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    let listed: Vec<_> = page
        .text
        .split("<dt>Device ID</dt>\n<dd>")
        .skip(1)
        .collect();
    let listed: Vec<_> = listed
        .iter()
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect();
    let expected = names(&server, &alice).await.into_iter();
    let expected: Vec<_> = expected.map(|(id, _)| id).collect();
    assert_eq!(listed, expected);
    assert_eq!(listed.len(), 31);
}
