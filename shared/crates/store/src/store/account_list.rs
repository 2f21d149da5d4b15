//! The list of all accounts. Only the admin CLI uses it, because no function may scan a table.

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Map, Row, text},
        keys::{MAIN, PK, USERS},
    },
};
use crate::ids::Localpart;

/// The start of the next page of accounts.
#[derive(Clone)]
pub struct AccountPage(Map);

crate::opaque_debug!(AccountPage);

impl Store {
    /// One page of the localparts of all accounts, in no particular order, and the start of the next page if there is
    /// one. One `Scan` call of up to 1 MB, strongly consistent: reading the whole table costs half a capacity unit for
    /// each 4 kB.
    pub async fn accounts_page(
        &self,
        after: Option<AccountPage>,
    ) -> Result<(Vec<Localpart>, Option<AccountPage>), StoreError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the admin CLI has to compare all accounts with the homeserver"
        )]
        let scan = self.client.scan();
        let request = scan
            .table_name(&self.accounts)
            .filter_expression("sk = :main AND begins_with(pk, :users)")
            .projection_expression(PK)
            .expression_attribute_values(":main", text(MAIN))
            .expression_attribute_values(":users", text(USERS))
            .set_exclusive_start_key(after.map(|AccountPage(key)| key))
            .consistent_read(true);
        let answer = self.scan(request).await?;
        let rows = answer.items.unwrap_or_default().into_iter().map(Row::new);
        let users: Result<Vec<_>, _> = rows
            .map(|row| {
                let name = row.text(PK)?.strip_prefix(USERS);
                name.and_then(Localpart::stored)
                    .ok_or_else(|| row.corrupt("pk"))
            })
            .collect();
        Ok((users?, answer.last_evaluated_key.map(AccountPage)))
    }
}
