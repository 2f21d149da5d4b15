//! Deactivation of an account by the operator. The command has the same effect as the endpoint, without UIA, and
//! also deactivates a locked account. The command does not contact identity servers: the purge of the account's
//! rows unbinds the addresses there.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use anyhow::{bail, ensure};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, Deactivation},
    homeserver::Change,
    ids::Localpart,
    outbox::{NewMessage, Notice},
    security_notifications,
    store::{AccountRow, AccountStatus},
};

use super::{MAX_ATTEMPTS, account_not_found};
use crate::{Admin, Report, homeserver};

pub(super) async fn run(
    admin: &Admin,
    user: &Localpart,
    erase: bool,
    yes: bool,
) -> anyhow::Result<Report> {
    // An account that cannot be deactivated is reported before the operator is asked to confirm.
    let account = read(admin, user).await?;
    let is_over = account.status == AccountStatus::Deactivated;
    ensure!(
        erase || !is_over,
        "the account is already deactivated; `--erase` records its erasure"
    );
    if !yes {
        confirm(user)?;
    }
    if is_over {
        return erase_deactivated(admin, user).await;
    }
    for _ in 0..MAX_ATTEMPTS {
        // The account is read before its addresses. An address that is added in between changes the
        // account row, so the transaction fails and the loop reads both again.
        let account = read(admin, user).await?;
        ensure!(
            account.status != AccountStatus::Deactivated,
            "the account was deactivated by another request"
        );
        let rows = admin.store.addresses_of(user).await?;
        let addresses: Vec<_> = rows.into_iter().map(|row| row.threepid).collect();
        let (now, rng) = (admin.clock.now(), &*admin.rng);
        let mut messages =
            security_notifications::mails_at(now, rng, &addresses, Notice::Deactivated);
        messages.push(NewMessage::purge(user, now, rng));
        let deactivation = Deactivation {
            user: user.clone(),
            account,
            known: None,
            addresses,
            erase,
            messages,
            now,
        };
        let deactivated = homeserver::carry_over(
            admin,
            user,
            Some(&deactivation.account),
            Change::Deactivated { erase },
            admin.store.deactivate(&deactivation, None),
        );
        match deactivated.await {
            Ok(()) => {
                let name = user.as_str();
                let released = deactivation.addresses.len();
                return Ok(Report::success(
                    json!({ "deactivated": name, "erased": erase, "addresses_released": released }),
                    format!("deactivated {name}; addresses released: {released}"),
                ));
            }
            Err(ChangeAccountError::AccountChanged) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the account is being changed by other requests; try again")
}

/// Records the erasure of an account that was deactivated before, and purges its rows again. A restored backup may have
/// brought rows back.
async fn erase_deactivated(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let now = admin.clock.now();
    let purge = NewMessage::purge(user, now, &*admin.rng);
    let account = read(admin, user).await?;
    let messages = [purge];
    let erasure = admin.store.record_erasure(user, &messages, now);
    let change = Change::Deactivated { erase: true };
    homeserver::carry_over(admin, user, Some(&account), change, erasure).await?;
    let name = user.as_str();
    Ok(Report::success(
        json!({ "deactivated": name, "erased": true, "addresses_released": 0 }),
        format!("{name} was deactivated before; the erasure is recorded and is being carried out"),
    ))
}

async fn read(admin: &Admin, user: &Localpart) -> anyhow::Result<AccountRow> {
    match admin.store.find_account(user).await? {
        Some(account) => Ok(account),
        None => bail!(account_not_found(user)),
    }
}

/// Asks the operator to type the username.
fn confirm(user: &Localpart) -> anyhow::Result<()> {
    ensure!(
        stdin().is_terminal(),
        "a deactivation cannot be undone; confirm it with --yes"
    );
    let mut prompt = stderr();
    write!(
        prompt,
        "The deactivation of {0} cannot be undone. Type {0} to confirm: ",
        user.as_str()
    )?;
    prompt.flush()?;
    let mut typed = String::new();
    stdin().lock().read_line(&mut typed)?;
    ensure!(
        typed.trim() == user.as_str(),
        "not confirmed; the account was not changed"
    );
    Ok(())
}
