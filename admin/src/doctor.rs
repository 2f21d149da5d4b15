//! What is wrong with a deployment, as far as it can be asked from outside: tables, secret, settings,
//! mail, text messages, time. Changes nothing.
//!
//! It does not know where it looks. A service that does not know a question (the embedded ones answer
//! few) is no fault: the check is skipped.

mod checks;
mod keys;
mod mail;
mod settings;
mod tables;
mod texts;
mod time;

use std::fmt::Write;

use serde_json::json;

use self::checks::{Check, State};
use crate::{Admin, Report};

pub(crate) async fn run(admin: &Admin) -> Report {
    let mut checks = settings::look(&admin.environment);
    checks.extend(tables::look(admin).await);
    checks.extend(time::look(admin).await);
    checks.extend(keys::look(admin).await);
    checks.extend(mail::look(admin).await);
    checks.extend(texts::look(admin).await);
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
