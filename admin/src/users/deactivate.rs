//! The end of an account, by the operator: what the endpoint does, without anybody's password, and a
//! locked account ends too. Identity servers are not called from here; what is bound there is undone
//! by whoever removes the account's rows.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use anyhow::{bail, ensure};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, Deactivation},
    ids::Localpart,
    notices,
    outbox::{NewMessage, Notice},
    store::AccountStatus,
};

use super::{TRIES, nobody};
use crate::{Admin, Report};

pub(super) async fn run(
    admin: &Admin,
    user: &Localpart,
    erase: bool,
    yes: bool,
) -> anyhow::Result<Report> {
    // Before anybody is asked.
    read(admin, user).await?;
    if !yes {
        confirm(user)?;
    }
    for _ in 0..TRIES {
        // The account before its addresses: none that was added since is left behind.
        let account = read(admin, user).await?;
        let own = admin.store.addresses_of(user).await?;
        let addresses: Vec<_> = own.into_iter().map(|own| own.threepid).collect();
        let (now, rng) = (admin.clock.now(), &*admin.rng);
        let mut messages = notices::mails_at(now, rng, &addresses, Notice::Deactivated);
        messages.push(NewMessage::purge(user, now, rng));
        let end = Deactivation {
            user: user.clone(),
            account,
            known: None,
            addresses,
            erase,
            messages,
            now,
        };
        match admin.store.deactivate(&end, None).await {
            Ok(()) => {
                let name = user.as_str();
                let released = end.addresses.len();
                return Ok(Report::of(
                    json!({ "deactivated": name, "erased": erase, "addresses_released": released }),
                    format!("{name} is deactivated; addresses released: {released}"),
                ));
            }
            Err(ChangeAccountError::AccountChanged) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("somebody else is changing the account: try again")
}

async fn read(admin: &Admin, user: &Localpart) -> anyhow::Result<shared::store::AccountRow> {
    let Some(account) = admin.store.find_account(user).await? else {
        bail!(nobody(user))
    };
    ensure!(
        account.status != AccountStatus::Deactivated,
        "the account is deactivated already"
    );
    Ok(account)
}

/// Has the name typed once more.
fn confirm(user: &Localpart) -> anyhow::Result<()> {
    ensure!(
        stdin().is_terminal(),
        "this cannot be undone: say --yes if it is meant"
    );
    let mut ask = stderr();
    write!(
        ask,
        "This ends the account for good. Type its name to go on: "
    )?;
    ask.flush()?;
    let mut typed = String::new();
    stdin().lock().read_line(&mut typed)?;
    ensure!(typed.trim() == user.as_str(), "nothing was done");
    Ok(())
}
