//! Changes of an account that clients and the account pages make: the parts of a password change and of a deactivation
//! that do not depend on the authentication of the request (OA-129).

use crate::{
    accounts::{Deactivation, DeviceLogout},
    app::App,
    clock::Timestamp,
    identity_servers::{self, IdServerName, UnbindResult, UnbindScope},
    ids::Localpart,
    outbox::{NewMessage, Notice},
    passwords::{self, PasswordError},
    secrets::Secret,
    security_notifications,
    store::{AccountRow, StoreError},
    threepids::ThreePid,
};

/// Checks a new password (PWD-14). A password that consists of the user's own words is weak.
pub fn check_new_password(
    app: &App,
    user: Option<&Localpart>,
    password: &Secret,
) -> Result<(), PasswordError> {
    let user = user.map(Localpart::as_str);
    let own_words: Vec<&str> = user
        .into_iter()
        .chain([app.config.server_name.as_str()])
        .collect();
    passwords::validate(&app.config.passwords, password, &own_words)
}

/// The outbox rows of a password change: the security notifications `notices`, and the purge of logged-out devices.
pub fn password_messages(
    app: &App,
    user: &Localpart,
    mut notices: Vec<NewMessage>,
    logout: &DeviceLogout,
) -> Vec<NewMessage> {
    if *logout != DeviceLogout::None {
        notices.push(NewMessage::purge(user, app.clock.now(), &*app.rng));
    }
    notices
}

/// The account to deactivate, as it was read.
#[derive(Debug)]
pub struct DeactivationSubject {
    /// The user.
    pub user: Localpart,
    /// The account.
    pub account: AccountRow,
    /// The time at which the verified password was set.
    pub verified_password: Option<Timestamp>,
}

/// Prepares a deactivation. Asks the identity servers to unbind the 3PIDs (DEACT-06 to DEACT-11), whose responses have no
/// effect on the deactivation. 3PIDs that were not bound through this server are unbound only at the identity server that
/// the client names.
///
/// The 3PIDs are read after the account. If one has been added since, the transaction fails, so that no 3PID is left
/// behind.
pub async fn prepare_deactivation(
    app: &App,
    subject: DeactivationSubject,
    erase: bool,
    id_server: Option<&IdServerName>,
) -> Result<(Deactivation, UnbindResult), StoreError> {
    let user = &subject.user;
    let (threepids, unbound) = tokio::join!(threepids(app, user), async {
        match id_server {
            None => Some(unbind(app, user, &[], None).await),
            Some(_) => None,
        }
    });
    let threepids = threepids?;
    let unbound = match unbound {
        Some(result) => result,
        None => unbind(app, user, &threepids, id_server).await,
    };
    let mut messages = security_notifications::mails(app, &threepids, Notice::Deactivated);
    messages.push(NewMessage::purge(user, app.clock.now(), &*app.rng));
    let deactivation = Deactivation {
        messages,
        user: subject.user,
        account: subject.account,
        known: subject.verified_password,
        addresses: threepids,
        erase,
        now: app.clock.now(),
    };
    Ok((deactivation, unbound))
}

/// The 3PIDs of an account. One read.
pub async fn threepids(app: &App, user: &Localpart) -> Result<Vec<ThreePid>, StoreError> {
    let own = app.store.addresses_of(user).await?;
    Ok(own.into_iter().map(|own| own.threepid).collect())
}

async fn unbind(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    id_server: Option<&IdServerName>,
) -> UnbindResult {
    identity_servers::unbind_all(app, user, UnbindScope::All { addresses }, id_server).await
}
