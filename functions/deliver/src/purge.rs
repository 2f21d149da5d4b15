//! Deletes rows that are no longer used: the device rows of a user whose devices were all logged out
//! at once, and the rows of a deactivated account.
//!
//! A device is logged out permanently when its epoch is lower than the account's, unless the request
//! that raised the account's epoch kept the device. Its row is deleted on the condition that its epoch has not changed
//! since it was read, so that a login to the same device in the meantime is not lost. A purge may be
//! repeated.

use std::future::Future;

use futures_util::{TryStreamExt, stream};
use shared::{
    app::App,
    identity_servers::{self, UnbindResult, UnbindScope},
    ids::Localpart,
    outbox::Leased,
    store::{AccountRow, AccountStatus, ListedDevice, PurgeItem, StoreError},
};
use tokio::sync::Semaphore;

use crate::{content::GIVE_UP_AFTER, outcome::Outcome};

/// The number of rows that are deleted concurrently.
const CONCURRENCY: usize = 16;

/// Deletes the rows until `is_late` returns true. Another attempt deletes the remaining rows. A call to an identity
/// server needs one of the `unbind_permits`.
pub(crate) async fn purge(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    is_late: impl Fn() -> bool,
    unbind_permits: &Semaphore,
) -> Outcome {
    remove(app, leased, user, &is_late, unbind_permits)
        .await
        .unwrap_or_else(|outcome| outcome)
}

async fn remove(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    is_late: &impl Fn() -> bool,
    unbind_permits: &Semaphore,
) -> Result<Outcome, Outcome> {
    let account = app.store.find_account(user).await?;
    let account = account.ok_or_else(|| Outcome::skipped("the account does not exist"))?;
    if account.status != AccountStatus::Deactivated {
        let removed = remove_devices(app, user, &account, is_late).await?;
        return Ok(purged(removed));
    }
    // DEACT-12, DEACT-14: only the account row stays, so that the username stays taken.
    let (removed, bindings) = remove_all_but_bindings(app, user, is_late).await?;
    if bindings.is_empty() {
        return Ok(purged(removed));
    }
    unbind(app, leased, user, &bindings, is_late, unbind_permits).await
}

fn purged(rows: usize) -> Outcome {
    Outcome::skipped(&format!("purged {rows} rows"))
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
        let logged_out: Vec<_> = devices
            .into_iter()
            .filter(|device| is_logged_out(account, device))
            .collect();
        removed += logged_out.len();
        for_each(&logged_out, is_late, |device| {
            app.store.remove_dead_device(user, device)
        })
        .await?;
        page = next;
        if page.is_none() {
            return Ok(removed);
        }
    }
}

/// Returns the number of deleted rows, and the records of the bindings at identity servers. The records are kept
/// until the identity servers have unbound the addresses.
async fn remove_all_but_bindings(
    app: &App,
    user: &Localpart,
    is_late: &impl Fn() -> bool,
) -> Result<(usize, Vec<PurgeItem>), Outcome> {
    let (mut removed, mut bindings, mut page) = (0, Vec::new(), None);
    loop {
        let (rows, next) = app.store.purge_page(user, page).await?;
        let (bound, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(PurgeItem::is_binding);
        removed += rows.len();
        bindings.extend(bound);
        for_each(&rows, is_late, |row| app.store.purge_item(user, row)).await?;
        page = next;
        if page.is_none() {
            return Ok((removed, bindings));
        }
    }
}

/// Asks the identity servers to unbind the addresses of a deactivated account (DEACT-11). The record
/// of a binding is deleted after its identity server has unbound it, or after a day.
async fn unbind(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    bindings: &[PurgeItem],
    is_late: &impl Fn() -> bool,
    unbind_permits: &Semaphore,
) -> Result<Outcome, Outcome> {
    let still_bound =
        || Outcome::retry("an address of the account is still bound at an identity server");
    // The first attempt does not call the identity servers: it belongs to a stream event, whose new
    // messages would wait, and the deactivation request has called the identity servers a moment before.
    if leased.attempts == 1 || is_late() {
        return Err(still_bound());
    }
    let Ok(_permit) = unbind_permits.try_acquire() else {
        return Err(Outcome::retry(
            "too many other purges are waiting for identity servers",
        ));
    };
    let rest = UnbindScope::All { addresses: &[] };
    if identity_servers::unbind_all(app, user, rest, None).await == UnbindResult::Success {
        return Ok(Outcome::skipped(
            "the identity servers have unbound every address of the account",
        ));
    }
    if app.clock.now().since(leased.created) < GIVE_UP_AFTER {
        return Err(still_bound());
    }
    for_each(bindings, is_late, |row| app.store.purge_item(user, row)).await?;
    Ok(Outcome::failed(
        "an identity server has not unbound an address within a day, so it stays bound there",
    ))
}

/// Deletes rows concurrently until `is_late` returns true.
async fn for_each<'a, T, F>(
    rows: &'a [T],
    is_late: &impl Fn() -> bool,
    remove: impl Fn(&'a T) -> F,
) -> Result<(), Outcome>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let remove = &remove;
    stream::iter(rows.iter().map(Ok))
        .try_for_each_concurrent(CONCURRENCY, |row| async move {
            if is_late() {
                return Err(Outcome::retry("the invocation had no time left"));
            }
            Ok(remove(row).await?)
        })
        .await
}

/// Whether a device is logged out permanently. A device with a later epoch than the account row belongs
/// to a login after the row was read.
fn is_logged_out(account: &AccountRow, device: &ListedDevice) -> bool {
    device.epoch < account.epoch && !account.is_device_valid(&device.id, device.epoch)
}
