//! The comparison of all users with the homeserver, and the repair of the differences (HS-19).
//!
//! The homeserver has no endpoint that lists its users and devices. The command therefore queries the user of each
//! account, and reads users and devices from Synapse's database if its arguments name it. A repair synchronises the
//! user, the e-mail addresses and the devices through the endpoints of the homeserver, even if no difference was found.
//! It reads the rows of the account again, because the database may be older than the last login.

use std::collections::BTreeSet;

use anyhow::bail;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    homeserver::RetryOutcome,
    homeserver_client::{Client, HomeserverUser},
    ids::Localpart,
    store::{AccountKind, AccountRow, AccountStatus, HomeserverState, StoreError},
};

use super::homeserver;
use crate::{
    Admin, Report,
    progress::Progress,
    synapse::{ListedUser, Listing, Source},
    users,
};

/// The number of users that are compared concurrently.
const CONCURRENCY: usize = 8;

/// The arguments of the comparison.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").multiple(true)))]
pub struct Sync {
    /// Only print the differences
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    source: Source,
    /// Compare only these users
    #[arg(allow_hyphen_values = true)]
    names: Vec<String>,
}

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
    /// The user exists there only.
    OnlyThere,
}

impl Difference {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "does not exist at the homeserver",
            Self::DeactivatedHere => "is deactivated here, but not at the homeserver",
            Self::DeactivatedThere => "is deactivated at the homeserver, but not here",
            Self::Foreign => "has the name of a user of the homeserver that was not created here",
            Self::OnlyThere => "exists only at the homeserver",
        }
    }

    /// The action that the operator can take if the command does not repair the difference.
    const fn advice(self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::DeactivatedHere => None,
            Self::DeactivatedThere => Some("deactivate the account here, too"),
            Self::Foreign => Some("use `homeserver adopt` if both belong to the same person"),
            Self::OnlyThere => Some("use `import synapse` to make an account of the user"),
        }
    }
}

/// The devices that only one side has.
#[derive(Default)]
struct DeviceDifferences {
    only_there: Vec<String>,
    only_here: Vec<String>,
}

/// The result of one user.
struct Compared {
    user: String,
    difference: Option<Difference>,
    devices: DeviceDifferences,
    /// Whether the homeserver now has the current state of the account.
    repaired: bool,
    error: Option<String>,
}

/// Both sides of the comparison.
#[derive(Clone, Copy)]
struct Sides<'a> {
    admin: &'a Admin,
    client: &'a Client,
    listing: Option<&'a Listing>,
    is_dry_run: bool,
}

pub(super) async fn run(admin: &Admin, client: &Client, sync: &Sync) -> anyhow::Result<Report> {
    let listing = Listing::read(admin, &sync.source).await?;
    let sides = Sides {
        admin,
        client,
        listing: listing.as_ref(),
        is_dry_run: sync.dry_run,
    };
    let names = sync.names.iter().map(|name| users::localpart(admin, name));
    let names = names.collect::<Result<BTreeSet<_>, _>>()?;
    let (names, other_users) = match (&listing, names.is_empty()) {
        (_, false) => (names, [].as_slice()),
        (None, true) => (all(admin).await?, [].as_slice()),
        (Some(listing), true) => {
            let mut names = all(admin).await?;
            names.extend(listing.active().cloned());
            (names, listing.other_users.as_slice())
        }
    };
    let progress = Progress::new(names.len(), admin);
    let mut compared: Vec<Compared> = stream::iter(names)
        .map(|user| async move {
            let compared = sides.compare(&user).await;
            (user, compared)
        })
        .buffer_unordered(CONCURRENCY)
        .map(|(user, compared)| {
            progress.step();
            compared.unwrap_or_else(|error| Compared::failed(&user, error.to_string()))
        })
        .collect()
        .await;
    progress.clear();
    compared.extend(other_users.iter().map(|user| Compared::only_there(user)));
    Ok(report(compared, sync.dry_run))
}

async fn all(admin: &Admin) -> anyhow::Result<BTreeSet<Localpart>> {
    let (mut users, mut page) = (BTreeSet::new(), None);
    loop {
        let (found, next) = admin.store.accounts_page(page).await?;
        users.extend(found);
        page = next;
        if page.is_none() {
            return Ok(users);
        }
    }
}

impl Compared {
    fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            difference: None,
            devices: DeviceDifferences::default(),
            repaired: false,
            error: None,
        }
    }

    fn failed(user: &Localpart, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::new(user.as_str())
        }
    }

    fn only_there(user: &str) -> Self {
        Self {
            difference: Some(Difference::OnlyThere),
            ..Self::new(user)
        }
    }

    fn is_notable(&self) -> bool {
        let devices = &self.devices;
        let has_devices = !(devices.only_there.is_empty() && devices.only_here.is_empty());
        self.difference.is_some() || has_devices || self.error.is_some()
    }
}

impl Sides<'_> {
    async fn compare(self, user: &Localpart) -> anyhow::Result<Compared> {
        let listed = self.listing.and_then(|listing| listing.find(user));
        let account = match self.admin.store.find_account(user).await? {
            Some(account) if account.kind == AccountKind::User => account,
            Some(_) => {
                return Ok(Compared {
                    repaired: true,
                    ..Compared::new(user.as_str())
                });
            }
            None if listed.is_some_and(|listed| listed.is_active) => {
                return Ok(Compared::only_there(user.as_str()));
            }
            None => bail!("there is no such account"),
        };
        let found = self.client.find_user(user).await?;
        let difference = difference(&account, found.as_ref());
        let devices = match (self.listing, difference) {
            (Some(_), None) if is_active_there(&account) => {
                self.compare_devices(user, &account, listed).await?
            }
            _ => DeviceDifferences::default(),
        };
        let mut compared = Compared {
            difference,
            devices,
            ..Compared::new(user.as_str())
        };
        let is_repairable = difference.is_none_or(|difference| difference.advice().is_none());
        if is_repairable && !self.is_dry_run {
            match homeserver(self.admin, self.client).retry(user).await {
                Ok(RetryOutcome::Done) => compared.repaired = true,
                Ok(outcome) => compared.error = Some(format!("the update ended as {outcome:?}")),
                Err(error) => compared.error = Some(error.to_string()),
            }
        }
        Ok(compared)
    }

    async fn compare_devices(
        self,
        user: &Localpart,
        account: &AccountRow,
        listed: Option<&ListedUser>,
    ) -> Result<DeviceDifferences, StoreError> {
        let own = homeserver(self.admin, self.client);
        let own = own.devices(user, account).await?.into_iter();
        let here: BTreeSet<_> = own.map(|device| device.id.as_str().to_owned()).collect();
        let nothing = BTreeSet::new();
        let there = listed.map_or(&nothing, |listed| &listed.devices);
        Ok(DeviceDifferences {
            only_there: there.difference(&here).cloned().collect(),
            only_here: here.difference(there).cloned().collect(),
        })
    }
}

/// Whether the homeserver must have the devices of the account.
fn is_active_there(account: &AccountRow) -> bool {
    account.homeserver == HomeserverState::Provisioned
        && account.status != AccountStatus::Deactivated
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
    let notable = compared.iter().filter(|one| one.is_notable());
    let rows: Vec<Value> = notable
        .clone()
        .map(|one| {
            json!({
                "user": one.user, "difference": one.difference.map(Difference::as_str),
                "devices_only_at_homeserver": one.devices.only_there,
                "devices_only_here": one.devices.only_here,
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
    let devices = [
        (
            "has devices only at the homeserver",
            &one.devices.only_there,
        ),
        ("has devices only here", &one.devices.only_here),
    ];
    let devices = devices.iter().filter(|(_, devices)| !devices.is_empty());
    let devices = devices.map(|(text, devices)| format!("{text}: {}", devices.join(", ")));
    let found: Vec<_> = difference
        .map(str::to_owned)
        .into_iter()
        .chain(devices)
        .collect();
    match found.join("; ") {
        found if found.is_empty() => format!("{}: {end}", one.user),
        found => format!("{} {found}; {end}", one.user),
    }
}
