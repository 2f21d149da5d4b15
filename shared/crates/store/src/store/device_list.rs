//! A user's devices as a list, and what is done with single ones of it.

use super::{
    AccountRow, Store, StoreError,
    change::Change,
    item::{Item, Map, Row, number, text},
    keys::{self, SK},
    retry::{CallError, failed_condition},
};
use crate::ids::{DeviceId, Localpart};

/// A device as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Its id.
    pub id: DeviceId,
    /// Its epoch, which says whether it is alive.
    pub epoch: i64,
    /// What it is called.
    pub display_name: Option<String>,
}

/// Where the next read of a list goes on.
#[derive(Debug, Clone)]
pub struct DevicePage(Map);

impl ListedDevice {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let id = row.text(SK)?.strip_prefix(keys::DEVICES);
        Ok(Self {
            id: id
                .and_then(DeviceId::parse)
                .ok_or_else(|| row.corrupt("sk"))?,
            epoch: row.number("epoch")?,
            display_name: row.text_if("display_name")?.map(str::to_owned),
        })
    }
}

impl Store {
    /// Some of a user's devices, dead ones too, in the order of their ids, strongly consistent; and
    /// where to go on if there are more.
    pub async fn devices_page(
        &self,
        user: &Localpart,
        after: Option<DevicePage>,
    ) -> Result<(Vec<ListedDevice>, Option<DevicePage>), StoreError> {
        let start = after.map(|DevicePage(key)| key);
        let shown = Some("pk, sk, epoch, display_name");
        let (rows, next) = self
            .page_under(&keys::user(user), keys::DEVICES, shown, start)
            .await?;
        let devices: Result<Vec<_>, _> = rows.iter().map(ListedDevice::read).collect();
        Ok((devices?, next.map(DevicePage)))
    }

    /// The device with this id, alive or dead.
    pub async fn find_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
    ) -> Result<Option<ListedDevice>, StoreError> {
        let key = Item::under(keys::user(user), keys::device(device));
        let row = self.get(&self.accounts, key).await?;
        row.map(|row| ListedDevice::read(&row)).transpose()
    }

    /// Gives a device another name, if it is there and alive by what the account was when it was
    /// read. `false` if it is not: a device that has just been deleted is not made anew.
    pub async fn rename_device(
        &self,
        user: &Localpart,
        account: &AccountRow,
        device: &DeviceId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let change = &Change::default().set("display_name", text(name));
        let spared = account.spared.as_ref();
        let spared = spared.filter(|spared| spared.device == *device);
        let spared = spared.map_or(account.epoch, |spared| spared.epoch);
        self.retry(|| async move {
            let call = self
                .change_device(user, device, change)
                .condition_expression("epoch IN (:epoch, :spared)")
                .expression_attribute_values(":epoch", number(account.epoch))
                .expression_attribute_values(":spared", number(spared));
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error) if failed_condition(&error).is_some() => Ok(false),
                Err(error) => Err(CallError::<StoreError>::from(error)),
            }
        })
        .await
    }

    /// Removes a device that was dead when it was read, unless somebody has logged in to it since.
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
