//! Removing the rows that are dead: what is left to do when all devices of a user were ended at once,
//! or the account with them.
//!
//! A device is dead for good once its epoch is behind the account's (unless it was spared then). Its
//! row is removed on the condition that its epoch is still the one that was read, so that whoever
//! logs in to it meanwhile keeps it. Of a deactivated account only its own row stays, for the name
//! (DEACT-12, DEACT-14). It does no harm to begin anew.
//!
//! What a deactivated user still has bound at identity servers stays recorded until it is undone, or
//! given up after a day (DEACT-11); everything else goes without waiting for that.

use std::future::Future;

use futures_util::{TryStreamExt, stream};
use shared::{
    app::App,
    identity_servers::{self, UnbindResult, Which},
    ids::Localpart,
    outbox::{DeliveryResult, Leased},
    store::{AccountRow, AccountStatus, ListedDevice, PurgeItem, StoreError},
};
use tokio::sync::Semaphore;

use crate::contents::{GIVE_UP_AFTER, Outcome, moot};

/// How many rows are removed at once.
const AT_ONCE: usize = 16;

/// Removes what is dead, until it is too late to go on; the rest waits for another attempt. Identity servers
/// are asked with a permit of `unbinding` alone.
pub(crate) async fn purge(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    is_late: impl Fn() -> bool,
    unbinding: &Semaphore,
) -> Outcome {
    remove(app, leased, user, &is_late, unbinding)
        .await
        .unwrap_or_else(|outcome| outcome)
}

async fn remove(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    is_late: &impl Fn() -> bool,
    unbinding: &Semaphore,
) -> Result<Outcome, Outcome> {
    let account = app.store.find_account(user).await?;
    let account = account.ok_or_else(|| moot("there is no such account"))?;
    if account.status != AccountStatus::Deactivated {
        let removed = remove_devices(app, user, &account, is_late).await?;
        return Ok(moot(&format!("{removed} dead rows are removed")));
    }
    let (removed, bindings) = remove_all_but_bindings(app, user, is_late).await?;
    if bindings.is_empty() {
        return Ok(moot(&format!("{removed} dead rows are removed")));
    }
    unbind(app, leased, user, &bindings, is_late, unbinding).await
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

/// How many rows were removed, and the records of what is bound at identity servers.
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
        each(&rows, is_late, |row| app.store.purge_item(user, row)).await?;
        page = next;
        if page.is_none() {
            return Ok((removed, bindings));
        }
    }
}

/// Has identity servers undo what is bound; each record goes when its server has.
async fn unbind(
    app: &App,
    leased: &Leased,
    user: &Localpart,
    bindings: &[PurgeItem],
    is_late: &impl Fn() -> bool,
    unbinding: &Semaphore,
) -> Result<Outcome, Outcome> {
    let again = || Outcome::Again("something is still bound at an identity server".to_owned());
    // The first attempt is the stream's, and messages wait behind it. The request that ended the
    // account has asked a moment ago.
    if leased.attempts == 1 || is_late() {
        return Err(again());
    }
    let Ok(_permit) = unbinding.try_acquire() else {
        let why = "others wait for identity servers already";
        return Err(Outcome::Again(why.to_owned()));
    };
    let rest = Which::All { addresses: &[] };
    if identity_servers::unbind_all(app, user, rest, None).await == UnbindResult::Success {
        return Ok(moot("nothing is bound at identity servers any more"));
    }
    if app.clock.now().since(leased.created) < GIVE_UP_AFTER {
        return Err(again());
    }
    each(bindings, is_late, |row| app.store.purge_item(user, row)).await?;
    let why = "what identity servers have not unbound in a day stays bound there";
    Ok(Outcome::Over(DeliveryResult::Failed, why.to_owned()))
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
    device.epoch < account.epoch && !account.is_device_valid(&device.id, device.epoch)
}
