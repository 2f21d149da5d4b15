//! What is left under the name of an account that has ended, and how it goes (DEACT-12, DEACT-14).

use super::{
    Store, StoreError,
    item::{Item, Map, text},
    keys::{self, BINDINGS, MAIN, SK, THREEPIDS},
};
use crate::ids::Localpart;

/// A row under a user that is not the account's own.
#[derive(Clone)]
pub struct PurgeItem(String);

crate::opaque_debug!(PurgeItem);

impl PurgeItem {
    /// Whether it records what is bound at an identity server.
    pub fn is_binding(&self) -> bool {
        self.0.starts_with(BINDINGS)
    }
}

/// Where the next read of what is left goes on.
#[derive(Clone)]
pub struct PurgePage(Map);

crate::opaque_debug!(PurgePage);

impl Store {
    /// Some of the rows under a user, all but the account's own, strongly consistent; and where to go
    /// on if there are more.
    pub async fn remnants_page(
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

    /// Removes a row of a user who is no more, for good: nothing is written under such a name again.
    /// Before an address goes its claim, if it is still this user's: whoever is interrupted in between
    /// finds the address again. One call, or two for an address.
    pub async fn remove_remnant(
        &self,
        user: &Localpart,
        PurgeItem(sk): &PurgeItem,
    ) -> Result<(), StoreError> {
        if sk.starts_with(THREEPIDS) {
            // The claim's partition is spelt as its row under the owner is.
            let claim = Item::under(sk, MAIN);
            let own = Some(("owner", text(user.as_str())));
            self.delete_if(claim, own).await?;
        }
        self.delete_if(Item::under(keys::user(user), sk), None)
            .await
    }
}
