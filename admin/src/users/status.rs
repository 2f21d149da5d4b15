//! Locks and suspensions.

use anyhow::bail;
use serde_json::json;
use shared::store::{AccountStatus, Moderation, StatusChange};

use super::{localpart, nobody};
use crate::{Admin, Report};

/// Takes the step. An account that is where it leads already is left there, and that is no failure.
pub(super) async fn change(admin: &Admin, name: &str, step: Moderation) -> anyhow::Result<Report> {
    let user = localpart(name)?;
    let done = match step {
        Moderation::Lock => "locked",
        Moderation::Unlock => "not locked",
        Moderation::Suspend => "suspended",
        Moderation::Unsuspend => "not suspended",
    };
    let changed = match admin.store.change_status(&user, step).await? {
        StatusChange::Changed => true,
        StatusChange::NotApplicable(status) if is_there(step, status) => false,
        StatusChange::NotApplicable(status) => {
            bail!("nothing was done: the account is {}", status.as_str())
        }
        StatusChange::AccountNotFound => bail!(nobody(&user)),
    };
    let already = if changed { "now" } else { "already" };
    Ok(Report::of(
        json!({ "user": name, "state": done, "changed": changed }),
        format!("{name} is {already} {done}"),
    ))
}

/// Whether the account is already what the step makes of it.
const fn is_there(step: Moderation, status: AccountStatus) -> bool {
    match step {
        Moderation::Lock => matches!(status, AccountStatus::Locked),
        Moderation::Suspend => matches!(status, AccountStatus::Suspended),
        Moderation::Unlock => matches!(status, AccountStatus::Active | AccountStatus::Suspended),
        Moderation::Unsuspend => matches!(status, AccountStatus::Active),
    }
}
