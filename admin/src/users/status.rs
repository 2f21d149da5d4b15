//! Locks and suspensions.

use anyhow::bail;
use serde_json::json;
use shared::store::{AccountStatus, Moderation, StatusChange};

use super::{account_not_found, localpart};
use crate::{Admin, Report};

/// Changes the status of an account. A repeated change has no effect and is not an error.
pub(super) async fn change(
    admin: &Admin,
    name: &str,
    action: Moderation,
) -> anyhow::Result<Report> {
    let user = localpart(name)?;
    let state = match action {
        Moderation::Lock => "locked",
        Moderation::Unlock => "not locked",
        Moderation::Suspend => "suspended",
        Moderation::Unsuspend => "not suspended",
    };
    let changed = match admin.store.change_status(&user, action).await? {
        StatusChange::Changed => true,
        StatusChange::NotApplicable(status) if is_already(action, status) => false,
        StatusChange::NotApplicable(status) => {
            bail!(
                "the account was not changed, because it is {}",
                status.as_str()
            )
        }
        StatusChange::AccountNotFound => bail!(account_not_found(&user)),
    };
    let when = if changed { "now" } else { "already" };
    Ok(Report::success(
        json!({ "user": name, "state": state, "changed": changed }),
        format!("{name} is {when} {state}"),
    ))
}

/// Whether the account already has the status that the action leads to.
const fn is_already(action: Moderation, status: AccountStatus) -> bool {
    match action {
        Moderation::Lock => matches!(status, AccountStatus::Locked),
        Moderation::Suspend => matches!(status, AccountStatus::Suspended),
        Moderation::Unlock => matches!(status, AccountStatus::Active | AccountStatus::Suspended),
        Moderation::Unsuspend => matches!(status, AccountStatus::Active),
    }
}
