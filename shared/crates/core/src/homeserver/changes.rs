//! Changes of an account that succeed without the homeserver (HS-14, HS-15).

use super::{Homeserver, Update, UpdateError, of};
use crate::{
    app::App,
    ids::{DeviceId, Localpart},
    store::{AccountKind, AccountRow, HomeserverState, StoreError},
};

/// The largest number of devices that are deleted one by one.
const SINGLE_DELETIONS: usize = 8;

/// A change of an account that the homeserver must get.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// These devices were deleted.
    DevicesDeleted(&'a [DeviceId]),
    /// All devices except this one were logged out.
    DevicesLoggedOut {
        /// The device that stays logged in.
        kept: Option<&'a DeviceId>,
    },
    /// A device has a new display name.
    DeviceRenamed(&'a DeviceId, &'a str),
    /// The account was deactivated.
    Deactivated {
        /// Whether erasure was requested.
        erase: bool,
    },
    /// The 3PIDs or the status of the account were changed.
    AccountChanged,
}

/// Runs `operation`, which changes an account, and carries the change over to the homeserver (HS-14). If the homeserver
/// does not make the change in time, `deliver` carries it over later (HS-15). The result is that of `operation`.
pub async fn carry_over<T, E: From<StoreError>>(
    app: &App,
    user: &Localpart,
    account: Option<&AccountRow>,
    change: Change<'_>,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    // Both futures are large.
    let operation = Box::pin(operation);
    match (of(app), account) {
        (Some(homeserver), Some(account)) => {
            let carried_over = homeserver.carry_over(user, account, change, operation);
            Box::pin(carried_over).await
        }
        _ => operation.await,
    }
}

/// Whether the homeserver has the account, or may have it. Users of application services are created there by the
/// application services themselves (HS-23).
pub fn is_at_homeserver(account: &AccountRow) -> bool {
    let known = [HomeserverState::Provisioning, HomeserverState::Provisioned];
    account.kind == AccountKind::User && known.contains(&account.homeserver)
}

impl Update<'_> {
    /// Carries over a change. If the homeserver does not make the change in time, the update remains pending.
    async fn make(self, user: &Localpart, account: &AccountRow, change: Change<'_>) {
        let homeserver = self.homeserver;
        let is_only_change =
            self.lease.is_new && account.homeserver == HomeserverState::Provisioned;
        let made = async {
            if is_only_change {
                homeserver.make(user, change).await
            } else {
                homeserver.synchronise(user).await
            }
        };
        self.make_or_leave(made).await;
    }
}

impl Homeserver<'_> {
    /// Like [`carry_over`], for a caller without an [`App`].
    pub async fn carry_over<T, E: From<StoreError>>(
        self,
        user: &Localpart,
        account: &AccountRow,
        change: Change<'_>,
        operation: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if !is_at_homeserver(account) {
            let result = operation.await;
            self.request_if_created(user, account).await?;
            return result;
        }
        let lease = self.lease_or_request(user).await?;
        let result = operation.await;
        if let Some(lease) = lease {
            let homeserver = self;
            let update = Update { homeserver, lease };
            match &result {
                Ok(_) => Box::pin(update.make(user, account, change)).await,
                // The operation may have changed the account.
                Err(_) => update.leave(None).await,
            }
        }
        result
    }

    /// Requests an update of an account that the homeserver did not have when it was read. A concurrent login may have
    /// created its user there before the change.
    async fn request_if_created(
        self,
        user: &Localpart,
        account: &AccountRow,
    ) -> Result<(), StoreError> {
        if account.kind == AccountKind::User
            && let Some(account) = self.store.find_account(user).await?
            && is_at_homeserver(&account)
        {
            self.store.request_update(user, self.clock.now()).await?;
        }
        Ok(())
    }

    /// Makes the calls for a change.
    async fn make(self, user: &Localpart, change: Change<'_>) -> Result<(), UpdateError> {
        match change {
            Change::DevicesDeleted(devices) if devices.len() > SINGLE_DELETIONS => {
                self.synchronise(user).await?;
            }
            Change::DevicesDeleted(devices) => {
                for device in devices {
                    self.client.delete_device(user, device).await?;
                }
            }
            Change::DevicesLoggedOut { kept } => {
                let kept: Vec<_> = kept.into_iter().map(DeviceId::as_str).collect();
                self.client.sync_devices(user, &kept).await?;
            }
            Change::DeviceRenamed(device, name) => {
                self.client.rename_device(user, device, name).await?;
            }
            Change::Deactivated { erase } => {
                self.client.delete_user(user, erase).await?;
            }
            Change::AccountChanged => self.synchronise(user).await?,
        }
        Ok(())
    }
}
