//! Checks of a deployment: tables, secret, settings, e-mail, text messages, clock. The checks change nothing.
//!
//! The checks are the same for AWS and for the embedded services. If a service does not implement a call,
//! the check is skipped. The embedded services implement only a few calls.

mod captcha;
mod checks;
mod clock;
mod connection;
mod homeserver;
mod keys;
mod mail;
mod settings;
mod sms;
mod sms_countries;
mod tables;

use serde_json::json;

use self::checks::{Check, State};
pub(crate) use self::tables::missing as missing_tables;
use crate::{Admin, Report, output};

pub(crate) async fn run(admin: &Admin) -> anyhow::Result<Report> {
    let mut results = Results {
        is_printing: admin.show_progress,
        ..Results::default()
    };
    results.add(settings::check(&admin.environment))?;
    match connection::check(admin).await {
        Err(failed) => {
            results.add([failed])?;
            let found = "they need a connection to AWS; solve this problem first";
            results.add([Check::skipped("other checks", found)])?;
        }
        Ok(date) => {
            for table in &tables::TABLES {
                results.add(tables::check(admin, table).await)?;
            }
            results.add([clock::check(admin, date.as_deref())])?;
            results.add(keys::check(admin).await)?;
            results.add(mail::check(admin).await)?;
            results.add(sms::check(admin).await)?;
            results.add(homeserver::check(admin).await)?;
            results.add(sms_countries::check(admin).await)?;
        }
    }
    results.add(captcha::check(&admin.environment).await)?;
    Ok(results.report())
}

/// The cause and the advice if DynamoDB does not answer, for an error of another command.
pub(crate) async fn unreachable(admin: &Admin) -> Option<String> {
    let failed = connection::check(admin).await.err()?;
    let advice = failed.advice.unwrap_or_default();
    Some(format!("{}\n{advice}", failed.found))
}

/// The results so far.
#[derive(Default)]
struct Results {
    checks: Vec<Check>,
    text: Vec<String>,
    /// Whether each result is printed when it is known, because a check may take seconds.
    is_printing: bool,
}

impl Results {
    fn add(&mut self, checks: impl IntoIterator<Item = Check>) -> anyhow::Result<()> {
        for check in checks {
            let (state, name, found) = (check.state.as_str(), &check.name, &check.found);
            let mut text = format!("{state:<7}  {name}: {found}");
            if let Some(advice) = &check.advice {
                text.push_str("\n         ");
                text.push_str(advice);
            }
            if self.is_printing {
                output::print(&output::escaped(&text)).map_err(|error| output::error(&error))?;
            } else {
                self.text.push(text);
            }
            self.checks.push(check);
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let failed = self.checks.iter().any(|check| check.state == State::Fail);
        let all = self.checks.iter().map(|check| {
            json!({
                "name": check.name, "state": check.state.as_str(), "found": check.found, "advice": check.advice,
            })
        });
        let json = json!({ "well": !failed, "checks": all.collect::<Vec<_>>() });
        Report {
            failed,
            ..Report::success(json, self.text.join("\n"))
        }
    }
}
