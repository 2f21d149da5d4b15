//! The device authorization grant: device codes, user codes, tokens, cookies, contexts and CSRF tokens.

use test_support::Log;

use crate::flows::{
    leaks::{LeakDetector, PASSWORD},
    support::{
        device_grant::{DEVICE_PATH, Device, LINK, metadata, scope},
        oauth_pages::{Browser, DEVICE, OAUTH, Page, client_row},
        oauth_tokens::{form, send},
        registration,
    },
};

/// Everything confidential that a page contains.
fn secrets_of(page: &Page) -> Vec<String> {
    let forms = ["/login", LINK, "/consent", "/logout"];
    let forms = forms.iter().filter_map(|action| page.find_form(action));
    forms
        .flat_map(|form| ["csrf", "context"].map(|name| form.value(name).to_owned()))
        .collect()
}

/// OA-157: neither a table nor a log line contains a code, a token or another secret, in any state of a grant. The URL of
/// the page contains the user code.
#[tokio::test]
async fn oa_157_no_secret_of_a_device_grant_leaks() {
    let (log, _guard) = Log::capture();
    let settings = [OAUTH, ("GATEHOUSE_LIMITS", "on")];
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector.ignores_sdk_trace = true;
    let mut body = registration("alice");
    body["password"] = PASSWORD.into();
    body["auth"] = serde_json::json!({ "type": "m.login.dummy" });
    detector.register(&body).await;
    let server = std::sync::Arc::clone(&detector.server);
    let client = client_row(&server, &metadata());
    let request = form(&[("client_id", &client), ("scope", &scope(DEVICE))]);
    let mut browser = Browser::new(&server);
    for action in ["cancel", "allow"] {
        let codes = send(&server, DEVICE_PATH, &request).await.ok();
        let device = Device::new(&client, &codes);
        let plain = device.user_code.replace('-', "");
        let secrets = [&device.secret_code, &device.user_code, &plain];
        detector.secrets.extend(secrets.map(String::clone));
        detector.search();
        let mut seen = |page: &Page, browser: &Browser<'_>| {
            let secrets = secrets_of(page).into_iter();
            detector.secrets.extend(secrets);
            detector.secrets.extend(browser.cookies.values().cloned());
            detector.search();
        };
        let mut page = browser.get(&device.path()).await.expect(200);
        seen(&page, &browser);
        if let Some(login) = page.find_form("/login") {
            let values = [("user", "alice"), ("password", PASSWORD)];
            page = browser.submit(&login, &values).await.expect(200);
            seen(&page, &browser);
        }
        let wrong = [("user_code", "ZZZZ-ZZZZ")];
        let page = browser.submit(&page.form(LINK), &wrong).await.expect(400);
        seen(&page, &browser);
        let right = [("user_code", device.user_code.as_str())];
        let page = browser.submit(&page.form(LINK), &right).await.expect(200);
        seen(&page, &browser);
        let last = browser.decide(&page, action).await.expect(200);
        seen(&last, &browser);
        for _ in 0..2 {
            let reply = device.poll(&server).await;
            detector.check(&reply);
        }
    }
    let text = log.text();
    assert!(text.contains("/oauth2/device") && text.contains("/link"));
}
