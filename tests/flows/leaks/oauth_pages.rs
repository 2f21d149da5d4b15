//! The pages of the OAuth 2.0 API: passwords, cookies, contexts, codes, states and CSRF tokens.

use test_support::Log;

use crate::flows::{
    leaks::{LeakDetector, PASSWORD},
    support::{
        oauth_pages::{Authorization, Browser, OAUTH, Page, STATE, VERIFIER},
        registration,
    },
};

/// Everything confidential that a page contains.
fn secrets_of(page: &Page) -> Vec<String> {
    let forms = ["/login", "/consent", "/logout"];
    let forms = forms.iter().filter_map(|action| page.find_form(action));
    let mut secrets: Vec<_> = forms
        .flat_map(|form| ["csrf", "context"].map(|name| form.value(name).to_owned()))
        .collect();
    if page.continue_url().is_some() {
        secrets.extend(page.response().get("code").cloned());
    }
    secrets
}

fn check(detector: &mut LeakDetector, secrets: impl IntoIterator<Item = String>) {
    let new = secrets.into_iter().filter(|secret| !secret.is_empty());
    detector.secrets.extend(new);
    detector.search();
}

/// OA-157: neither a table nor a log line contains a secret of a page. The rows contain only hashes and sealed values.
#[tokio::test]
async fn oa_157_no_secret_of_a_page_leaks() {
    let (log, _guard) = Log::capture();
    let settings = [OAUTH, ("GATEHOUSE_LIMITS", "on")];
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector.ignores_sdk_trace = true;
    let known = [PASSWORD, STATE, VERIFIER, "marker of a wrong passwörd"];
    detector.secrets.extend(known.map(str::to_owned));
    let mut body = registration("alice");
    body["password"] = PASSWORD.into();
    body["auth"] = serde_json::json!({ "type": "m.login.dummy" });
    detector.register(&body).await;
    let valid = Authorization::native(&detector.server);
    let mut cookies = std::collections::BTreeMap::new();
    let mut last = None;
    for step in [
        "open", "wrong", "right", "open", "allow", "cancel", "log out",
    ] {
        let server = &detector.server;
        let mut browser = Browser::new(server);
        browser.cookies = cookies;
        let before: Option<&Page> = last.as_ref();
        let form = |action| before.unwrap().form(action);
        let page = match step {
            "open" => browser.open(&valid).await,
            "wrong" => {
                let values = [
                    ("user", "alice"),
                    ("password", "marker of a wrong passwörd"),
                ];
                browser.submit(&form("/login"), &values).await
            }
            "right" => {
                let values = [("user", "alice"), ("password", PASSWORD)];
                browser.submit(&form("/login"), &values).await
            }
            "log out" => browser.submit(&form("/logout"), &[]).await,
            action => browser.decide(before.unwrap(), action).await.expect(200),
        };
        cookies = browser.cookies;
        let secrets = secrets_of(&page).into_iter();
        let secrets: Vec<_> = secrets.chain(cookies.values().cloned()).collect();
        assert!(secrets.len() > 1 || step == "cancel", "{step}: {secrets:?}");
        assert_eq!(
            page.continue_url().is_some(),
            ["allow", "cancel"].contains(&step)
        );
        check(&mut detector, secrets);
        if !["allow", "cancel"].contains(&step) {
            last = Some(page);
        }
    }
}
