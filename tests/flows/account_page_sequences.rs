//! Sequences of account pages in one browser: skipped, repeated and reordered steps, forms of earlier pages, and forms in
//! another browser. A device is signed out only by a form of this browser, at most five minutes after the password (OA-54,
//! OA-57, OA-128).

use std::time::Duration;

use proptest::prelude::*;
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::{dummy_registration, for_all},
    flows::support::{
        account_helpers::{Device, log_in},
        oauth_pages::{Browser, Form, OAUTH, Page, device_action},
    },
};

/// One step of the user, or of an attacker who has the forms of the user.
#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    LogIn { which: usize, is_right: bool },
    SignOut { which: usize },
    LogOut { which: usize },
    Wait { minutes: u64 },
    SignOutInOtherBrowser,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        3 => (0_usize..3, prop::bool::weighted(0.7))
            .prop_map(|(which, is_right)| Step::LogIn { which, is_right }),
        3 => (0_usize..3).prop_map(|which| Step::SignOut { which }),
        1 => (0_usize..2).prop_map(|which| Step::LogOut { which }),
        1 => prop::sample::select(vec![1, 5, 31]).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::SignOutInOtherBrowser),
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
    sign_outs: Vec<Shown>,
    log_outs: Vec<Shown>,
    /// The cookie of the newest session, and the minutes since the password was entered.
    session: Option<(String, u64)>,
}

impl User<'_> {
    fn cookie(&self) -> String {
        self.browser.cookie().unwrap_or_default().to_owned()
    }

    fn remember(&mut self, page: &Page) {
        let cookie = self.cookie();
        for (action, forms) in [
            ("/account/login", &mut self.logins),
            ("/account/sign-out", &mut self.sign_outs),
            ("/account/logout", &mut self.log_outs),
        ] {
            if let Some(form) = page.find_form(action) {
                let cookie = cookie.clone();
                forms.insert(0, Shown { form, cookie });
            }
        }
    }

    async fn submit(&mut self, shown: &Shown, values: &[(&str, &str)]) -> Page {
        let page = self.browser.submit(&shown.form, values).await;
        self.remember(&page);
        page
    }

    fn is_current(&self, shown: &Shown) -> bool {
        shown.cookie == self.cookie()
    }

    /// Whether the browser has a session whose password was entered recently.
    fn is_recent(&self) -> bool {
        let cookie = self.cookie();
        let session = self.session.as_ref();
        session.is_some_and(|(own, minutes)| *own == cookie && *minutes < 5)
    }
}

/// Takes a step that is possible. Returns whether it must sign out the device.
async fn take(server: &TestServer, user: &mut User<'_>, device: &Device, step: Step) -> bool {
    let nth = |forms: &[Shown], which: usize| forms.get(which).or(forms.last()).cloned();
    let id = [("device_id", device.id.as_str())];
    match step {
        Step::Open => {
            let path = device_action("device_delete", &device.id);
            let page = user.browser.get(&path).await.expect(200);
            user.remember(&page);
            let page = user.browser.get("/account").await.expect(200);
            user.remember(&page);
        }
        Step::LogIn { which, is_right } => {
            let Some(login) = nth(&user.logins, which) else {
                return false;
            };
            let succeeds = is_right && user.is_current(&login);
            let password = if is_right { PASSWORD } else { "wrong" };
            let values = [("user", "alice"), ("password", password)];
            let page = user.submit(&login, &values).await;
            assert_eq!(page.reply.status == 200, succeeds, "{step:?}");
            if succeeds {
                user.session = Some((user.cookie(), 0));
            }
        }
        Step::SignOut { which } => {
            let Some(sign_out) = nth(&user.sign_outs, which) else {
                return false;
            };
            let succeeds = user.is_recent() && user.is_current(&sign_out);
            user.submit(&sign_out, &id).await;
            return succeeds;
        }
        Step::LogOut { which } => {
            let Some(log_out) = nth(&user.log_outs, which) else {
                return false;
            };
            let succeeds = user.is_current(&log_out);
            let page = user.submit(&log_out, &[]).await;
            assert_eq!(page.reply.status == 200, succeeds, "{step:?}");
            if succeeds {
                user.session = None;
            }
        }
        Step::Wait { minutes } => {
            server.advance(Duration::from_mins(minutes));
            if let Some((_, passed)) = &mut user.session {
                *passed += minutes;
            }
        }
        Step::SignOutInOtherBrowser => {
            let Some(sign_out) = nth(&user.sign_outs, 0) else {
                return false;
            };
            let mut other = Browser::new(server);
            other.log_in_at("/account", "alice", PASSWORD).await;
            other.submit(&sign_out.form, &id).await.expect(400);
        }
    }
    false
}

async fn run(server: &TestServer, steps: Vec<Step>) {
    let mut user = User {
        browser: Browser::new(server),
        logins: Vec::new(),
        sign_outs: Vec::new(),
        log_outs: Vec::new(),
        session: None,
    };
    let mut device = log_in(server, "alice", PASSWORD).await;
    for step in &steps {
        let must_end = take(server, &mut user, &device, *step).await;
        let is_valid = device.is_valid(server).await;
        assert_eq!(is_valid, !must_end, "{step:?} in {steps:?}");
        if must_end {
            device = log_in(server, "alice", PASSWORD).await;
        }
    }
}

#[test]
fn oa_128_a_change_needs_a_recent_password_in_one_browser() {
    let steps = prop::collection::vec(step(), 3..10);
    for_all(100, &[OAUTH], &steps, &async |server, steps| {
        // An account that exists already gets 400.
        server.register(&dummy_registration("alice")).await;
        run(server, steps).await;
    });
}
