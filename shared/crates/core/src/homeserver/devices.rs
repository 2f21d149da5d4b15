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
    /// Creates the device of a login, and its user if the homeserver does not have the user yet. The device is stored
    /// already. After an error the device may exist at the homeserver. The caller closes the update.
    pub async fn add_device(
        &self,
        user: &Localpart,
        account: &AccountRow,
        device: AddedDevice<'_>,
    ) -> Result<(), UpdateError> {
        let homeserver = self.homeserver;
        self.require(async {
            match account.homeserver {
                HomeserverState::Provisioned => Ok(homeserver.add_device(user, device).await?),
                // The account may have changed since it was read: another login may have created the user. A new user
                // also needs the e-mail addresses and the other devices.
                _ => homeserver.synchronise(user).await,
            }
        })
        .await
    }

    /// Ends the update of a login. An earlier change that is pending is made, too. If that fails, only this change is
    /// left for later.
    pub async fn close_login(
        self,
        user: &Localpart,
        added: Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        if added.is_err() || self.lease.is_new {
            return self.close(added).await;
        }
        let homeserver = self.homeserver;
        self.make_or_leave(homeserver.synchronise(user)).await;
        Ok(())
    }
}

impl Homeserver<'_> {
    async fn add_device(
        self,
        user: &Localpart,
        device: AddedDevice<'_>,
    ) -> Result<(), HomeserverError> {
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
