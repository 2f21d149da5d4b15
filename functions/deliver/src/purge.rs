//! Removing the rows of a user's dead devices: what is left to do when all were ended at once.
//!
//! A device is dead for good once its epoch is behind the account's (unless it was spared then), or
//! the account is deactivated. Each row is removed on the condition that its epoch is still the one
//! that was read, so that whoever logs in to it meanwhile keeps it. It does no harm to begin anew.

use futures_util::{TryStreamExt, stream};
use shared::{
    app::App,
    ids::Localpart,
    store::{AccountRow, AccountStatus, ListedDevice},
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
    let (mut removed, mut page) = (0, None);
    loop {
        let (devices, next) = app.store.devices_page(user, page).await?;
        let dead: Vec<_> = devices
            .into_iter()
            .filter(|device| is_dead(&account, device))
            .collect();
        removed += dead.len();
        stream::iter(dead.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |device| async move {
                if is_late() {
                    return Err(Outcome::Again("there was no time left".to_owned()));
                }
                Ok(app.store.remove_dead_device(user, device).await?)
            })
            .await?;
        page = next;
        if page.is_none() {
            return Ok(moot(&format!("{removed} dead devices are removed")));
        }
    }
}

/// Dead, and never to be alive again. A device of a later epoch than the account had when it was
/// read belongs to somebody who has logged in since.
fn is_dead(account: &AccountRow, device: &ListedDevice) -> bool {
    account.status == AccountStatus::Deactivated
        || (device.epoch < account.epoch && !account.lets_live(&device.id, device.epoch))
}
