//! Tokens that an operator hands out for sign-up: a main row, the uses of a limited token in up to
//! sixteen shares, and one row in a list of all.
//!
//! The shares keep a storm of sign-ups with one token from waiting for each other. A use is spent
//! by the finishing transaction alone, so an abandoned sign-up spends none.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem, Update};

use super::{
    Store, StoreError,
    item::{Item, Row, deleting, number, put, updating},
    keys::{self, MAIN, PK, REGISTRATION_TOKENS, SK},
    retry::condition_failed,
};
use crate::clock::Timestamp;

/// The most shares of one token.
const MAX_SHARDS: i64 = 16;
/// A share is not made smaller than this, so that a small token has one share alone.
const MIN_SHARD_USES: i64 = 16;

/// A registration token, of which only a hash is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// The keyed hash of the token.
    pub hash: String,
    /// What the operator calls it.
    pub label: String,
    /// Its last four characters, by which the operator knows it again.
    pub last_four: String,
    /// How many accounts it is good for at first; `None` for any number.
    pub uses: Option<i64>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
}

/// A registration token as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationTokenRow {
    /// The token.
    pub token: RegistrationToken,
    /// What is left in each share that is not empty; nothing for an unlimited token.
    pub left: Vec<(u32, i64)>,
}

/// One use of one share of a limited token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// The keyed hash of the token.
    pub hash: String,
    /// The share.
    pub shard: u32,
}

impl RegistrationTokenRow {
    /// Whether an account can be made with it now (UIA-60, RTOK-01).
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

/// How `uses` are shared out: evenly, what is over to the first shares.
fn shares(uses: i64) -> Vec<i64> {
    let count = (uses / MIN_SHARD_USES).clamp(1, MAX_SHARDS);
    (0..count)
        .map(|index| uses / count + i64::from(index < uses % count))
        .collect()
}

impl Store {
    /// The token with this hash. One call, strongly consistent.
    pub async fn find_registration_token(
        &self,
        hash: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError> {
        RegistrationTokenRow::read(self.rows_under(&keys::registration_token(hash), "").await?)
    }

    /// Stores a new token; `false` if there is one with this hash.
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
        let mut items = vec![put(&self.accounts, main, Some("attribute_not_exists(pk)"))];
        items.push(put(
            &self.accounts,
            Item::under(REGISTRATION_TOKENS, &new.hash).number("schema", 1),
            None,
        ));
        for (number, left) in (0..).zip(new.uses.map(shares).unwrap_or_default()) {
            let share = Item::under(&pk, keys::shard(number))
                .number("schema", 1)
                .number("left", left);
            items.push(put(
                &self.accounts,
                share.number_if("expires", new.expires.map(|time| time.0)),
                None,
            ));
        }
        let created = self
            .transact(items, |reasons| {
                condition_failed(reasons, 0).then_some(Created::Already)
            })
            .await;
        match created {
            Ok(()) => Ok(true),
            Err(Created::Already) => Ok(false),
            Err(Created::Failed(error)) => Err(error),
        }
    }

    /// The hashes of all tokens.
    pub async fn list_registration_tokens(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.rows_under(REGISTRATION_TOKENS, "").await?;
        rows.iter()
            .map(|row| row.text(SK).map(str::to_owned))
            .collect()
    }

    /// Removes a token with all that is left of it. Sign-ups under way that have not spent it
    /// yet cannot finish with it.
    pub async fn revoke_registration_token(&self, hash: &str) -> Result<(), StoreError> {
        let pk = keys::registration_token(hash);
        let mut doomed = vec![(REGISTRATION_TOKENS.to_owned(), hash.to_owned())];
        for row in self.rows_under(&pk, "").await? {
            doomed.push((pk.clone(), row.text(SK)?.to_owned()));
        }
        let delete = |(pk, sk): (String, String)| {
            let delete = Delete::builder()
                .table_name(&self.accounts)
                .set_key(Some(Item::under(pk, sk).build()));
            deleting(delete)
        };
        self.transact(doomed.into_iter().map(delete).collect(), |_| None)
            .await
    }

    pub(super) fn spend_registration_token(
        &self,
        token_use: &TokenUse,
        now: Timestamp,
    ) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(
                Item::under(
                    keys::registration_token(&token_use.hash),
                    keys::shard(token_use.shard),
                )
                .build(),
            ))
            .update_expression("SET #left = #left - :one")
            .condition_expression(
                "#left >= :one AND (attribute_not_exists(expires) OR expires > :now)",
            )
            .expression_attribute_names("#left", "left")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.0));
        updating(update)
    }
}

/// Why a token was not created.
enum Created {
    Already,
    Failed(StoreError),
}

impl From<StoreError> for Created {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
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
