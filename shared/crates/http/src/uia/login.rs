//! The login that a session of a user depends on: the account, its token epoch and the device. A session whose login
//! has ended is treated like a session that does not exist.

use serde::{Deserialize, Serialize};

use super::{Operation, SessionState};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    store::{AccountStatus, CallerFacts, DeviceRow},
};

/// The device whose access token started a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDevice {
    /// The device ID.
    pub id: DeviceId,
    /// The time of its login. A later login with the same ID has invalidated the token.
    pub issued_at: Timestamp,
}

/// The user and the device of an access token, or of the session that a fallback page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: Localpart,
    /// The device. `None` for the fallback page of a session that an earlier version started.
    pub device: Option<DeviceId>,
}

impl SessionState {
    /// Whether the session may be used with this login. `facts` contains the rows of the login. A session without a
    /// user is independent of any login.
    ///
    /// The epoch of an open session must be that of the account, and its device must still be logged in. An operation
    /// may have ended the login itself. Its finished session stays usable, so that the response can be repeated.
    pub(super) fn is_valid_for(
        &self,
        login: Option<&Login>,
        facts: &CallerFacts,
        now: Timestamp,
    ) -> bool {
        let Some((user, epoch)) = &self.scope.user else {
            return true;
        };
        let Some(login) = login.filter(|login| login.user == *user) else {
            return false;
        };
        let Some(account) = &facts.account else {
            return false;
        };
        let own = self.scope.device.as_ref();
        if own.is_some_and(|own| login.device.as_ref() != Some(&own.id)) {
            return false;
        }
        let is_same_login = |device: &DeviceRow| {
            own.is_none_or(|own| own.issued_at == device.issued_at) && !has_ended(device, now)
        };
        let is_same_epoch = account.epoch == *epoch;
        let is_logged_in = match (&login.device, &facts.device) {
            (Some(id), Some(device)) => {
                account.is_device_valid(id, device.epoch) && is_same_login(device)
            }
            (Some(_), None) => false,
            (None, _) => is_same_epoch,
        };
        let is_usable = match account.status {
            AccountStatus::Active | AccountStatus::Suspended => true,
            AccountStatus::Locked | AccountStatus::Deactivated => false,
        };
        if is_logged_in && is_usable {
            return is_same_epoch || self.is_finished();
        }
        self.is_finished()
            && match self.scope.operation {
                Operation::Deactivate => {
                    account.status == AccountStatus::Deactivated && account.epoch == *epoch + 1
                }
                Operation::DeleteDevice(_) | Operation::DeleteDevices => {
                    is_usable && is_same_epoch && facts.device.is_none()
                }
                Operation::Register | Operation::ChangePassword | Operation::AddThreePid => false,
            }
    }
}

/// Whether the access token of the device has expired and the client cannot refresh it.
fn has_ended(device: &DeviceRow, now: Timestamp) -> bool {
    device.refresh_hash.is_none() && device.access_expires.is_some_and(|expires| expires <= now)
}
