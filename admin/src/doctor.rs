//! Checks of a deployment: tables, secret, settings, e-mail, text messages, clock. The checks change nothing.
//!
//! The checks are the same for AWS and for the embedded services. If a service does not implement a call,
//! the check is skipped. The embedded services implement only a few calls.

mod captcha;
mod checks;
mod clock;
mod keys;
mod mail;
mod settings;
mod sms;
mod tables;

use std::fmt::Write;

use serde_json::json;

use self::checks::{Check, State};
use crate::{Admin, Report};

pub(crate) async fn run(admin: &Admin) -> Report {
    let mut checks = settings::check(&admin.environment);
    checks.extend(tables::check(admin).await);
    checks.extend(clock::check(admin).await);
    checks.extend(keys::check(admin).await);
    checks.extend(mail::check(admin).await);
    checks.extend(sms::check(admin).await);
    checks.extend(captcha::check(&admin.environment).await);
    report(&checks)
}

fn report(checks: &[Check]) -> Report {
    let failed = checks.iter().any(|check| check.state == State::Fail);
    let mut text = String::new();
    for check in checks {
        let (state, name, found) = (check.state.as_str(), &check.name, &check.found);
        let _ = writeln!(text, "{state:<7}  {name}: {found}");
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "         {advice}");
        }
    }
    let all = checks.iter().map(|check| {
        json!({
            "name": check.name, "state": check.state.as_str(), "found": check.found, "advice": check.advice,
        })
    });
    Report {
        json: json!({ "well": !failed, "checks": all.collect::<Vec<_>>() }),
        text: text.trim_end().to_owned(),
        failed,
    }
}
