//! The pages and the actions that select them (OA-125, OA-127, OA-128).

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::homeserver::HOMESERVER,
    flows::support::{
        account_helpers::{log_in, sign_up},
        oauth_pages::{Authorization, Browser, LEGACY, OAUTH, Page, action, device_action},
    },
};

async fn metadata(settings: &[(&str, &str)]) -> Value {
    let server = TestServer::with(&[&[OAUTH], settings].concat()).await;
    server
        .get("/_matrix/client/v1/auth_metadata")
        .await
        .ok()["account_management_actions_supported"]
        .clone()
}

#[track_caller]
fn assert_title(page: &Page, title: &str) {
    let heading = format!("<h1>{title}</h1>");
    assert!(page.text.contains(&heading), "{title}: {}", page.text);
}

#[tokio::test]
async fn oa_125_the_metadata_lists_only_possible_actions() {
    let plain = [
        "org.matrix.profile",
        "org.matrix.devices_list",
        "org.matrix.device_view",
        "org.matrix.device_delete",
    ];
    let with = |more: &[&'static str]| json!([&plain[..], more].concat());
    let deactivate = "org.matrix.account_deactivate";
    assert_eq!(metadata(&[]).await, with(&[deactivate]));
    let off = ("GATEHOUSE_DEACTIVATION", "off");
    assert_eq!(metadata(&[off]).await, with(&[]));
    let reset = "org.matrix.cross_signing_reset";
    assert_eq!(metadata(&HOMESERVER).await, with(&[deactivate, reset]));
}

/// OA-125, OA-02: each action opens its page, in the new and the older spelling, after a login.
#[tokio::test]
async fn oa_125_each_action_opens_its_page() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    for (name, title) in [
        ("profile", "Profile of @alice:localhost".to_owned()),
        ("devices_list", "Devices of @alice:localhost".to_owned()),
        ("sessions_list", "Devices of @alice:localhost".to_owned()),
        ("device_view", format!("Device <bdi>{}</bdi>", alice.id)),
        ("session_view", format!("Device <bdi>{}</bdi>", alice.id)),
        ("device_delete", "Sign out a device".to_owned()),
        ("session_end", "Sign out a device".to_owned()),
        ("account_deactivate", "Deactivate your account".to_owned()),
        // There is no homeserver.
        (
            "cross_signing_reset",
            "Your account on localhost".to_owned(),
        ),
    ] {
        let path = device_action(name, &alice.id);
        let mut browser = Browser::new(&server);
        let page = browser
            .log_in_at(&path, "alice", PASSWORD)
            .await
            .expect(200);
        assert_title(&page, &title);
        page.assert_protected();
        assert_title(&browser.get(&path).await.expect(200), &title);
    }
}

/// OA-127: an unknown action, a device that does not exist and the device of another user.
#[tokio::test]
async fn oa_127_anything_unknown_opens_the_start_page() {
    let server = TestServer::with(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let bob = sign_up(&server, "bob").await;
    let mut browser = Browser::new(&server);
    let start = browser.log_in_at("/account", "alice", PASSWORD).await;
    let start = start.expect(200).text;
    for path in [
        "/account?".to_owned(),
        "/account?x=y&action=".to_owned(),
        action("unknown"),
        action("device_view"),
        action("device_delete"),
        device_action("device_view", ""),
        device_action("device_view", "NOT%20THERE"),
        device_action("device_view", &bob.id),
        device_action("session_end", &bob.id),
        device_action("device_delete", "NOTTHERE"),
        format!("{}&device_id=NOTTHERE", action("session_view")),
        "/account?action=%3Cscript%3E".to_owned(),
    ] {
        let page = browser.get(&path).await.expect(200);
        assert_eq!(page.text, start, "{path}");
    }
}

/// OA-125: a page that the settings do not permit does not exist.
#[tokio::test]
async fn oa_125_settings_remove_pages() {
    let off = [
        ("GATEHOUSE_PASSWORD_CHANGES", "off"),
        ("GATEHOUSE_3PID_CHANGES", "off"),
        ("GATEHOUSE_DEACTIVATION", "off"),
        OAUTH,
    ];
    let server = TestServer::with(&off).await;
    sign_up(&server, "alice").await;
    let mut browser = Browser::new(&server);
    let start = browser.log_in_at("/account", "alice", PASSWORD).await;
    for link in ["Change your password", "Deactivate your account"] {
        assert_eq!(start.link(link), None);
    }
    for path in ["/account?action=password", &action("account_deactivate")] {
        assert_eq!(browser.get(path).await.text, start.text);
    }
    let profile = browser.get(&action("profile")).await.expect(200);
    assert_eq!(profile.link("Change your password"), None);
}

/// OA-128, OA-70: `GET` writes nothing, whatever the query, and makes no call without a cookie.
#[tokio::test]
async fn oa_128_get_changes_nothing() {
    let server = TestServer::with(&[OAUTH, ("GATEHOUSE_LIMITS", "on")]).await;
    let alice = sign_up(&server, "alice").await;
    let names = [
        "profile",
        "devices_list",
        "device_view",
        "device_delete",
        "account_deactivate",
        "unknown",
    ];
    let mut paths: Vec<_> = names.map(|name| device_action(name, &alice.id)).to_vec();
    let forms = "login logout rename sign-out password remove deactivate cross-signing";
    paths.extend(forms.split(' ').map(|name| format!("/account/{name}")));
    paths.push("/account?action=password&password=x".to_owned());
    for path in &paths {
        let mut browser = Browser::new(&server);
        let (_, calls) = server.calls_of(browser.get(path)).await;
        assert!(calls.is_empty(), "{path}: {calls:?}");
    }
    let mut browser = Browser::new(&server);
    browser.log_in_at("/account", "alice", PASSWORD).await;
    let before = server.dump();
    for path in &paths {
        browser.get(path).await.expect(200);
    }
    assert_eq!(server.dump(), before);
    assert!(alice.is_valid(&server).await);
}

/// OA-57: without a valid session each page is the login page, which leads back to the page.
#[tokio::test]
async fn oa_57_the_pages_need_a_session() {
    let server = TestServer::with(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let path = action("devices_list");
    let mut browser = Browser::new(&server);
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    assert_title(&page, "Devices of @alice:localhost");
    server.advance(Duration::from_mins(31));
    browser.get(&path).await.expect(200).form("/account/login");
    let page = browser.log_in_at(&path, "alice", PASSWORD).await;
    assert_title(&page, "Devices of @alice:localhost");
    crate::api::support::set_status(&server, "alice", "locked");
    browser.get(&path).await.expect(200).form("/account/login");
    let page = browser
        .log_in_at(&path, "alice", PASSWORD)
        .await
        .expect(403);
    assert!(page.text.contains("locked"), "{}", page.text);
}

/// OA-128: five minutes after the password, the last page before a change asks for it again.
#[tokio::test]
async fn oa_128_a_page_asks_for_an_old_password_again() {
    let server = TestServer::with(&[OAUTH]).await;
    let alice = sign_up(&server, "alice").await;
    let mut browser = Browser::new(&server);
    browser.log_in_at("/account", "alice", PASSWORD).await;
    let asking = [
        "/account?action=password".to_owned(),
        device_action("device_delete", &alice.id),
        action("account_deactivate"),
    ];
    let showing = [
        "/account".to_owned(),
        action("profile"),
        action("devices_list"),
        device_action("device_view", &alice.id),
    ];
    server.advance(Duration::from_secs(299));
    for path in asking.iter().chain(&showing) {
        let page = browser.get(path).await.expect(200);
        assert!(page.find_form("/account/login").is_none(), "{path}");
    }
    server.advance(Duration::from_secs(1));
    for path in &showing {
        let page = browser.get(path).await.expect(200);
        assert!(page.find_form("/account/login").is_none(), "{path}");
    }
    for path in &asking {
        let page = browser.get(path).await.expect(200);
        let login = page.form("/account/login");
        assert_eq!(login.value("user"), "alice");
        assert!(page.text.contains("Enter your password again"));
    }
    let page = browser.log_in_at(&asking[1], "alice", PASSWORD).await;
    assert_title(&page, "Sign out a device");
    let page = browser.get(&asking[0]).await;
    assert_title(&page, "New password for @alice:localhost");
}

/// OA-128: a sign-up by page counts as the entry of the password.
#[tokio::test]
async fn oa_128_a_new_user_has_a_recent_password() {
    let server = TestServer::with(&[OAUTH]).await;
    let mut browser = Browser::new(&server);
    let authorization = Authorization::native(&server).with("prompt", "create");
    let form = browser.open(&authorization).await.form("/sign-up");
    let values = [
        ("username", "alice"),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    browser.submit(&form, &values).await.form("/consent");
    let page = browser.get("/account?action=password").await;
    assert_title(&page, "New password for @alice:localhost");
    server.advance(Duration::from_mins(5));
    let page = browser.get("/account?action=password").await;
    page.form("/account/login");
}

/// OA-55: the login and the logout change the cookie. OA-58: every wrong attempt gets the same page.
#[tokio::test]
async fn oa_55_login_and_logout_change_the_cookie() {
    let server = TestServer::with(&[OAUTH]).await;
    sign_up(&server, "alice").await;
    let mut browser = Browser::new(&server);
    let login = browser.get("/account").await.form("/account/login");
    let first = browser.cookie().unwrap().to_owned();
    let mut texts = Vec::new();
    for user in ["alice", "nobody"] {
        let values = [("user", user), ("password", "wrong")];
        let page = browser.submit(&login, &values).await.expect(403);
        texts.push(page.text.replace(user, "x"));
    }
    assert_eq!(texts[0], texts[1], "OA-58");
    assert_eq!(browser.cookie().unwrap(), first);
    let values = [("user", "@alice:localhost"), ("password", PASSWORD)];
    let start = browser.submit(&login, &values).await.expect(200);
    let second = browser.cookie().unwrap().to_owned();
    assert_ne!(first, second);
    // The form belongs to the earlier cookie.
    browser.submit(&login, &values).await.expect(400);
    let mut other = browser.clone();
    let page = browser.submit(&start.form("/account/logout"), &[]).await;
    page.expect(200).form("/account/login");
    assert_ne!(browser.cookie().unwrap(), second);
    other.get("/account").await.form("/account/login");
}

/// OA-145: while the API is off there are no forms.
#[tokio::test]
async fn oa_145_without_the_setting_the_forms_are_unknown() {
    let server = TestServer::with(&[&HOMESERVER[..], &[LEGACY]].concat()).await;
    for name in ["login", "logout", "rename", "deactivate", "x"] {
        let path = format!("/account/{name}");
        server.get(&path).await.error(404, "M_UNRECOGNIZED");
        server
            .post_text(&path, "x")
            .await
            .error(404, "M_UNRECOGNIZED");
    }
}

#[tokio::test]
async fn http_08_an_unknown_form_is_404() {
    let server = TestServer::with(&[OAUTH]).await;
    for path in ["/account/x", "/account/login/x", "/account/"] {
        server.get(path).await.error(404, "M_UNRECOGNIZED");
        server
            .post_text(path, "x")
            .await
            .error(404, "M_UNRECOGNIZED");
    }
    // OA-67
    let page = Browser::new(&server).get_once("/account/password").await;
    assert_eq!(page.expect(303).location().as_deref(), Some("/account"));
}

/// OA-06: links and redirects keep the path of the public URL.
#[tokio::test]
async fn oa_06_the_pages_use_the_public_url() {
    let server =
        TestServer::with(&[OAUTH, ("GATEHOUSE_PUBLIC_URL", "https://a.example/base")]).await;
    sign_up(&server, "alice").await;
    log_in(&server, "alice", PASSWORD).await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/account").await;
    assert!(page.text.contains("action=\"/base/account/login\""));
    let page = browser.log_in_at("/account", "alice", PASSWORD).await;
    let link = page.link("Your devices").unwrap();
    assert_eq!(link, "/base/account?action=org.matrix.devices_list");
}
