//! Synchronises a user at the homeserver with the rows of the account (HS-15, HS-17, HS-18).

use futures_util::{TryStreamExt, stream};

use super::{Homeserver, UpdateError};
use crate::{
    homeserver_client::{Existence, NameAvailability},
    ids::Localpart,
    store::{AccountKind, AccountRow, AccountStatus, HomeserverState, ListedDevice, StoreError},
    threepid::Medium,
};

/// The number of display names that are set concurrently.
const CONCURRENCY: usize = 4;

impl Homeserver<'_> {
    /// Synchronises a user: existence, e-mail addresses, lock, devices and their display names, or the deactivation.
    /// The caller must have the lease on the update of the user.
    pub(super) async fn synchronise(self, user: &Localpart) -> Result<(), UpdateError> {
        let Some(account) = self.store.find_account(user).await? else {
            return Ok(());
        };
        if account.kind != AccountKind::User {
            return Ok(());
        }
        if account.status == AccountStatus::Deactivated {
            return self.synchronise_deactivated(user, &account).await;
        }
        self.provision(user, account.homeserver).await?;
        let (emails, devices) = tokio::join!(self.emails(user), self.devices(user, &account));
        let (emails, devices) = (emails?, devices?);
        let is_locked = account.status == AccountStatus::Locked;
        self.client.update_user(user, &emails, is_locked).await?;
        let ids: Vec<_> = devices.iter().map(|device| device.id.as_str()).collect();
        self.client.sync_devices(user, &ids).await?;
        let named = devices
            .iter()
            .filter_map(|device| Some((&device.id, device.display_name.as_deref()?)));
        stream::iter(named.map(Ok))
            .try_for_each_concurrent(CONCURRENCY, |(device, name)| async move {
                self.client.rename_device(user, device, name).await?;
                Ok(())
            })
            .await
    }

    async fn synchronise_deactivated(
        self,
        user: &Localpart,
        account: &AccountRow,
    ) -> Result<(), UpdateError> {
        let exists = match account.homeserver {
            // If there is a user, it does not belong to this account.
            HomeserverState::NotProvisioned | HomeserverState::Foreign => false,
            HomeserverState::Provisioning => {
                self.client.availability(user).await? == NameAvailability::Taken
            }
            HomeserverState::Provisioned => true,
        };
        if exists {
            self.client.delete_user(user, account.is_erased).await?;
        }
        Ok(())
    }

    /// Creates the user of an account, unless the homeserver has it already (HS-12).
    ///
    /// Only a free name is claimed, and the claim is recorded before the user is created. If both the record and the
    /// user exist, an earlier attempt has created the user, and its response was lost.
    pub(super) async fn provision(
        self,
        user: &Localpart,
        state: HomeserverState,
    ) -> Result<(), UpdateError> {
        match state {
            HomeserverState::Provisioned => return Ok(()),
            HomeserverState::Provisioning => {
                self.client.create_user(user).await?;
            }
            HomeserverState::NotProvisioned | HomeserverState::Foreign => {
                if self.client.availability(user).await? != NameAvailability::Free {
                    return Err(UpdateError::Foreign);
                }
                self.set_state(user, state, HomeserverState::Provisioning)
                    .await?;
                self.create_claimed(user).await?;
            }
        }
        self.set_state(
            user,
            HomeserverState::Provisioning,
            HomeserverState::Provisioned,
        )
        .await
    }

    /// Creates a user whose name this process has just claimed. If the user exists already, it belongs to another
    /// person.
    pub(super) async fn create_claimed(self, user: &Localpart) -> Result<(), UpdateError> {
        if self.client.create_user(user).await? == Existence::Created {
            return Ok(());
        }
        let from = [HomeserverState::Provisioning];
        self.store
            .set_homeserver_state(user, &from, HomeserverState::Foreign)
            .await?;
        Err(UpdateError::Foreign)
    }

    async fn set_state(
        self,
        user: &Localpart,
        from: HomeserverState,
        to: HomeserverState,
    ) -> Result<(), UpdateError> {
        if self.store.set_homeserver_state(user, &[from], to).await? {
            Ok(())
        } else {
            Err(StoreError::Contended.into())
        }
    }

    async fn emails(self, user: &Localpart) -> Result<Vec<String>, StoreError> {
        let own = self.store.addresses_of(user).await?.into_iter();
        let emails = own.filter(|own| own.threepid.medium == Medium::Email);
        Ok(emails.map(|own| own.threepid.address).collect())
    }

    /// The devices that are logged in. The homeserver must have exactly these devices.
    pub async fn devices(
        self,
        user: &Localpart,
        account: &AccountRow,
    ) -> Result<Vec<ListedDevice>, StoreError> {
        let (mut devices, mut page) = (Vec::new(), None);
        loop {
            let (found, next) = self.store.devices_page(user, page).await?;
            let valid = found
                .into_iter()
                .filter(|device| account.is_device_valid(&device.id, device.epoch));
            devices.extend(valid);
            page = next;
            if page.is_none() {
                return Ok(devices);
            }
        }
    }
}
