//! The account pages: passwords, cookies, CSRF tokens and addresses.

use std::sync::Arc;

use test_support::Log;

use super::{LeakDetector, PASSWORD};
use crate::flows::support::{
    account_helpers::{ADDRESSES, Device},
    oauth_pages::{Browser, OAUTH, Page, action, device_action},
    threepid_helpers::{EMAIL, request_mail},
};

const NEW_PASSWORD: &str = "marker of a new passwörd & 5 chairs";
const WRONG: &str = "marker of a wrong passwörd";
const ADDRESS: &str = "marker.address@example.org";

/// Adds the secrets of a page and of the browser, and searches for all secrets.
fn check(detector: &mut LeakDetector, browser: &Browser<'_>, page: &Page) {
    // The tokens of further forms are derived in the same way, and each makes every search longer.
    let fields = page.text.split("name=\"csrf\" value=\"").skip(1).take(1);
    let tokens = fields.filter_map(|rest| rest.split('"').next());
    let new = tokens.chain(browser.cookie()).map(str::to_owned);
    detector.secrets.extend(new);
    detector.search();
}

/// OA-157: neither a table nor a log line contains a secret of a page, and no log line contains an address.
#[tokio::test]
async fn oa_157_no_secret_of_an_account_page_leaks() {
    let (log, _guard) = Log::capture();
    let settings = [&ADDRESSES[..], &[OAUTH, ("GATEHOUSE_LIMITS", "on")]].concat();
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector.ignores_sdk_trace = true;
    let known = [PASSWORD, NEW_PASSWORD, WRONG];
    detector.secrets.extend(known.map(str::to_owned));
    detector.only_stored.push(ADDRESS.to_owned());
    let server = Arc::clone(&detector.server);
    let validation = request_mail(&server, ADDRESS, "a-client-secret").await;
    assert_eq!(validation.stage, EMAIL);
    validation.validate(&server).await;
    let mut body = validation.attempt(None);
    body["username"] = "alice".into();
    body["password"] = PASSWORD.into();
    let alice = Device::of(&detector.register(&body).await);
    let mut browser = Browser::new(&server);
    let detector = &mut detector;
    for password in [WRONG, PASSWORD] {
        let page = browser.log_in_at("/account", "alice", password).await;
        check(detector, &browser, &page);
    }
    let new = [("password", NEW_PASSWORD), ("password_again", NEW_PASSWORD)];
    let different = [("password", NEW_PASSWORD), ("password_again", WRONG)];
    for (path, form, values) in [
        (
            device_action("device_view", &alice.id),
            "/rename",
            &[("name", "x")][..],
        ),
        (device_action("device_delete", &alice.id), "/sign-out", &[]),
        (action("profile"), "/remove", &[]),
        (action("profile"), "/email", &[("email", ADDRESS)]),
        (
            "/account?action=password".to_owned(),
            "/password",
            &different,
        ),
        ("/account?action=password".to_owned(), "/password", &new),
        ("/account".to_owned(), "/logout", &[]),
    ] {
        let page = browser.get(&path).await.expect(200);
        check(detector, &browser, &page);
        let page = browser.submit(&page.form(form), values).await;
        check(detector, &browser, &page);
    }
    let deactivate = action("account_deactivate");
    let page = browser.log_in_at(&deactivate, "alice", NEW_PASSWORD).await;
    check(detector, &browser, &page);
    let page = browser.submit(&page.form("/deactivate"), &[]).await;
    check(detector, &browser, &page.expect(200));
    assert!(
        log.text().contains("/account/{action}"),
        "the log is captured"
    );
}
