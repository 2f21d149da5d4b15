//! Outbox rows of users whose update at the homeserver is in progress or pending (HS-14, HS-15).
//!
//! A user has at most one such row, which exists only while the homeserver may not have every change. It does not
//! describe the change: an update reads the current rows of the account and synchronises the homeserver with them. The
//! lease on the row ensures that only one process at a time changes a user at the homeserver, so that no call overtakes
//! another. The rows have a separate partition of the index `due`, so that messages do not wait for a homeserver that
//! does not respond. They do not expire.

use super::{
    Store, StoreError,
    accounts::{AccountStatus, HomeserverState},
    dynamodb::{
        item::{Item, Row, number, text},
        keys::{self, MAIN},
    },
    outbox::{DueMessages, DuePage, QUEUED, SENDING},
};
use crate::{clock::Timestamp, ids::Localpart};

/// The value of the partition key of the index.
const DUE: &str = "homeserver";
const CONTENT: &str = "homeserver";
/// The prefix of the keys of these rows.
const PREFIX: &str = "homeserver#";

/// The lease on the update of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateLease {
    /// The user.
    pub user: Localpart,
    /// Whether the row is new. If it is not, an earlier update may have been interrupted.
    pub is_new: bool,
    lease: String,
}

/// A pending update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpdate {
    /// The user.
    pub user: Localpart,
    /// The time of the first change that the homeserver may not have.
    pub since: Timestamp,
    /// The number of leases since then.
    pub attempts: i64,
    /// The response with which the homeserver rejected the last attempt.
    pub rejection: Option<String>,
}

fn id(user: &Localpart) -> String {
    format!("{PREFIX}{}", user.as_str())
}

impl Store {
    /// Leases the update of a user until `ends`, and creates its row if there is none. One `UpdateItem` call on the
    /// condition that no other process has the lease at `now`. Returns `None` if the condition fails.
    pub async fn lease_update(
        &self,
        user: &Localpart,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<Option<UpdateLease>, StoreError> {
        let lease = self.rng.base64::<12>();
        let request = self
            .update_message(
                &id(user),
                "SET #schema = :one, content = :content, created = if_not_exists(created, :now), \
                 attempts = if_not_exists(attempts, :zero) + :one, #status = :sending, lease = :lease, \
                 due = :due, due_at = :ends",
            )
            .condition_expression("attribute_not_exists(pk) OR #status = :queued OR due_at <= :now")
            .expression_attribute_names("#schema", "schema")
            .expression_attribute_values(":content", text(CONTENT))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":sending", text(SENDING))
            .expression_attribute_values(":queued", text(QUEUED))
            .expression_attribute_values(":lease", text(&lease))
            .expression_attribute_values(":due", text(DUE))
            .expression_attribute_values(":ends", number(ends.0))
            .expression_attribute_values(":now", number(now.0));
        let item = self.take_lease(request, &lease).await?;
        let Some(row) = item.map(Row::new) else {
            return Ok(None);
        };
        Ok(Some(UpdateLease {
            user: user.clone(),
            is_new: row.number("attempts")? == 1,
            lease,
        }))
    }

    /// Requests an update of a user without a lease, for a change that is made while another process has the lease. The
    /// row is due again after that process has ended its update. One `UpdateItem` call, without a condition.
    pub async fn request_update(&self, user: &Localpart, now: Timestamp) -> Result<(), StoreError> {
        let request = self
            .update_message(
                &id(user),
                "SET #schema = :one, content = :content, created = if_not_exists(created, :now), \
                 attempts = if_not_exists(attempts, :one), #status = if_not_exists(#status, :queued), \
                 due = :due, due_at = if_not_exists(due_at, :now), again = :one",
            )
            .expression_attribute_names("#schema", "schema")
            .expression_attribute_values(":content", text(CONTENT))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":queued", text(QUEUED))
            .expression_attribute_values(":due", text(DUE))
            .expression_attribute_values(":now", number(now.0));
        self.update_item(request).await?;
        Ok(())
    }

    /// Ends the update of a user: deletes its row, on the condition that the lease is unchanged and no update has been
    /// requested since. One `DeleteItem` call. If an update has been requested, a second call makes the row due at
    /// `again`.
    pub async fn end_update(
        &self,
        lease: &UpdateLease,
        again: Timestamp,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .delete_item()
            .table_name(&self.outbox)
            .set_key(Some(Item::at(id(&lease.user)).build()))
            .condition_expression("lease = :lease AND attribute_not_exists(again)")
            .expression_attribute_values(":lease", text(&lease.lease));
        if self.delete_item(request).await?.is_written() {
            return Ok(());
        }
        self.release_update(lease, again, "REMOVE again, rejection", None)
            .await
    }

    /// Ends the lease and makes the update due again at `due`. `rejection` is the response with which the homeserver
    /// rejected it. A requested update stays requested, because its change may not have been made yet. One `UpdateItem`
    /// call on the condition that the lease is unchanged; a failed condition is not an error.
    pub async fn requeue_update(
        &self,
        lease: &UpdateLease,
        due: Timestamp,
        rejection: Option<&str>,
    ) -> Result<(), StoreError> {
        let change = match rejection {
            Some(_) => ", rejection = :rejection",
            None => "REMOVE rejection",
        };
        self.release_update(lease, due, change, rejection).await
    }

    /// Ends the lease and makes the update due at `due`. `change` is the rest of the update expression.
    async fn release_update(
        &self,
        lease: &UpdateLease,
        due: Timestamp,
        change: &str,
        rejection: Option<&str>,
    ) -> Result<(), StoreError> {
        let expression = format!("SET #status = :queued, due_at = :due_at {change}");
        let mut request = self
            .update_message(&id(&lease.user), &expression)
            .condition_expression("lease = :lease AND #status = :sending")
            .expression_attribute_values(":queued", text(QUEUED))
            .expression_attribute_values(":sending", text(SENDING))
            .expression_attribute_values(":lease", text(&lease.lease))
            .expression_attribute_values(":due_at", number(due.0));
        if let Some(rejection) = rejection {
            request = request.expression_attribute_values(":rejection", text(rejection));
        }
        self.update_item(request).await?;
        Ok(())
    }

    /// The pending update of a user, if there is one. One `GetItem` call, strongly consistent.
    pub async fn find_update(&self, user: &Localpart) -> Result<Option<PendingUpdate>, StoreError> {
        let Some(row) = self.get(&self.outbox, Item::at(id(user))).await? else {
            return Ok(None);
        };
        Ok(Some(PendingUpdate {
            user: user.clone(),
            since: row.time("created")?,
            attempts: row.number("attempts")?,
            rejection: row.text_if("rejection")?.map(str::to_owned),
        }))
    }

    /// One page of the IDs of updates that are due by `now`; [`user_of_update`] returns the localpart. Otherwise like
    /// `due_messages`.
    pub async fn due_updates(
        &self,
        now: Timestamp,
        page: Option<DuePage>,
    ) -> Result<DueMessages, StoreError> {
        self.due_rows(DUE, now, page).await
    }

    /// Records the state of an account at the homeserver. One `UpdateItem` call on the condition that the account
    /// exists, is in one of the states `from` and is not deactivated. Returns `false` if the condition fails.
    pub async fn set_homeserver_state(
        &self,
        user: &Localpart,
        from: &[HomeserverState],
        to: HomeserverState,
    ) -> Result<bool, StoreError> {
        let names = (0..from.len()).map(|number| format!(":from{number}"));
        let names: Vec<_> = names.collect();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .update_expression("SET upstream = :to")
            .condition_expression(format!(
                "upstream IN ({}) AND #status <> :deactivated",
                names.join(", ")
            ))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":deactivated", text(AccountStatus::Deactivated.as_str()))
            .expression_attribute_values(":to", text(to.as_str()));
        for (name, state) in names.into_iter().zip(from) {
            request = request.expression_attribute_values(name, text(state.as_str()));
        }
        Ok(self.update_item(request).await?.is_written())
    }
}

/// The localpart of the user whose update has this ID.
pub fn user_of_update(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)
}
