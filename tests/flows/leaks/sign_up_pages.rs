//! The sign-up pages: passwords, cookies, keys of sign-ups and the secrets of stages.

use std::sync::Arc;

use test_support::Log;

use super::{LeakDetector, PASSWORD, RESPONSE, TOKEN_TEXT};
use crate::flows::support::{
    POLICIES,
    captcha_provider::Provider,
    oauth_pages::{Authorization, Browser, Form, OAUTH, Page},
};

const PATH: &str = "/sign-up";

/// Submits a form, adds the secrets of the response, and searches for all secrets.
async fn submit(
    detector: &mut LeakDetector,
    browser: &mut Browser<'_>,
    form: &Form,
    values: &[(&str, &str)],
) -> Page {
    let page = browser.submit(form, values).await;
    let form = page.find_form(PATH);
    let fields = ["csrf", "session"].map(|name| form.as_ref().map(|form| form.value(name)));
    let fields = fields.into_iter().flatten();
    let new = fields.chain(browser.cookie()).map(str::to_owned);
    let new: Vec<_> = new.filter(|text| !text.is_empty()).collect();
    detector.secrets.extend(new);
    detector.search();
    page
}

#[tokio::test]
async fn oa_59_no_secret_leaks_at_any_moment_of_a_sign_up_by_page() {
    let (log, _guard) = Log::capture();
    let provider = Provider::start();
    let flow = "m.login.recaptcha+m.login.registration_token+m.login.terms+m.login.dummy";
    let mut settings = provider.settings(flow).to_vec();
    settings.extend([OAUTH, POLICIES]);
    let mut detector = LeakDetector::start(&settings, &log).await;
    let server = Arc::clone(&detector.server);
    server
        .registration_token(&["--token", TOKEN_TEXT, "--uses", "9"])
        .await;
    let mut browser = Browser::new(&server);
    let create = Authorization::native(&server).with("prompt", "create");
    let form = browser.open(&create).await.expect(200).form(PATH);
    let details = |again: &'static str| {
        [
            ("username", "alice"),
            ("password", PASSWORD),
            ("password_again", again),
        ]
    };
    let detector = &mut detector;
    let different = submit(detector, &mut browser, &form, &details("x")).await;
    let form = different.expect(400).form(PATH);
    let page = submit(detector, &mut browser, &form, &details(PASSWORD)).await;
    let captcha = format!("{RESPONSE}-pages");
    let mut form = page.expect(200).form(PATH);
    for values in [
        vec![("g-recaptcha-response", captcha.as_str())],
        vec![("token", TOKEN_TEXT)],
    ] {
        let page = submit(detector, &mut browser, &form, &values).await;
        form = page.expect(200).form(PATH);
    }
    let mut old = browser.clone();
    let consent = submit(detector, &mut browser, &form, &[]).await;
    consent.expect(200).form("/consent");
    let again = submit(detector, &mut old, &form, &[]).await;
    again.expect(200).form("/consent");
    assert!(
        log.text().contains("/oauth2/sign-up"),
        "the log is captured"
    );
}
