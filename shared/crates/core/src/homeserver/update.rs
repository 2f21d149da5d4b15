//! The update of one user under its lease.

use std::time::Duration;

use super::{Homeserver, UpdateError};
use crate::store::{StoreError, UpdateLease};

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

/// An update of a user under its lease.
#[derive(Debug)]
pub struct Update<'a> {
    pub(super) homeserver: Homeserver<'a>,
    pub(super) lease: UpdateLease,
}

impl Update<'_> {
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
    pub(super) async fn end(self) -> Result<(), StoreError> {
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

    /// Makes these calls and ends the update, or leaves it for later if they fail or take too long.
    pub(super) async fn make_or_leave(self, calls: impl Future<Output = Result<(), UpdateError>>) {
        let made = tokio::time::timeout(CARRIED_OVER_WITHIN, calls).await;
        let made = made.unwrap_or_else(|_| Err(no_response()));
        if let Err(error) = &made {
            tracing::warn!(%error, "a change was not carried over to the homeserver; it will be tried again");
        }
        let _ = self.close(made).await;
    }

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
