//! The device of a login at the homeserver (HS-11).

use super::{Homeserver, Update, UpdateError};
use crate::{
    homeserver_client::{Existence, HomeserverError},
    ids::{DeviceId, Localpart},
    store::{AccountRow, HomeserverState, NewDevice},
};

/// A device that was created by a login.
#[derive(Debug, Clone, Copy)]
pub struct AddedDevice<'a> {
    /// The device ID.
    pub id: &'a DeviceId,
    /// The display name to set. `None` leaves the display name of an existing device as it is.
    pub display_name: Option<&'a str>,
    /// Whether the homeserver may still have a device with this ID that was logged out here. Such a device has the keys
    /// of its last login.
    pub may_be_outdated: bool,
}

impl<'a> AddedDevice<'a> {
    /// A new device with its display name.
    pub fn of(device: &'a NewDevice) -> Self {
        Self {
            id: &device.id,
            display_name: device.display_name.as_deref(),
            may_be_outdated: false,
        }
    }
}

impl Update<'_> {
    /// Creates the device of a login, and its user if the homeserver does not have the user yet. After an error the
    /// device may exist at the homeserver. The caller closes the update.
    pub async fn add_device(
        &self,
        user: &Localpart,
        account: &AccountRow,
        device: AddedDevice<'_>,
    ) -> Result<(), UpdateError> {
        let homeserver = self.homeserver;
        self.require(async {
            homeserver.add_device(user, account, device).await?;
            // An earlier change may be pending.
            match self.lease.is_new {
                true => Ok(()),
                false => homeserver.synchronise(user).await,
            }
        })
        .await
    }
}

impl Homeserver<'_> {
    async fn add_device(
        self,
        user: &Localpart,
        account: &AccountRow,
        device: AddedDevice<'_>,
    ) -> Result<(), UpdateError> {
        if account.homeserver != HomeserverState::Provisioned {
            self.provision(user, account.homeserver).await?;
        }
        // The homeserver may have been restored from a backup that is older than the account.
        match self.upsert(user, device).await? {
            Existence::Missing => {
                self.client.create_user(user).await?;
                self.upsert(user, device).await?;
            }
            Existence::Existed if device.may_be_outdated => {
                self.client.delete_device(user, device.id).await?;
                self.upsert(user, device).await?;
            }
            Existence::Created | Existence::Existed => {}
        }
        Ok(())
    }

    pub(super) async fn upsert(
        self,
        user: &Localpart,
        device: AddedDevice<'_>,
    ) -> Result<Existence, HomeserverError> {
        self.client
            .upsert_device(user, device.id, device.display_name)
            .await
    }
}
