//! The update of one user, for which this process has the lease.

use std::time::Duration;

use super::{Homeserver, UpdateError};
use crate::store::{StoreError, UpdateLease};

/// How long a login or a registration waits for the homeserver.
const REQUIRED_WITHIN: Duration = Duration::from_secs(4);
/// How long a request that does not need the homeserver waits for it. The request waits at all so that an invalidated
/// token is invalid at the homeserver, too, before the client gets its response.
const CARRIED_OVER_WITHIN: Duration = Duration::from_secs(2);
/// The time after which a rejected update is tried again.
const RETRY_REJECTED: Duration = Duration::from_mins(15);
/// The time after which a user is updated again if that was requested while another process had the lease. It must be
/// longer than a request, so that the change of the other request has been written.
const REPEAT_REQUESTED: Duration = Duration::from_secs(30);

/// An update of a user, for which this process has the lease.
#[derive(Debug)]
pub struct Update<'a> {
    pub(super) homeserver: Homeserver<'a>,
    pub(super) lease: UpdateLease,
}

impl Update<'_> {
    /// Ends the update if the account was not changed. An earlier update remains pending.
    pub async fn cancel(self) {
        if !self.lease.is_new {
            return self.leave(None).await;
        }
        if let Err(error) = self.end().await {
            // The row is due when the lease ends. The update then has no effect.
            tracing::warn!(%error, "the lease on an update of the homeserver was not ended");
        }
    }

    /// Ends the lease. The update remains pending, and `deliver` makes it later.
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

    /// Ends the update: the homeserver has the current state of the account.
    pub(super) async fn end(self) -> Result<(), StoreError> {
        let again = self.homeserver.clock.now().plus(REPEAT_REQUESTED);
        self.homeserver.store.end_update(&self.lease, again).await
    }

    /// Ends the update after a success; after an error it remains pending. Returns `result`.
    pub async fn close(self, result: Result<(), UpdateError>) -> Result<(), UpdateError> {
        match &result {
            // If the row cannot be deleted, the update is only repeated, so the client may get its token.
            Ok(()) | Err(UpdateError::Foreign) => {
                let _ = self.end().await;
            }
            Err(UpdateError::Rejected(reason)) => self.leave(Some(reason)).await,
            Err(_) => self.leave(None).await,
        }
        result
    }

    /// Makes these calls and ends the update, or leaves it for later if they fail or take too long.
    pub(super) async fn make_or_leave(self, calls: impl Future<Output = Result<(), UpdateError>>) {
        let made = tokio::time::timeout(CARRIED_OVER_WITHIN, calls).await;
        let made = made.unwrap_or_else(|_| Err(no_response()));
        if let Err(error) = &made {
            tracing::warn!(%error, "a change was not carried over to the homeserver; it will be tried again");
        }
        let _ = self.close(made).await;
    }

    /// Makes calls that the request cannot succeed without, with a timeout.
    pub(super) async fn require(
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

pub(super) fn no_response() -> UpdateError {
    UpdateError::Unavailable("there was no response in time".to_owned())
}
