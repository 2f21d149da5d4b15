//! Locks and suspensions.

use anyhow::bail;
use serde_json::json;
use shared::{
    homeserver::Change,
    ids::Localpart,
    store::{AccountStatus, Moderation, StatusChange},
};

use super::account_not_found;
use crate::{Admin, Report, homeserver};

/// Changes the status of an account. A repeated change has no effect and is not an error.
pub(super) async fn change(
    admin: &Admin,
    user: &Localpart,
    action: Moderation,
) -> anyhow::Result<Report> {
    // The state in the JSON report, and the texts for a changed and for an unchanged account.
    let (state, changed_text, unchanged_text) = match action {
        Moderation::Lock => ("locked", "is locked", "is already locked"),
        Moderation::Unlock => ("not locked", "is unlocked", "was not locked"),
        Moderation::Suspend => ("suspended", "is suspended", "is already suspended"),
        Moderation::Unsuspend => (
            "not suspended",
            "is no longer suspended",
            "was not suspended",
        ),
    };
    let change = admin.store.change_status(user, action);
    let account = admin.store.find_account(user).await?;
    let change = homeserver::carry_over(
        admin,
        user,
        account.as_ref(),
        Change::AccountChanged,
        change,
    );
    let changed = match change.await? {
        StatusChange::Changed => true,
        StatusChange::NotApplicable(status) if is_already(action, status) => false,
        StatusChange::NotApplicable(status) => {
            bail!(
                "the account was not changed, because it is {}",
                status.as_str()
            )
        }
        StatusChange::AccountNotFound => bail!(account_not_found(user)),
    };
    let name = user.as_str();
    let text = if changed {
        changed_text
    } else {
        unchanged_text
    };
    Ok(Report::success(
        json!({ "user": name, "state": state, "changed": changed }),
        format!("{name} {text}"),
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
