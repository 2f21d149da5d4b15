//! `GET` and `POST /link`, and the pages below it.

mod limits;

use std::time::Duration;

use http::Request;
use test_support::PASSWORD;

use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{LOGIN, login_of},
        device_grant::{DEVICE_PATH, Device, GrantServer, LINK, element},
        oauth_pages::{Browser, DEVICE, Form, Page, encode, with_changed_bit},
        oauth_tokens::assert_error,
    },
};

/// The paths that forms post to.
const FORMS: [&str; 3] = ["/link/login", "/link/consent", "/link/logout"];

/// The message of a page.
#[track_caller]
fn message(page: &Page) -> String {
    let found = page.text.split_once("role=\"alert\">");
    let (_, text) = found.unwrap_or_else(|| panic!("{}", page.text));
    text.split("</p>").next().unwrap_or_default().to_owned()
}

/// OA-70: neither the URL with the code nor the URL of a form changes anything.
#[tokio::test]
async fn oa_118_get_changes_nothing() {
    let grant = GrantServer::new().await;
    let server = &grant.server;
    let device = grant.device().await;
    let mut browser = Browser::new(server);
    device.consent(&mut browser, "alice").await.expect(200);
    let before = server.dump();
    for path in FORMS.into_iter().chain([device.path().as_str(), LINK]) {
        for browser in [&mut browser.clone(), &mut Browser::new(server)] {
            let path = format!("{path}?action=allow&confirmed=yes");
            let (page, calls) = server.calls_of(browser.get_once(&path)).await;
            let reads = ["GetItem", "BatchGetItem"];
            let is_read = calls
                .iter()
                .all(|call| reads.contains(&call.operation.as_str()));
            assert!(is_read, "{path}: {calls:?}");
            assert!(page.find_form("/consent").is_none(), "{path}");
        }
    }
    assert_eq!(server.dump(), before);
    assert_error(&grant.poll(&device).await, 400, "authorization_pending");
}

#[tokio::test]
async fn oa_118_login_then_the_code_then_consent() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let page = browser.get(&device.path()).await.expect(200);
    assert!(page.find_form(LINK).is_none() && page.find_form("/consent").is_none());
    assert!(!page.text.contains(&device.user_code), "{}", page.text);
    let login = page.form("/login");
    let wrong = [("user", "alice"), ("password", "wrong")];
    let again = browser.submit(&login, &wrong).await.expect(403);
    let login = again.form("/login");
    let right = [("user", "alice"), ("password", PASSWORD)];
    let page = browser.submit(&login, &right).await.expect(200);
    assert!(page.text.contains("<strong>@alice:localhost</strong>"));
    assert!(page.find_form("/consent").is_none(), "{}", page.text);
    let code = page.form(LINK);
    assert_eq!(code.value("user_code"), device.user_code);
    let consent = browser.submit(&code, &[]).await.expect(200);
    assert_eq!(grant.state(&device), "pending");
    let last = browser.decide(&consent, "allow").await.expect(200);
    assert!(
        last.text.contains("Go back to your device"),
        "{}",
        last.text
    );
    assert_eq!(last.continue_url(), None);
    grant.poll(&device).await.ok();
    // A browser with a session does not log in again.
    let device = grant.device().await;
    let page = browser.get(&device.path()).await.expect(200);
    assert_eq!(page.form(LINK).value("user_code"), device.user_code);
}

/// The user may enter the code in any spelling, and without the code in the URL.
#[tokio::test]
async fn oa_113_a_code_is_accepted_in_any_spelling() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    browser.get(&device.path()).await;
    for url in [
        LINK,
        "/link?user_code=",
        "/link?user_code=AEIO-AEIO",
        "/link?x",
    ] {
        let page = browser.get(url).await.expect(200);
        page.form("/login");
    }
    device.consent(&mut browser, "alice").await.expect(200);
    let page = browser.get(LINK).await.form(LINK);
    assert_eq!(page.value("user_code"), "");
    let lower = device.user_code.to_lowercase();
    let plain = device.user_code.replace('-', "");
    let spaced = format!("  {} ", lower.replace('-', " "));
    for text in [&lower, &plain, &spaced] {
        let consent = browser.submit(&page, &[("user_code", text)]).await;
        assert_eq!(element(&consent.expect(200), "code"), device.user_code);
    }
}

#[tokio::test]
async fn oa_119_the_page_describes_the_device_and_the_request() {
    let grant = GrantServer::new().await;
    let request = Request::post(DEVICE_PATH)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("user-agent", "TV <b>'\u{202e}browser")
        .body(encode(&grant.request()).into_bytes());
    let peer = [198, 51, 100, 7].into();
    let codes = grant.server.send_from(peer, request.unwrap()).await.ok();
    let device = Device::new(&grant.client, &codes);
    let mut browser = Browser::new(&grant.server);
    for (wait, age) in [
        (0, "less than a minute ago"),
        (60, "1 minute ago"),
        (150, "3 minutes ago"),
    ] {
        grant.server.advance(Duration::from_secs(wait));
        let page = device.consent(&mut browser, "alice").await.expect(200);
        assert!(page.text.contains("<strong>@alice:localhost</strong>"));
        assert!(page.text.contains("a device in front of you"));
        assert_eq!(element(&page, "code"), device.user_code);
        assert_eq!(element(&page, "age"), age);
        assert_eq!(element(&page, "network"), "198.51.100.7");
        let agent = "<bdi>TV &#60;b&#62;&#39;browser</bdi>";
        assert_eq!(element(&page, "user-agent"), agent);
        // OA-63
        assert_eq!(element(&page, "client-name"), "<bdi>Element TV</bdi>");
        assert_eq!(element(&page, "client-host"), "element.io");
        assert_eq!(element(&page, "device"), DEVICE);
        assert!(page.text.contains("read and send messages"));
        let policy = page.link("Privacy policy of the app");
        assert_eq!(policy.unwrap(), "https://element.io/privacy");
        assert!(
            page.text
                .contains("type=\"checkbox\" value=\"yes\" required")
        );
        assert!(!page.text.contains("id=\"replaced\""));
        page.form("/link/logout");
    }
}

/// OA-64: the account has a device with this ID.
#[tokio::test]
async fn oa_119_the_page_names_a_device_that_it_replaces() {
    let grant = GrantServer::new().await;
    let mut login = login_of("alice", PASSWORD);
    login["device_id"] = DEVICE.into();
    grant.server.post(LOGIN, &login).await.ok();
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let page = device.consent(&mut browser, "alice").await.expect(200);
    assert!(page.text.contains("id=\"replaced\""), "{}", page.text);
}

#[tokio::test]
async fn oa_119_nothing_is_allowed_without_the_box() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await.expect(200);
    let form = consent.form("/consent");
    for value in ["", "no", "true"] {
        let values = [("action", "allow"), ("confirmed", value)];
        let page = browser.submit(&form, &values).await.expect(400);
        assert!(page.text.contains("The box is not ticked"), "{}", page.text);
        assert_eq!(grant.state(&device), "pending");
    }
    for action in ["", "x"] {
        let page = browser.decide(&consent, action).await.expect(400);
        assert!(page.text.contains("out of date"), "{}", page.text);
        assert_eq!(grant.state(&device), "pending");
    }
    // A refusal needs no box.
    let values = [("action", "cancel"), ("confirmed", "")];
    let page = browser.submit(&form, &values).await.expect(200);
    assert!(page.text.contains("You have not given access"));
    assert_error(&grant.poll(&device).await, 400, "access_denied");
}

/// OA-67: a double click, and a decision after another one.
#[tokio::test]
async fn oa_121_a_request_is_decided_once() {
    let grant = GrantServer::new().await;
    grant.server.sign_up("bob").await;
    let mut alice = Browser::new(&grant.server);
    let mut bob = Browser::new(&grant.server);
    for (first, second, state) in [
        ("allow", "cancel", "approved"),
        ("cancel", "allow", "denied"),
    ] {
        let device = grant.device().await;
        let consent = device.consent(&mut alice, "alice").await.expect(200);
        let of_bob = device.consent(&mut bob, "bob").await.expect(200);
        let page = alice.decide(&consent, first).await.expect(200);
        let row = grant.row(&device);
        assert_eq!(row["state"]["S"], state);
        let again = alice.decide(&consent, first).await.expect(200);
        assert_eq!(again.text, page.text, "OA-67");
        let other = alice.decide(&consent, second).await.expect(400);
        assert!(other.text.contains("answered before"), "{}", other.text);
        // Another user cannot take the device over, and does not learn who decided.
        bob.decide(&of_bob, "allow").await.expect(400);
        assert_eq!(grant.row(&device), row);
        if first == "allow" {
            grant.poll(&device).await.ok();
            let again = alice.decide(&consent, "allow").await.expect(200);
            assert_eq!(again.text, page.text, "OA-67");
            alice.decide(&consent, "cancel").await.expect(400);
            grant.poll(&device).await.ok();
        }
    }
}

#[tokio::test]
async fn oa_121_an_expired_request_cannot_be_decided() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await.expect(200);
    grant.server.advance(Duration::from_mins(15));
    for action in ["allow", "cancel"] {
        let page = browser.decide(&consent, action).await.expect(400);
        assert!(page.text.contains("It has expired"), "{}", page.text);
    }
    assert_eq!(grant.state(&device), "pending");
    let page = device.consent(&mut browser, "alice").await.expect(400);
    assert!(message(&page).contains("wrong or has expired"));
}

/// OA-57: the session of the browser ends between the consent page and the decision.
#[tokio::test]
async fn oa_121_a_decision_needs_a_live_session() {
    for change in ["locked", "deactivated", "idle"] {
        let grant = GrantServer::new().await;
        let mut browser = Browser::new(&grant.server);
        let device = grant.device().await;
        device.consent(&mut browser, "alice").await.expect(200);
        grant.server.advance(Duration::from_mins(20));
        let device = grant.device().await;
        // The page with the code does not record a use, but the code does.
        let consent = device.consent(&mut browser, "alice").await.expect(200);
        match change {
            "idle" => grant.server.advance(Duration::from_mins(30)),
            status => set_status(&grant.server, "alice", status),
        }
        for action in ["allow", "cancel"] {
            let page = browser.decide(&consent, action).await;
            page.form("/login");
        }
        assert_eq!(grant.state(&device), "pending", "{change}");
        let code = browser.get(&device.path()).await;
        code.form("/login");
    }
}

/// OA-54: each form has its own CSRF token, and belongs to its browser.
#[tokio::test]
async fn oa_54_the_forms_belong_to_their_page_and_browser() {
    let grant = GrantServer::new().await;
    let server = &grant.server;
    let device = grant.device().await;
    let mut browser = Browser::new(server);
    let login = browser.get(&device.path()).await.form("/login");
    let values = [("user", "alice"), ("password", PASSWORD)];
    let code = browser.submit(&login, &values).await.form(LINK);
    let page = browser.submit(&code, &[]).await.expect(200);
    let consent = page.form("/consent").with(&[("action", "allow")]);
    let logout = page.form("/logout");
    let send = async |browser: &Browser<'_>, form: &Form, headers: &[(&str, &str)]| {
        let mut browser = browser.clone();
        let post = browser.post(&form.action, &form.fields, headers);
        let (page, calls) = server.calls_of(post).await;
        assert!(calls.is_empty(), "{}: {calls:?}", form.action);
        page.expect(400);
    };
    let csrf_of = |form: &Form| form.value("csrf").to_owned();
    let tokens = [&code, &consent, &logout].map(csrf_of);
    for form in [&code, &consent, &logout] {
        for token in &tokens {
            if *token != csrf_of(form) {
                send(&browser, &form.clone().with(&[("csrf", token)]), &[]).await;
            }
        }
        for headers in [
            [("origin", "https://evil.example")],
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
        ] {
            send(&browser, form, &headers).await;
        }
        send(&Browser::new(server), form, &[]).await;
        let changed = with_changed_bit(form.value("context"));
        send(&browser, &form.clone().with(&[("context", &changed)]), &[]).await;
    }
    // OA-48: the context of another browser, and a context without a code.
    let mut other = Browser::new(server);
    let theirs = device.consent(&mut other, "alice").await.form("/consent");
    for context in [theirs.value("context"), code.value("context")] {
        let form = consent.clone().with(&[("context", context)]);
        send(&browser, &form, &[]).await;
    }
    assert_eq!(grant.state(&device), "pending");
    browser.submit(&consent, &[]).await.expect(200);
    assert_eq!(grant.state(&device), "approved");
}

/// OA-68: another account has logged in since the page was shown.
#[tokio::test]
async fn oa_68_another_account_does_not_decide_with_an_old_page() {
    let grant = GrantServer::new().await;
    grant.server.sign_up("bob").await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let consent = device.consent(&mut browser, "alice").await.expect(200);
    let cookie = browser.cookie().unwrap().to_owned();
    let page = browser.submit(&consent.form("/logout"), &[]).await;
    let login = page.expect(200).form("/login");
    assert_ne!(browser.cookie(), Some(cookie.as_str()), "OA-55");
    let values = [("user", "bob"), ("password", PASSWORD)];
    let page = browser.submit(&login, &values).await.expect(200);
    // The code is still there.
    assert_eq!(page.form(LINK).value("user_code"), device.user_code);
    browser.decide(&consent, "allow").await.expect(400);
    assert_eq!(grant.state(&device), "pending");
    let page = browser.submit(&page.form(LINK), &[]).await.expect(200);
    assert!(page.text.contains("<strong>@bob:localhost</strong>"));
    browser.decide(&page, "allow").await.expect(200);
    let tokens = grant.poll(&device).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    let me = grant.server.whoami(token).await.ok();
    assert_eq!(me["user_id"], "@bob:localhost");
}

#[tokio::test]
async fn oa_50_every_page_has_the_strict_headers() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let mut browser = Browser::new(&grant.server);
    let login = browser.get(&device.path()).await;
    let consent = device.consent(&mut browser, "alice").await;
    let code = browser.get(LINK).await;
    let wrong = browser
        .submit(&code.form(LINK), &[("user_code", "x")])
        .await;
    let last = browser.decide(&consent, "allow").await;
    let late = browser.decide(&consent, "cancel").await;
    let unticked = browser
        .submit(&consent.form("/consent"), &[("confirmed", "")])
        .await;
    let stale = browser.get(FORMS[0]).await;
    for page in [login, consent, code, wrong, last, late, unticked, stale] {
        let header = |name: &str| page.reply.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("script"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin", "OA-51");
        let cors = "access-control-allow-origin";
        assert!(!page.reply.headers.contains_key(cors), "OA-156");
        assert!(!page.text.contains("<script") && !page.text.contains("<img"));
        assert!(page.text.contains("<html lang=\"en\">") || page.text.contains("lang="));
    }
}
