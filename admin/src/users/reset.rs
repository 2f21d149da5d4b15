//! New passwords for users who have lost theirs: a one-time password, or a link.
//!
//! This server has no page that sets a password, so the link only validates a session in the user's
//! browser. A client or `curl` then sets the password with that session. A user who can receive e-mail
//! can start such a session with "forgot password" in the client. A one-time password works with every
//! client, and for accounts without an address.

use anyhow::{Context, bail, ensure};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, DeviceLogout, PasswordChange},
    config::read_passwords,
    ids::Localpart,
    outbox::{NewMessage, Notice},
    passwords::Hasher,
    request_token::submit_url_at,
    secrets::Secret,
    security_notifications,
    store::{AccountKind, AccountRow, AccountStatus},
    threepid_validation,
    threepids::{Medium, ThreePid},
};

use super::{MAX_ATTEMPTS, account_not_found};
use crate::{Admin, Report, ShownOnce, times};

/// Letters and digits that cannot be confused with each other.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// The password consists of groups, so that it can be read aloud. Its entropy is 99 bits.
const GROUPS: usize = 4;
const GROUP_CHARS: usize = 5;

/// Sets a random password, logs out every device, and shows the password once.
pub(super) async fn password(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let config =
        read_passwords(|name| admin.environment.get(name)).context("the settings are invalid")?;
    let groups = (0..GROUPS).map(|_| admin.rng.text(ALPHABET, GROUP_CHARS));
    let password = Secret::new(groups.collect::<Vec<_>>().join("-"));
    let hash = Hasher::new(config).hash(&password, &*admin.rng).await?;
    for _ in 0..MAX_ATTEMPTS {
        let (account, addresses) = read(admin, user).await?;
        let (now, rng) = (admin.clock.now(), &*admin.rng);
        let mut messages =
            security_notifications::mails_at(now, rng, &addresses, Notice::PasswordChanged);
        messages.push(NewMessage::purge(user, now, rng));
        let change = PasswordChange {
            user: user.clone(),
            account,
            password: hash.clone(),
            device_logout: DeviceLogout::All,
            known: None,
            validated: None,
            is_by_recent_threepid: false,
            messages,
            now,
        };
        match admin.store.change_password(&change, None).await {
            Ok(()) => {
                let (name, password) = (user.as_str(), password.reveal());
                let report = Report::success(
                    json!({ "user": name, "password": password }),
                    format!(
                        "{password}\n(the new password of {name}; it is not shown again, and every device is logged out)"
                    ),
                );
                return Ok(Report {
                    shown_once: Some(ShownOnce::Password),
                    ..report
                });
            }
            Err(ChangeAccountError::AccountChanged) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the account is being changed by other requests; try again")
}

/// Starts the validation session of a password reset without sending an e-mail. Returns the link, and the
/// request that sets the new password.
pub(super) async fn link(
    admin: &Admin,
    user: &Localpart,
    public_url: Option<&str>,
) -> anyhow::Result<Report> {
    let base = base_url(admin, public_url)?;
    let (_, addresses) = read(admin, user).await?;
    let to = addresses
        .into_iter()
        .find(|address| address.medium == Medium::Email)
        .context(
            "a link requires an account with an e-mail address; use `users reset-password` instead",
        )?;
    let client_secret = Secret::new(admin.rng.base64::<24>());
    let (keys, now) = (&admin.keys, admin.clock.now());
    let row = threepid_validation::admin_session(keys, &to, &client_secret, now, &*admin.rng);
    admin.store.save_validation(&row, None).await?;
    let submit = submit_url_at(&base, Medium::Email);
    let link = threepid_validation::email_link(keys, &submit, &row.sid, &row.session_nonce);
    let (sid, client_secret) = (&row.sid, client_secret.reveal());
    let creds = json!({ "sid": sid, "client_secret": client_secret });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "new_password": "…", "auth": auth });
    let endpoint = format!("{base}/_matrix/client/v3/account/password");
    let text = format!(
        "1. The user opens this link within a day and presses the button:\n   {link}\n\
         2. This request then sets the new password:\n   curl {endpoint} -d '{body}'",
        link = link.reveal()
    );
    let json = json!({
        "user": user, "address": to.address, "link": link.reveal(), "sid": sid,
        "client_secret": client_secret, "then": { "method": "POST", "url": endpoint, "body": body },
        "expires": row.expires,
    });
    Ok(Report::success(times::with_rfc3339(json), text))
}

/// The URL at which clients reach the functions.
fn base_url(admin: &Admin, given: Option<&str>) -> anyhow::Result<String> {
    let get = |name: &str| admin.environment.get(name);
    let base = given
        .map(str::to_owned)
        .or_else(|| get("GATEHOUSE_PUBLIC_URL"))
        .or_else(|| get("GATEHOUSE_SERVER_NAME").map(|name| format!("https://{name}")));
    let base = base.context("the URL of the link is unknown; give --public-url")?;
    Ok(base.trim_end_matches('/').to_owned())
}

/// Reads the account, checks that its password may be reset, and reads its addresses.
async fn read(admin: &Admin, user: &Localpart) -> anyhow::Result<(AccountRow, Vec<ThreePid>)> {
    let Some(account) = admin.store.find_account(user).await? else {
        bail!(account_not_found(user))
    };
    ensure!(
        account.kind == AccountKind::User,
        "an account of the kind `{}` has no password",
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
    let rows = admin.store.addresses_of(user).await?;
    Ok((account, rows.into_iter().map(|row| row.threepid).collect()))
}
