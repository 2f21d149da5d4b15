//! A new password for who has lost theirs, and what leads to one.
//!
//! No page of this server sets a password, so a link alone leads nowhere: it confirms, in the user's
//! browser, the session with which any client, or `curl`, then sets the password. Whoever can have
//! mail gets such a session by the client's own "forgot password". A one-time password works with
//! every client and for accounts without an address.

use anyhow::{Context, bail, ensure};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, DeviceLogout, PasswordChange},
    config::read_passwords,
    ids::Localpart,
    notices,
    outbox::{NewMessage, Notice},
    passwords::Hasher,
    request_token::submit_url_at,
    secrets::Secret,
    store::{AccountKind, AccountRow, AccountStatus},
    threepids::{Medium, ThreePid, proofs},
};

use super::{TRIES, nobody};
use crate::{Admin, Report};

/// Letters and digits that nobody takes for one another.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// In groups, to be read aloud: 99 bits in all.
const GROUPS: usize = 4;
const GROUP_CHARS: usize = 5;

/// Sets a random password, ends every device, and tells the password this once.
pub(super) async fn password(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let config =
        read_passwords(|name| admin.environment.get(name)).context("the settings are not right")?;
    let groups = (0..GROUPS).map(|_| admin.rng.text(ALPHABET, GROUP_CHARS));
    let password = Secret::new(groups.collect::<Vec<_>>().join("-"));
    let hash = Hasher::new(config).hash(&password, &*admin.rng).await?;
    for _ in 0..TRIES {
        let (account, addresses) = read(admin, user).await?;
        let (now, rng) = (admin.clock.now(), &*admin.rng);
        let mut messages = notices::mails_at(now, rng, &addresses, Notice::PasswordChanged);
        messages.push(NewMessage::purge(user, now, rng));
        let set = PasswordChange {
            user: user.clone(),
            epoch: account.epoch,
            password: hash.clone(),
            device_logout: DeviceLogout::All,
            known: None,
            proof: None,
            messages,
            now,
        };
        match admin.store.change_password(&set, None).await {
            Ok(()) => {
                let (name, told) = (user.as_str(), password.reveal());
                return Ok(Report::of(
                    json!({ "user": name, "password": told }),
                    format!(
                        "{told}\n(the password of {name} until it is changed; it is not shown again, and every device is logged out)"
                    ),
                ));
            }
            Err(ChangeAccountError::AccountChanged) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("somebody else is changing the account: try again")
}

/// Begins the session of a reset without sending its mail, and tells what leads on from there.
pub(super) async fn link(
    admin: &Admin,
    user: &Localpart,
    public_url: Option<&str>,
) -> anyhow::Result<Report> {
    let base = base(admin, public_url)?;
    let (_, addresses) = read(admin, user).await?;
    let mut addresses = addresses.into_iter();
    let mailbox = addresses.find(|address| address.medium == Medium::Email);
    let to = mailbox.context(
        "the account has no e-mail address that a link could stand for: see `users reset-password`",
    )?;
    let client_secret = Secret::new(admin.rng.base64::<24>());
    let (keys, now) = (&admin.keys, admin.clock.now());
    let row = proofs::hand_over(keys, &to, &client_secret, now, &*admin.rng);
    admin.store.save_proof(&row, None).await?;
    let submit = submit_url_at(&base, Medium::Email);
    let link = proofs::link(keys, &submit, &row.sid, &row.generation);
    let (sid, client_secret) = (&row.sid, client_secret.reveal());
    let creds = json!({ "sid": sid, "client_secret": client_secret });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "new_password": "…", "auth": auth });
    let endpoint = format!("{base}/_matrix/client/v3/account/password");
    let text = format!(
        "1. The user opens this within a day, and presses the button:\n   {link}\n\
         2. Then the new password is set with:\n   curl {endpoint} -d '{body}'",
        link = link.reveal()
    );
    let json = json!({
        "user": user, "address": to.address, "link": link.reveal(), "sid": sid,
        "client_secret": client_secret, "then": { "method": "POST", "url": endpoint, "body": body },
        "expires": row.expires,
    });
    Ok(Report::of(json, text))
}

/// Where the functions are reached.
fn base(admin: &Admin, given: Option<&str>) -> anyhow::Result<String> {
    let get = |name: &str| admin.environment.get(name);
    let base = given
        .map(str::to_owned)
        .or_else(|| get("GATEHOUSE_PUBLIC_URL"))
        .or_else(|| get("GATEHOUSE_SERVER_NAME").map(|name| format!("https://{name}")));
    let base = base.context("where does the link lead? Give --public-url")?;
    Ok(base.trim_end_matches('/').to_owned())
}

/// An account that may be given a password, and its addresses, read after it.
async fn read(admin: &Admin, user: &Localpart) -> anyhow::Result<(AccountRow, Vec<ThreePid>)> {
    let Some(account) = admin.store.find_account(user).await? else {
        bail!(nobody(user))
    };
    ensure!(
        account.kind == AccountKind::User,
        "the account is of a kind that has no password: {}",
        account.kind.as_str()
    );
    ensure!(
        matches!(
            account.status,
            AccountStatus::Active | AccountStatus::Suspended
        ),
        "the account is {}",
        account.status.as_str()
    );
    let own = admin.store.addresses_of(user).await?;
    Ok((account, own.into_iter().map(|own| own.threepid).collect()))
}
