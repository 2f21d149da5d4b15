//! Sequences of pages of the OAuth 2.0 API in one browser: skipped, repeated and reordered steps, forms of earlier pages,
//! and forms of another browser. A code appears only after a login and consent in the same browser (OA-48, OA-62, OA-68).
use proptest::prelude::*;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::for_all,
    flows::support::oauth_pages::{Authorization, Browser, Form, OAUTH, Page},
};

/// One step of the user, or of an attacker who has the forms of the user.
#[derive(Debug, Clone, Copy)]
enum Step {
    Open { asks_for_login: bool },
    LogIn { which: usize, is_right: bool },
    Allow { which: usize },
    Cancel,
    LogOut { which: usize },
    AllowInOtherBrowser,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|asks_for_login| Step::Open { asks_for_login }),
        (0_usize..3, prop::bool::weighted(0.7))
            .prop_map(|(which, is_right)| Step::LogIn { which, is_right }),
        (0_usize..3).prop_map(|which| Step::Allow { which }),
        Just(Step::Cancel),
        (0_usize..2).prop_map(|which| Step::LogOut { which }),
        Just(Step::AllowInOtherBrowser),
    ]
}

/// A form, and the cookie of the browser when it was shown.
#[derive(Clone)]
struct Shown {
    form: Form,
    cookie: String,
}

/// A browser and everything that it has shown, newest first.
struct User<'a> {
    browser: Browser<'a>,
    logins: Vec<Shown>,
    consents: Vec<Shown>,
    logouts: Vec<Shown>,
    /// The cookie of the browser session.
    session: Option<String>,
}

impl User<'_> {
    fn cookie(&self) -> String {
        self.browser.cookie().unwrap_or_default().to_owned()
    }

    fn remember(&mut self, page: &Page) {
        let cookie = self.cookie();
        for (action, forms) in [
            ("/login", &mut self.logins),
            ("/consent", &mut self.consents),
            ("/logout", &mut self.logouts),
        ] {
            let form = page.find_form(action);
            let shown = form.map(|form| Shown {
                form,
                cookie: cookie.clone(),
            });
            if let Some(shown) = shown {
                forms.insert(0, shown);
            }
        }
    }

    async fn submit(&mut self, shown: &Shown, values: &[(&str, &str)]) -> Page {
        let page = self.browser.submit(&shown.form, values).await;
        self.remember(&page);
        page
    }

    /// Whether a form of this age still belongs to the browser.
    fn is_current(&self, shown: &Shown) -> bool {
        shown.cookie == self.cookie()
    }
}

fn has_code(page: &Page) -> bool {
    page.continue_url().is_some() && page.response().contains_key("code")
}

async fn run(server: &TestServer, steps: Vec<Step>) {
    let valid = Authorization::native(server);
    let mut user = User {
        browser: Browser::new(server),
        logins: Vec::new(),
        consents: Vec::new(),
        logouts: Vec::new(),
        session: None,
    };
    for step in &steps {
        let (page, expects_code) = take(server, &valid, &mut user, *step).await;
        if let Some(page) = page {
            assert_eq!(has_code(&page), expects_code, "{step:?} in {steps:?}");
        }
    }
}

/// Takes a step that is possible. Returns its page, and whether the page must have a code.
async fn take(
    server: &TestServer,
    valid: &Authorization,
    user: &mut User<'_>,
    step: Step,
) -> (Option<Page>, bool) {
    let nth = |forms: &[Shown], which: usize| forms.get(which).or(forms.last()).cloned();
    match step {
        Step::Open { asks_for_login } => {
            let prompt = if asks_for_login { "login" } else { "" };
            let page = user
                .browser
                .open(&valid.clone().with("prompt", prompt))
                .await;
            user.remember(&page);
            (Some(page), false)
        }
        Step::LogIn { which, is_right } => {
            let Some(login) = nth(&user.logins, which) else {
                return (None, false);
            };
            let succeeds = is_right && user.is_current(&login);
            let password = if is_right { PASSWORD } else { "wrong" };
            let values = [("user", "alice"), ("password", password)];
            let page = user.submit(&login, &values).await;
            assert_eq!(page.reply.status == 200, succeeds, "{step:?}");
            if succeeds {
                user.session = Some(user.cookie());
            }
            (Some(page), false)
        }
        Step::Allow { which } => {
            let Some(consent) = nth(&user.consents, which) else {
                return (None, false);
            };
            let has_session = user.session == Some(user.cookie());
            let expects_code = has_session && user.is_current(&consent);
            let page = user.submit(&consent, &[("action", "allow")]).await;
            (Some(page), expects_code)
        }
        Step::Cancel => {
            let Some(consent) = nth(&user.consents, 0) else {
                return (None, false);
            };
            let page = user.submit(&consent, &[("action", "cancel")]).await;
            (Some(page), false)
        }
        Step::LogOut { which } => {
            let Some(logout) = nth(&user.logouts, which) else {
                return (None, false);
            };
            let succeeds = user.is_current(&logout);
            let page = user.submit(&logout, &[]).await;
            assert_eq!(page.reply.status == 200, succeeds, "{step:?}");
            if succeeds {
                user.session = None;
            }
            (Some(page), false)
        }
        Step::AllowInOtherBrowser => {
            let Some(consent) = nth(&user.consents, 0) else {
                return (None, false);
            };
            let mut other = Browser::new(server);
            other
                .log_in(valid, "alice", PASSWORD)
                .await
                .form("/consent");
            let page = other.submit(&consent.form, &[("action", "allow")]).await;
            (Some(page), false)
        }
    }
}

/// OA-48, OA-62, OA-67, OA-68.
#[test]
fn oa_48_a_code_needs_login_and_consent_in_one_browser() {
    let steps = prop::collection::vec(step(), 3..9);
    for_all(120, &[OAUTH], &steps, &async |server, steps| {
        // An account that exists already gets 400.
        let body = crate::api::support::dummy_registration("alice");
        server.register(&body).await;
        run(server, steps).await;
    });
}
