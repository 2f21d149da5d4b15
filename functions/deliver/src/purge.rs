//! Removing the rows that are dead: what is left to do when all devices of a user were ended at once,
//! or the account with them.
//!
//! A device is dead for good once its epoch is behind the account's (unless it was spared then). Its
//! row is removed on the condition that its epoch is still the one that was read, so that whoever
//! logs in to it meanwhile keeps it. Of a deactivated account only its own row stays, for the name
//! (DEACT-12, DEACT-14). It does no harm to begin anew.

use std::future::Future;

use futures_util::{TryStreamExt, stream};
use shared::{
    app::App,
    ids::Localpart,
    store::{AccountRow, AccountStatus, ListedDevice, StoreError},
};

use crate::contents::{Outcome, moot};

/// How many rows are removed at once.
const AT_ONCE: usize = 16;

/// Removes what is dead, until it is too late to go on; the rest waits for another attempt.
pub(crate) async fn purge(app: &App, user: &Localpart, is_late: impl Fn() -> bool) -> Outcome {
    remove(app, user, &is_late)
        .await
        .unwrap_or_else(|outcome| outcome)
}

async fn remove(
    app: &App,
    user: &Localpart,
    is_late: &impl Fn() -> bool,
) -> Result<Outcome, Outcome> {
    let account = app.store.find_account(user).await?;
    let account = account.ok_or_else(|| moot("there is no such account"))?;
    let removed = if account.status == AccountStatus::Deactivated {
        remove_everything(app, user, is_late).await?
    } else {
        remove_devices(app, user, &account, is_late).await?
    };
    Ok(moot(&format!("{removed} dead rows are removed")))
}

async fn remove_devices(
    app: &App,
    user: &Localpart,
    account: &AccountRow,
    is_late: &impl Fn() -> bool,
) -> Result<usize, Outcome> {
    let (mut removed, mut page) = (0, None);
    loop {
        let (devices, next) = app.store.devices_page(user, page).await?;
        let dead: Vec<_> = devices
            .into_iter()
            .filter(|device| is_dead(account, device))
            .collect();
        removed += dead.len();
        each(&dead, is_late, |device| {
            app.store.remove_dead_device(user, device)
        })
        .await?;
        page = next;
        if page.is_none() {
            return Ok(removed);
        }
    }
}

async fn remove_everything(
    app: &App,
    user: &Localpart,
    is_late: &impl Fn() -> bool,
) -> Result<usize, Outcome> {
    let (mut removed, mut page) = (0, None);
    loop {
        let (rows, next) = app.store.remnants_page(user, page).await?;
        removed += rows.len();
        each(&rows, is_late, |row| app.store.remove_remnant(user, row)).await?;
        page = next;
        if page.is_none() {
            return Ok(removed);
        }
    }
}

/// Removes some rows, several at once, while there is time.
async fn each<'a, T, F>(
    rows: &'a [T],
    is_late: &impl Fn() -> bool,
    remove: impl Fn(&'a T) -> F,
) -> Result<(), Outcome>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let remove = &remove;
    stream::iter(rows.iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |row| async move {
            if is_late() {
                return Err(Outcome::Again("there was no time left".to_owned()));
            }
            Ok(remove(row).await?)
        })
        .await
}

/// Dead, and never to be alive again. A device of a later epoch than the account had when it was
/// read belongs to somebody who has logged in since.
fn is_dead(account: &AccountRow, device: &ListedDevice) -> bool {
    device.epoch < account.epoch && !account.lets_live(&device.id, device.epoch)
}
