//! Registration tokens. A token has a main row, a row in the list of all tokens and, if its uses are limited, up to
//! sixteen rows with a share of the uses each.
//!
//! The shares prevent conflicts between concurrent registrations with one token. Only the final
//! transaction of a registration spends a use, so an abandoned registration spends none.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::{
    Store, StoreError,
    dynamodb::{
        item::{Item, Row, number},
        keys::{self, MAIN, PK, REGISTRATION_TOKENS, SK},
        transaction::{put, transact_update},
    },
};
use crate::clock::Timestamp;

/// The maximum number of shares of one token.
const MAX_SHARDS: i64 = 16;
/// The minimum number of uses of a share if there are several, so that a token with few uses has
/// one share.
const MIN_SHARD_USES: i64 = 16;

/// A registration token. Only its hash is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// The keyed hash of the token.
    pub hash: String,
    /// The operator's label for the token.
    pub label: String,
    /// Its last four characters, so that the operator can recognise it.
    pub last_four: String,
    /// The number of accounts that it may create in total; `None` means no limit.
    pub uses: Option<i64>,
    /// The time at which it expires.
    pub expires: Option<Timestamp>,
    /// The time of its creation.
    pub created: Timestamp,
}

/// A stored registration token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationTokenRow {
    /// The token.
    pub token: RegistrationToken,
    /// The number of each share that is not empty, and its remaining uses; empty for a token
    /// without a limit.
    pub left: Vec<(u32, i64)>,
}

/// One use of a limited token, taken from one share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// The keyed hash of the token.
    pub hash: String,
    /// The number of the share.
    pub shard: u32,
}

impl RegistrationTokenRow {
    /// Whether the token is valid for a registration now (UIA-60, RTOK-01).
    pub fn is_good(&self, now: Timestamp) -> bool {
        let token = &self.token;
        token.expires.is_none_or(|expires| now < expires)
            && (token.uses.is_none() || !self.left.is_empty())
    }

    fn read(rows: Vec<Row>) -> Result<Option<Self>, StoreError> {
        let (mut main, mut left) = (None, Vec::new());
        for row in rows {
            let sk = row.text(SK)?;
            if sk == MAIN {
                main = Some(row);
            } else {
                let shard = sk.strip_prefix("S#").and_then(|number| number.parse().ok());
                let own = (shard.ok_or_else(|| row.corrupt(SK))?, row.number("left")?);
                left.extend((own.1 > 0).then_some(own));
            }
        }
        let Some(row) = main else { return Ok(None) };
        let hash = row
            .text(PK)?
            .strip_prefix("REGTOKEN#")
            .ok_or_else(|| row.corrupt(PK))?
            .to_owned();
        let token = RegistrationToken {
            hash,
            label: row.text("label")?.to_owned(),
            last_four: row.text("last_four")?.to_owned(),
            uses: row.number_if("uses")?,
            expires: row.time_if("expires")?,
            created: row.time("created")?,
        };
        Ok(Some(Self { token, left }))
    }
}

/// The uses of each share: divided evenly, with the remainder in the first shares.
fn shares(uses: i64) -> Vec<i64> {
    let count = (uses / MIN_SHARD_USES).clamp(1, MAX_SHARDS);
    (0..count)
        .map(|index| uses / count + i64::from(index < uses % count))
        .collect()
}

impl Store {
    /// The token with this hash. One `Query` call, strongly consistent.
    pub async fn find_registration_token(
        &self,
        hash: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError> {
        RegistrationTokenRow::read(self.rows_under(&keys::registration_token(hash), "").await?)
    }

    /// Writes a new token. One `TransactWriteItems` call on the condition that no token has this
    /// hash. Returns `false` if the condition fails.
    pub async fn create_registration_token(
        &self,
        new: &RegistrationToken,
    ) -> Result<bool, StoreError> {
        let pk = keys::registration_token(&new.hash);
        let main = Item::under(&pk, MAIN)
            .number("schema", 1)
            .text("label", &new.label)
            .text("last_four", &new.last_four)
            .number_if("uses", new.uses)
            .number_if("expires", new.expires.map(|time| time.0))
            .number("created", new.created.0);
        let main = put(&self.accounts, main, Some("attribute_not_exists(pk)"));
        let listed = Item::under(REGISTRATION_TOKENS, &new.hash).number("schema", 1);
        let mut transaction = self.transaction();
        transaction.add(main).or(CreateTokenError::Exists);
        transaction.add(put(&self.accounts, listed, None));
        for (number, left) in (0..).zip(new.uses.map(shares).unwrap_or_default()) {
            let share = Item::under(&pk, keys::shard(number))
                .number("schema", 1)
                .number("left", left)
                .number_if("expires", new.expires.map(|time| time.0));
            transaction.add(put(&self.accounts, share, None));
        }
        match transaction.commit().await {
            Ok(()) => Ok(true),
            Err(CreateTokenError::Exists) => Ok(false),
            Err(CreateTokenError::Store(error)) => Err(error),
        }
    }

    /// The hashes of all tokens. One `Query` call for each megabyte, strongly consistent.
    pub async fn list_registration_tokens(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.rows_under(REGISTRATION_TOKENS, "").await?;
        rows.iter()
            .map(|row| row.text(SK).map(str::to_owned))
            .collect()
    }

    /// Deletes a token with all its rows. One `Query` call and one `TransactWriteItems` call. A
    /// registration that has not spent the token before cannot be completed with it.
    pub async fn revoke_registration_token(&self, hash: &str) -> Result<(), StoreError> {
        let pk = keys::registration_token(hash);
        let rows = self.rows_under(&pk, "").await?;
        let mut transaction = self.transaction();
        transaction.add(self.delete(Item::under(REGISTRATION_TOKENS, hash)));
        for row in rows {
            transaction.add(self.delete(Item::under(&pk, row.text(SK)?)));
        }
        transaction.commit().await
    }

    /// Spends one use of a share. The condition is that the share has a use left and the token has
    /// not expired.
    pub(super) fn spend_registration_token(
        &self,
        token_use: &TokenUse,
        now: Timestamp,
    ) -> TransactWriteItem {
        let pk = keys::registration_token(&token_use.hash);
        let key = Item::under(pk, keys::shard(token_use.shard));
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .update_expression("SET #left = #left - :one")
            .condition_expression(
                "#left >= :one AND (attribute_not_exists(expires) OR expires > :now)",
            )
            .expression_attribute_names("#left", "left")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.0));
        transact_update(update)
    }
}

/// The reason why a token was not created.
enum CreateTokenError {
    Exists,
    Store(StoreError),
}

impl From<StoreError> for CreateTokenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_add_up_to_the_uses_and_none_is_empty(uses in 1i64..100_000) {
            let shares = shares(uses);
            prop_assert_eq!(shares.iter().sum::<i64>(), uses);
            prop_assert!(shares.iter().all(|share| *share > 0) && shares.len() <= 16);
        }
    }

    #[test]
    fn a_one_use_token_has_one_share() {
        assert_eq!(shares(1), [1]);
        assert_eq!(shares(1000).len(), 16);
    }
}
