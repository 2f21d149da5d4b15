//! The comparison of all users with the homeserver, and the repair of the differences (HS-19).
//!
//! The homeserver has no endpoint that lists its users and devices. The command therefore queries the user of each
//! account. A repair synchronises the user, the e-mail addresses and the devices, even if no difference was found.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    homeserver::RetryOutcome,
    homeserver_client::{Client, HomeserverUser},
    ids::Localpart,
    store::{AccountKind, AccountRow, AccountStatus, HomeserverState},
};

use super::homeserver;
use crate::{Admin, Report, progress::Progress};

/// The number of users that are compared concurrently.
const CONCURRENCY: usize = 8;

/// A difference between an account and the homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// The user does not exist there.
    Missing,
    /// The account is deactivated here only.
    DeactivatedHere,
    /// The user is deactivated there only.
    DeactivatedThere,
    /// The user there belongs to another person.
    Foreign,
}

impl Difference {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "does not exist at the homeserver",
            Self::DeactivatedHere => "is deactivated here, but not at the homeserver",
            Self::DeactivatedThere => "is deactivated at the homeserver, but not here",
            Self::Foreign => "has the name of a user of the homeserver that was not created here",
        }
    }

    /// The action that the operator can take if the command does not repair the difference.
    const fn advice(self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::DeactivatedHere => None,
            Self::DeactivatedThere => Some("deactivate the account here, too"),
            Self::Foreign => Some("use `homeserver adopt` if both belong to the same person"),
        }
    }
}

/// The result of one user.
struct Compared {
    user: Localpart,
    difference: Option<Difference>,
    /// Whether the homeserver now has the current state of the account.
    repaired: bool,
    error: Option<String>,
}

pub(super) async fn run(
    admin: &Admin,
    client: &Client,
    dry_run: bool,
    names: Vec<Localpart>,
) -> anyhow::Result<Report> {
    let users = match names {
        names if names.is_empty() => all(admin).await?,
        names => names,
    };
    let progress = Progress::new(users.len(), admin);
    let compared: Vec<Compared> = stream::iter(users)
        .map(|user| async {
            let compared = compare(admin, client, dry_run, user).await;
            progress.step();
            compared
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    progress.clear();
    Ok(report(compared, dry_run))
}

async fn all(admin: &Admin) -> anyhow::Result<Vec<Localpart>> {
    let (mut users, mut page) = (Vec::new(), None);
    loop {
        let (found, next) = admin.store.accounts_page(page).await?;
        users.extend(found);
        page = next;
        if page.is_none() {
            users.sort();
            return Ok(users);
        }
    }
}

async fn compare(admin: &Admin, client: &Client, dry_run: bool, user: Localpart) -> Compared {
    let compared = |difference, repaired, error: Option<String>| Compared {
        user: user.clone(),
        difference,
        repaired,
        error,
    };
    let account = match admin.store.find_account(&user).await {
        Ok(Some(account)) if account.kind == AccountKind::User => account,
        Ok(Some(_)) => return compared(None, true, None),
        Ok(None) => return compared(None, false, Some("there is no such account".to_owned())),
        Err(error) => return compared(None, false, Some(error.to_string())),
    };
    let found = match client.find_user(&user).await {
        Ok(found) => found,
        Err(error) => return compared(None, false, Some(error.to_string())),
    };
    let difference = difference(&account, found.as_ref());
    let is_repairable = difference.is_none_or(|difference| difference.advice().is_none());
    if dry_run || !is_repairable {
        return compared(difference, false, None);
    }
    match homeserver(admin, client).retry(&user).await {
        Ok(RetryOutcome::Done) => compared(difference, true, None),
        Ok(outcome) => compared(
            difference,
            false,
            Some(format!("the update ended as {outcome:?}")),
        ),
        Err(error) => compared(difference, false, Some(error.to_string())),
    }
}

fn difference(account: &AccountRow, found: Option<&HomeserverUser>) -> Option<Difference> {
    let is_ours = account.homeserver == HomeserverState::Provisioned;
    let is_over = account.status == AccountStatus::Deactivated;
    match found {
        None if is_over => None,
        None => Some(Difference::Missing),
        // The user may have been created by an interrupted registration, which the repair completes.
        Some(_) if account.homeserver == HomeserverState::Provisioning => None,
        Some(_) if !is_ours && is_over => None,
        Some(_) if !is_ours => Some(Difference::Foreign),
        Some(user) if user.is_deactivated == is_over => None,
        Some(_) if is_over => Some(Difference::DeactivatedHere),
        Some(_) => Some(Difference::DeactivatedThere),
    }
}

fn report(mut compared: Vec<Compared>, dry_run: bool) -> Report {
    compared.sort_by(|a, b| a.user.cmp(&b.user));
    let all = compared.len();
    let notable = compared
        .iter()
        .filter(|one| one.difference.is_some() || one.error.is_some());
    let rows: Vec<Value> = notable
        .clone()
        .map(|one| {
            json!({
                "user": one.user, "difference": one.difference.map(Difference::as_str),
                "repaired": one.repaired, "error": one.error,
            })
        })
        .collect();
    let mut lines: Vec<String> = notable.clone().map(line).collect();
    let failed = notable
        .clone()
        .any(|one| !one.repaired && (!dry_run || one.error.is_some()));
    let repaired = compared.iter().filter(|one| one.repaired).count();
    let differences = rows.len();
    let in_line = if dry_run {
        String::new()
    } else {
        format!("; in line now: {repaired}")
    };
    lines.push(format!(
        "compared {all} users; differences: {differences}{in_line}"
    ));
    let json = json!({ "compared": all, "in_line": repaired, "dry_run": dry_run, "users": rows });
    Report {
        failed,
        ..Report::success(json, lines.join("\n"))
    }
}

fn line(one: &Compared) -> String {
    let difference = one.difference.map(Difference::as_str);
    let advice = one.difference.and_then(Difference::advice);
    let end = match (&one.error, one.repaired, advice) {
        (Some(error), _, _) => format!("not repaired: {error}"),
        (None, true, _) => "repaired".to_owned(),
        (None, false, Some(advice)) => advice.to_owned(),
        (None, false, None) => "not repaired".to_owned(),
    };
    match difference {
        Some(difference) => format!("{} {difference}; {end}", one.user.as_str()),
        None => format!("{}: {end}", one.user.as_str()),
    }
}
