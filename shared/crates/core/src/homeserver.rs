//! The users and devices at a homeserver that uses this server for all accounts (HS-10 to HS-18).
//!
//! While a process calls the homeserver about a user, it has the lease on the user's update, which is a row of the
//! outbox. The lease is taken before the account is changed and ends after the homeserver has the change. If the
//! process ends or the homeserver does not respond in between, the row is left, and `deliver` brings the user in line
//! later. It reads the current rows for this, so the order of the changes does not matter.
//!
//! A login and a registration need the homeserver: the client gets no token before the device exists there. All other
//! changes succeed without it.

mod names;
mod registration;
mod synchronise;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    app::App,
    clock::Clock,
    homeserver_client::{Client, Existence, HomeserverError},
    ids::{DeviceId, Localpart},
    store::{AccountKind, AccountRow, HomeserverState, NewDevice, Store, StoreError, UpdateLease},
};
pub use names::{NameAtHomeserver, check_name};
pub use registration::{complete_registration, register};

/// The lease on an update. It must be longer than all calls of an update together.
const LEASE: Duration = Duration::from_secs(30);
/// How long a request waits for the lease of another request about the same user.
const WAIT_FOR_LEASE: Duration = Duration::from_secs(2);
/// The time between two attempts to get the lease.
const LEASE_POLL: Duration = Duration::from_millis(50);
/// How long a login or a registration waits for the homeserver.
const REQUIRED_WITHIN: Duration = Duration::from_secs(4);
/// How long any other request waits for the homeserver. The token at the homeserver must be invalid within a second if
/// the homeserver responds.
const CARRIED_OVER_WITHIN: Duration = Duration::from_secs(2);
/// The time after which a rejected update is tried again.
const RETRY_REJECTED: Duration = Duration::from_mins(15);
/// The time after which an update is repeated that was requested while another process had the lease. It must be
/// longer than a request.
const REPEAT_REQUESTED: Duration = Duration::from_secs(30);
/// The largest number of devices that are deleted one by one.
const SINGLE_DELETIONS: usize = 8;

/// The homeserver, with everything that an update needs.
#[derive(Debug, Clone, Copy)]
pub struct Homeserver<'a> {
    store: &'a Store,
    clock: &'a dyn Clock,
    client: &'a Client,
}

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

/// The reason why an update of the homeserver failed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// Another account at the homeserver has the name.
    #[error("another account at the homeserver has the name")]
    Foreign,
    /// The homeserver did not make the change, or another process has the lease.
    #[error("the homeserver is unavailable: {0}")]
    Unavailable(String),
    /// The homeserver rejected the change.
    #[error("the homeserver rejected the change: {0}")]
    Rejected(String),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HomeserverError> for UpdateError {
    fn from(error: HomeserverError) -> Self {
        match error {
            HomeserverError::Unavailable(reason) => Self::Unavailable(reason),
            HomeserverError::Rejected(reason) => Self::Rejected(reason),
        }
    }
}

/// The result of a pending update that was tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOutcome {
    /// The homeserver is in line with the account.
    Done,
    /// Another process has the lease, or there is nothing to do.
    Skipped,
    /// The homeserver rejected the update.
    Rejected,
    /// The homeserver does not respond.
    Unavailable,
}

/// An update of a user under its lease.
#[derive(Debug)]
pub struct Update<'a> {
    homeserver: Homeserver<'a>,
    lease: UpdateLease,
}

/// A device that was created by a login.
#[derive(Debug, Clone, Copy)]
pub struct AddedDevice<'a> {
    /// The device ID.
    pub id: &'a DeviceId,
    /// The display name to set. `None` leaves the display name of an existing device as it is.
    pub display_name: Option<&'a str>,
}

impl<'a> AddedDevice<'a> {
    /// A new device with its display name.
    pub fn of(device: &'a NewDevice) -> Self {
        Self {
            id: &device.id,
            display_name: device.display_name.as_deref(),
        }
    }
}

/// The homeserver, if one is configured.
pub fn of(app: &App) -> Option<Homeserver<'_>> {
    let client = app.homeserver_client()?;
    Some(Homeserver::new(&app.store, &*app.clock, client))
}

/// Makes a change of an account, and carries it over to the homeserver (HS-14). If the homeserver does not make the
/// change in time, it gets the change later (HS-15). The result is that of `operation`.
pub async fn carry_over<T, E: From<StoreError>>(
    app: &App,
    user: &Localpart,
    account: Option<&AccountRow>,
    change: Change<'_>,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let account = account.filter(|account| is_at_homeserver(account));
    let (Some(homeserver), Some(account)) = (of(app), account) else {
        return operation.await;
    };
    let lease = homeserver.lease_or_request(user).await?;
    let result = operation.await;
    if let Some(lease) = lease {
        let update = Update { homeserver, lease };
        match &result {
            Ok(_) => update.make(account, change).await,
            // The change may have been made.
            Err(_) => update.leave(None).await,
        }
    }
    result
}

/// Whether the homeserver has the account, or may have it. Users of application services are created there by the
/// application services themselves (HS-23).
fn is_at_homeserver(account: &AccountRow) -> bool {
    let known = [HomeserverState::Provisioning, HomeserverState::Provisioned];
    account.kind == AccountKind::User && known.contains(&account.homeserver)
}

impl<'a> Homeserver<'a> {
    /// A homeserver.
    pub const fn new(store: &'a Store, clock: &'a dyn Clock, client: &'a Client) -> Self {
        Self {
            store,
            clock,
            client,
        }
    }

    /// Begins an update of a user that needs the homeserver. Fails if another process has the lease for too long.
    pub async fn begin(self, user: &Localpart) -> Result<Update<'a>, UpdateError> {
        match self.wait_for_lease(user).await? {
            Some(lease) => Ok(Update {
                homeserver: self,
                lease,
            }),
            None => Err(UpdateError::Unavailable(
                "another update of the user has not ended".to_owned(),
            )),
        }
    }

    /// Tries a pending update again.
    pub async fn retry(self, user: &Localpart) -> Result<RetryOutcome, StoreError> {
        let Some(lease) = self.lease(user).await? else {
            return Ok(RetryOutcome::Skipped);
        };
        let update = Update {
            homeserver: self,
            lease,
        };
        match self.synchronise(user).await {
            Ok(()) => {
                update.end().await?;
                Ok(RetryOutcome::Done)
            }
            Err(UpdateError::Store(error)) => {
                update.leave(None).await;
                Err(error)
            }
            Err(error @ UpdateError::Unavailable(_)) => {
                tracing::warn!(%error, "an update of the homeserver failed; it will be tried again");
                update.leave(None).await;
                Ok(RetryOutcome::Unavailable)
            }
            Err(error @ (UpdateError::Rejected(_) | UpdateError::Foreign)) => {
                tracing::error!(%error, "the homeserver rejected an update; it will be tried again");
                update.leave(Some(&error.to_string())).await;
                Ok(RetryOutcome::Rejected)
            }
        }
    }

    /// Takes the lease. If another process has it for too long, requests that the user is updated again after that
    /// process.
    async fn lease_or_request(self, user: &Localpart) -> Result<Option<UpdateLease>, StoreError> {
        let lease = self.wait_for_lease(user).await?;
        if lease.is_none() {
            self.store.request_update(user, self.clock.now()).await?;
        }
        Ok(lease)
    }

    async fn wait_for_lease(self, user: &Localpart) -> Result<Option<UpdateLease>, StoreError> {
        let until = Instant::now() + WAIT_FOR_LEASE;
        loop {
            if let Some(lease) = self.lease(user).await? {
                return Ok(Some(lease));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
    }

    async fn lease(self, user: &Localpart) -> Result<Option<UpdateLease>, StoreError> {
        let now = self.clock.now();
        self.store.lease_update(user, now, now.plus(LEASE)).await
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

    /// Ends an update whose change was not made. An earlier update that is pending is left.
    pub async fn cancel(self) {
        if !self.lease.is_new {
            return self.leave(None).await;
        }
        if let Err(error) = self.end().await {
            // The row is due when the lease ends, and the update then finds nothing to change.
            tracing::warn!(%error, "the lease on an update of the homeserver was not ended");
        }
    }

    /// Leaves the update for later.
    pub async fn leave(self, rejection: Option<&str>) {
        let now = self.homeserver.clock.now();
        let due = match rejection {
            Some(_) => now.plus(RETRY_REJECTED),
            None => now,
        };
        let store = self.homeserver.store;
        if let Err(error) = store.requeue_update(&self.lease, due, rejection).await {
            // The row is due again when the lease ends.
            let error = error.to_string();
            tracing::warn!(
                error,
                "the lease on an update of the homeserver was not ended"
            );
        }
    }

    /// Ends the update: the homeserver is in line with the account.
    async fn end(self) -> Result<(), StoreError> {
        let again = self.homeserver.clock.now().plus(REPEAT_REQUESTED);
        self.homeserver.store.end_update(&self.lease, again).await
    }

    /// Ends the update after a success, or leaves it for later. Returns `result`.
    pub async fn close(self, result: Result<(), UpdateError>) -> Result<(), UpdateError> {
        match &result {
            // The client may get its token even if the row could not be deleted: it is only a repetition.
            Ok(()) | Err(UpdateError::Foreign) => {
                let _ = self.end().await;
            }
            Err(UpdateError::Rejected(reason)) => self.leave(Some(reason)).await,
            Err(_) => self.leave(None).await,
        }
        result
    }

    /// Carries over a change. Leaves it for later if the homeserver does not make it in time.
    async fn make(self, account: &AccountRow, change: Change<'_>) {
        let user = &self.lease.user;
        let is_only_change =
            self.lease.is_new && account.homeserver == HomeserverState::Provisioned;
        let made = async {
            if is_only_change {
                self.homeserver.make(user, change).await
            } else {
                self.homeserver.synchronise(user).await
            }
        };
        let made = tokio::time::timeout(CARRIED_OVER_WITHIN, made).await;
        let made = made.unwrap_or_else(|_| Err(no_response()));
        if let Err(error) = &made {
            tracing::warn!(%error, "a change was not carried over to the homeserver; it will be tried again");
        }
        let _ = self.close(made).await;
    }

    async fn require(
        &self,
        calls: impl Future<Output = Result<(), UpdateError>>,
    ) -> Result<(), UpdateError> {
        let done = tokio::time::timeout(REQUIRED_WITHIN, calls).await;
        let done = done.unwrap_or_else(|_| Err(no_response()));
        if let Err(error) = &done {
            tracing::warn!(%error, "the homeserver did not create a user or a device");
        }
        done
    }
}

fn no_response() -> UpdateError {
    UpdateError::Unavailable("there was no response in time".to_owned())
}

impl Homeserver<'_> {
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
        if self.upsert(user, device).await? == Existence::Missing {
            self.client.create_user(user).await?;
            self.upsert(user, device).await?;
        }
        Ok(())
    }

    async fn upsert(
        self,
        user: &Localpart,
        device: AddedDevice<'_>,
    ) -> Result<Existence, HomeserverError> {
        self.client
            .upsert_device(user, device.id, device.display_name)
            .await
    }
}
