//! The users and devices at a homeserver that uses this server for all accounts (HS-10 to HS-18).
//!
//! While a process changes a user at the homeserver, it has the lease on the user's update, which is a row of the
//! outbox. The process takes the lease before it changes the account, and ends the lease when the homeserver has the
//! change. If the process crashes or the homeserver does not respond in between, the row remains, and `deliver`
//! synchronises the user later. `deliver` reads the current rows of the account, so the order of the changes does not
//! matter.
//!
//! A login and a registration need the homeserver: the client gets no token before the device exists there. All other
//! changes succeed without it.

mod changes;
mod devices;
mod names;
mod registration;
mod synchronise;
mod update;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    app::App,
    clock::Clock,
    homeserver_client::{Client, HomeserverError},
    ids::Localpart,
    store::{Store, StoreError, UpdateLease},
};
pub use changes::{Change, carry_over, is_at_homeserver};
pub use devices::AddedDevice;
pub use names::{HomeserverNameError, check_name};
pub use registration::{complete_registration, register};
pub use update::Update;

/// The duration of the lease on an update. It must be longer than all calls of an update together.
const LEASE: Duration = Duration::from_secs(30);
/// How long one attempt of `deliver` may take. The calls must end before the lease, so that none of them overtakes
/// those of the next holder.
const RETRY_WITHIN: Duration = Duration::from_secs(20);
/// How long a request waits for the lease of another request about the same user.
const WAIT_FOR_LEASE: Duration = Duration::from_secs(2);
/// The time between two attempts to get the lease.
const LEASE_POLL: Duration = Duration::from_millis(50);

/// The homeserver, with everything that an update needs.
#[derive(Debug, Clone, Copy)]
pub struct Homeserver<'a> {
    store: &'a Store,
    clock: &'a dyn Clock,
    client: &'a Client,
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
    /// The homeserver has the current state of the account.
    Done,
    /// Another process has the lease.
    Skipped,
    /// The homeserver rejected the update.
    Rejected,
    /// The homeserver does not respond.
    Unavailable,
}

/// The homeserver, if one is configured.
pub fn of(app: &App) -> Option<Homeserver<'_>> {
    let client = app.homeserver_client()?;
    Some(Homeserver::new(&app.store, &*app.clock, client))
}

impl<'a> Homeserver<'a> {
    /// Combines the client with the tables and the clock.
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
                "another update of the user is in progress".to_owned(),
            )),
        }
    }

    /// Permits the user to replace the cross-signing keys, for ten minutes (OA-140). It has no effect on a user without
    /// keys, and needs no lease, because it changes neither the user nor a device.
    pub async fn allow_cross_signing_reset(self, user: &Localpart) -> Result<(), UpdateError> {
        self.client.allow_cross_signing_reset(user).await?;
        Ok(())
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
        let synchronised =
            tokio::time::timeout(RETRY_WITHIN, Box::pin(self.synchronise(user))).await;
        let synchronised = synchronised.unwrap_or_else(|_| Err(update::no_response()));
        match update.close(synchronised).await {
            Ok(()) => Ok(RetryOutcome::Done),
            Err(UpdateError::Store(error)) => Err(error),
            Err(error @ UpdateError::Unavailable(_)) => {
                tracing::warn!(%error, "an update of the homeserver failed; it will be tried again");
                Ok(RetryOutcome::Unavailable)
            }
            // The user of the homeserver belongs to another person, so there is nothing to update.
            Err(UpdateError::Foreign) => Ok(RetryOutcome::Rejected),
            Err(error @ UpdateError::Rejected(_)) => {
                tracing::error!(%error, "the homeserver rejected an update; it will be tried again");
                Ok(RetryOutcome::Rejected)
            }
        }
    }

    /// Takes the lease. If another process has it for too long, requests another update of the user after the update of
    /// that process.
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
