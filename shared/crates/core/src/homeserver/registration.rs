//! The registration of a user at the homeserver (HS-11 to HS-13).

use super::{AddedDevice, Homeserver, Update, UpdateError};
use crate::{
    accounts::{ChangeAccountError, Deactivation, NewAccount},
    app::App,
    homeserver_client::HomeserverError,
    ids::Localpart,
    outbox::NewMessage,
    store::{AccountStatus, HomeserverState},
    threepid::Medium,
};

/// Creates the user of an account that has just been created, and its device. If the homeserver has a user with this
/// name already, that user belongs to another person: the new account is deactivated, and the error is
/// [`UpdateError::Foreign`] (HS-12). After any other error, the update remains pending.
pub async fn register(
    app: &App,
    update: Update<'_>,
    account: &NewAccount,
) -> Result<(), UpdateError> {
    let created = update
        .require(update.homeserver.create_new_user(account))
        .await;
    if let Err(UpdateError::Foreign) = created
        && let Err(error) = undo(app, account).await
    {
        let user = account.localpart.as_str();
        tracing::error!(user, %error, "the name belongs to another user at the homeserver; deactivate the account with the admin CLI");
    }
    update.close(created).await
}

async fn undo(app: &App, account: &NewAccount) -> Result<(), ChangeAccountError> {
    let user = &account.localpart;
    let Some(row) = app.store.find_account(user).await? else {
        return Ok(());
    };
    let threepids = account.threepids.iter();
    let deactivation = Deactivation {
        user: user.clone(),
        account: row,
        known: None,
        addresses: threepids.map(|own| own.threepid.clone()).collect(),
        erase: false,
        messages: vec![NewMessage::purge(user, app.clock.now(), &*app.rng)],
        now: app.clock.now(),
    };
    app.store.deactivate(&deactivation, None).await
}

/// Completes an earlier registration at the homeserver, before its stored response is repeated (HS-13). Returns `false`
/// if the account is no longer usable.
pub async fn complete_registration(app: &App, user: &Localpart) -> Result<bool, UpdateError> {
    let Some(homeserver) = super::of(app) else {
        return Ok(true);
    };
    let account = app.store.find_account(user).await?;
    let Some(account) = account.filter(|account| account.status != AccountStatus::Deactivated)
    else {
        return Ok(false);
    };
    if account.homeserver == HomeserverState::Provisioned
        && app.store.find_update(user).await?.is_none()
    {
        return Ok(true);
    }
    let update = homeserver.begin(user).await?;
    let synchronised = update.require(homeserver.synchronise(user)).await;
    match update.close(synchronised).await {
        Ok(()) => Ok(true),
        Err(UpdateError::Foreign) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Homeserver<'_> {
    async fn create_new_user(self, account: &NewAccount) -> Result<(), UpdateError> {
        let user = &account.localpart;
        self.create_claimed(user).await?;
        let provisioned = self.store.set_homeserver_state(
            user,
            &[HomeserverState::Provisioning],
            HomeserverState::Provisioned,
        );
        let (recorded, completed) = tokio::join!(provisioned, self.complete_user(account));
        recorded?;
        Ok(completed?)
    }

    /// Creates the device, and sets the e-mail addresses. The call that creates the user does not set them, because it
    /// would replace the addresses of a user that belongs to another person.
    async fn complete_user(self, account: &NewAccount) -> Result<(), HomeserverError> {
        let user = &account.localpart;
        let threepids = account.threepids.iter().map(|own| &own.threepid);
        let emails = threepids.filter(|threepid| threepid.medium == Medium::Email);
        let emails: Vec<_> = emails.map(|threepid| threepid.address.clone()).collect();
        if !emails.is_empty() {
            self.client.update_user(user, &emails, false).await?;
        }
        if let Some(device) = &account.device {
            self.upsert(user, AddedDevice::of(device)).await?;
        }
        Ok(())
    }
}
