//! The device list of a user, and changes of single devices in it.

use super::{
    AccountRow, Store, StoreError,
    devices::device_id,
    dynamodb::{
        expression::UpdateExpression,
        item::{Item, Map, Row, number, text},
        keys,
    },
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
};

/// A device in the device list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// The device ID.
    pub id: DeviceId,
    /// The epoch of the row: see [`AccountRow::is_device_valid`].
    pub epoch: i64,
    /// The display name.
    pub display_name: Option<String>,
    /// The time of the login. Rows of an early version have none.
    pub issued_at: Option<Timestamp>,
    /// The client ID, if the device is a session of the OAuth 2.0 API.
    pub oauth_client: Option<String>,
}

/// The start of the next page of the list.
#[derive(Debug, Clone)]
pub struct DevicePage(Map);

impl ListedDevice {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: device_id(row)?,
            epoch: row.number("epoch")?,
            display_name: row.text_if("display_name")?.map(str::to_owned),
            issued_at: row.time_if("issued_at")?,
            oauth_client: row.text_if("oauth_client")?.map(str::to_owned),
        })
    }
}

impl Store {
    /// One page of a user's devices in the order of their IDs, including devices with invalid
    /// tokens, and the start of the next page if there is one. One `Query` call, strongly
    /// consistent.
    pub async fn devices_page(
        &self,
        user: &Localpart,
        after: Option<DevicePage>,
    ) -> Result<(Vec<ListedDevice>, Option<DevicePage>), StoreError> {
        let start = after.map(|DevicePage(key)| key);
        let attributes = Some("pk, sk, epoch, display_name, issued_at, oauth_client");
        let (rows, next) = self
            .page_under(&keys::user(user), keys::DEVICES, attributes, start)
            .await?;
        let devices: Result<Vec<_>, _> = rows.iter().map(ListedDevice::read).collect();
        Ok((devices?, next.map(DevicePage)))
    }

    /// The device with this ID, even if its tokens are invalid. One `GetItem` call, strongly
    /// consistent.
    pub async fn find_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
    ) -> Result<Option<ListedDevice>, StoreError> {
        let key = Item::under(keys::user(user), keys::device(device));
        let row = self.get(&self.accounts, key).await?;
        row.map(|row| ListedDevice::read(&row)).transpose()
    }

    /// Changes the display name of a device. One `UpdateItem` call on the condition that the device
    /// exists and that its tokens are valid for `account` as it was read. Returns `false` if the
    /// condition fails: the call must not create a device that has just been deleted.
    pub async fn rename_device(
        &self,
        user: &Localpart,
        account: &AccountRow,
        device: &DeviceId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let kept = account.kept_device.as_ref();
        let kept = kept.filter(|kept| kept.device == *device);
        let kept_epoch = kept.map_or(account.epoch, |kept| kept.epoch);
        let update = UpdateExpression::default().set("display_name", text(name));
        let request = self
            .update_device(user, device, update)
            .condition_expression("epoch IN (:epoch, :kept)")
            .expression_attribute_values(":epoch", number(account.epoch))
            .expression_attribute_values(":kept", number(kept_epoch));
        Ok(self.update_item(request).await?.is_written())
    }

    /// Deletes a device whose tokens were invalid when it was read. One `DeleteItem` call on the
    /// condition that its epoch is unchanged, so that a device with a new login is kept.
    pub async fn remove_dead_device(
        &self,
        user: &Localpart,
        device: &ListedDevice,
    ) -> Result<(), StoreError> {
        let key = Item::under(keys::user(user), keys::device(&device.id));
        self.delete_if(key, Some(("epoch", number(device.epoch))))
            .await
    }
}
