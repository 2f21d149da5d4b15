//! Purge of the rows of a deactivated account (DEACT-12, DEACT-14).

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Map, text},
        keys::{self, BINDINGS, MAIN, SK, THREEPIDS},
    },
};
use crate::ids::Localpart;

/// A row of an account, but not the account row itself.
#[derive(Clone)]
pub struct PurgeItem(String);

crate::opaque_debug!(PurgeItem);

impl PurgeItem {
    /// Whether the row records a 3PID that is bound at an identity server.
    pub fn is_binding(&self) -> bool {
        self.0.starts_with(BINDINGS)
    }
}

/// The start of the next page of rows.
#[derive(Clone)]
pub struct PurgePage(Map);

crate::opaque_debug!(PurgePage);

impl Store {
    /// One page of the rows of an account without the account row itself, and the start of the next
    /// page if there is one. One `Query` call, strongly consistent.
    pub async fn purge_page(
        &self,
        user: &Localpart,
        after: Option<PurgePage>,
    ) -> Result<(Vec<PurgeItem>, Option<PurgePage>), StoreError> {
        let start = after.map(|PurgePage(key)| key);
        let (rows, next) = self
            .page_under(&keys::user(user), "", Some("pk, sk"), start)
            .await?;
        let keys: Result<Vec<_>, _> = rows
            .iter()
            .map(|row| row.text(SK).map(str::to_owned))
            .collect();
        let rest = keys?.into_iter().filter(|sk| sk != MAIN).map(PurgeItem);
        Ok((rest.collect(), next.map(PurgePage)))
    }

    /// Deletes a row of a deactivated account; no new row is written under its username. One
    /// `DeleteItem` call, or two for a 3PID: its reservation is deleted first, if it still
    /// belongs to this user, so that an interrupted purge finds the 3PID again.
    pub async fn purge_item(
        &self,
        user: &Localpart,
        PurgeItem(sk): &PurgeItem,
    ) -> Result<(), StoreError> {
        if sk.starts_with(THREEPIDS) {
            // The partition key of the reservation equals the sort key of the 3PID row.
            let claim = Item::under(sk, MAIN);
            let own = Some(("owner", text(user.as_str())));
            self.delete_if(claim, own).await?;
        }
        self.delete_if(Item::under(keys::user(user), sk), None)
            .await
    }
}
