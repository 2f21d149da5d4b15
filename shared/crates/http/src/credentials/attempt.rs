//! The rate limits of a password attempt.
//!
//! A rate-limit error is decided only by values of the request: the identifier as sent and the network. These limits
//! are charged before the account is known. The limit of the account for all networks together depends on a lookup, so
//! its error would disclose which account an identifier belongs to. A request beyond it is therefore answered like a
//! wrong password, after the same calls and the same hash.
//!
//! Because of the limit of the account, an attacker with many networks has hardly more attempts than an attacker with
//! one. Attackers could use it to lock an account owner out. Therefore it does not apply to networks from which the
//! account owner has logged in during the last month.

use super::Identifier;
use crate::{
    app::App,
    clock::Timestamp,
    http::ClientNetwork,
    ids::Localpart,
    limits::{self, Limit, LimitError},
    store::{AttemptBuckets, LoginFacts, StoreError},
};

/// A charged password attempt.
#[derive(Debug)]
pub struct PasswordAttempt {
    /// The charges to refund if the password is correct.
    spent: Vec<(Limit, String)>,
    network: ClientNetwork,
}

/// The limit of an account for all networks together, as it was read.
pub(super) struct AccountLimit {
    /// The key of the account's bucket.
    account: String,
    buckets: Option<AttemptBuckets>,
    arrival: Option<Timestamp>,
    /// Whether the account owner has used the network of the attempt since the last password reset.
    is_known: bool,
}

/// Charges an attempt at `key` to the network, concurrently with the read of the account. `endpoint` is the limit
/// of the endpoint. Returns the charge to refund if the password is correct.
pub(super) async fn charge(
    app: &App,
    key: &str,
    network: ClientNetwork,
    endpoint: Option<Limit>,
) -> Result<(Limit, String), LimitError> {
    let attempt = by_network(key, network);
    let mut charges = vec![attempt.clone(), (Limit::PasswordHash, network.to_string())];
    charges.extend(endpoint.map(|limit| (limit, network.to_string())));
    limits::consume_all(app, &charges).await?;
    Ok(attempt)
}

/// The limit of attempts at `key` from one network.
pub(super) fn by_network(key: &str, network: ClientNetwork) -> (Limit, String) {
    (Limit::NetworkPasswordAttempts, format!("{key} {network}"))
}

/// The limits of an attempt with an access token of `user`.
pub(super) fn of_token_holder(user: &Localpart, network: ClientNetwork) -> [(Limit, String); 2] {
    [
        by_network(&Identifier::User(user.clone()).key(), network),
        (Limit::PasswordHash, network.to_string()),
    ]
}

impl AccountLimit {
    /// Reads the account `name` together with the limit of `account`: its localpart, or the key of an identifier that
    /// has no account. A key contains a space and a localpart does not, so no client can name the bucket of such an
    /// identifier as a user.
    pub(super) async fn read(
        app: &App,
        name: &Localpart,
        account: String,
        network: ClientNetwork,
    ) -> Result<(Self, Option<LoginFacts>), StoreError> {
        let buckets = limits::attempt_buckets(app, &account, network);
        let facts = app.store.find_attempt(name, buckets.as_ref()).await?;
        let reset_at = facts.login.as_ref().map(|login| login.account.reset_at);
        let limit = Self {
            account,
            buckets,
            arrival: facts.arrival,
            is_known: limits::is_known(app, facts.known_until, reset_at.unwrap_or_default()),
        };
        Ok((limit, facts.login))
    }

    /// Charges an attempt. Returns the charges to refund if the password is correct, or `None` if the attempt exceeds
    /// the limit and must fail even with the correct password.
    pub(super) async fn charge(
        &self,
        app: &App,
    ) -> Result<Option<Vec<(Limit, String)>>, StoreError> {
        let is_charged = limits::consume_attempt(app, self.buckets.as_ref(), self.arrival).await?;
        let charge = || (Limit::AccountPasswordAttempts, self.account.clone());
        Ok(match (is_charged, self.is_known) {
            (true, _) => Some(vec![charge()]),
            (false, true) => Some(Vec::new()),
            (false, false) => None,
        })
    }
}

impl PasswordAttempt {
    /// An attempt whose charges allow it.
    pub(super) const fn new(spent: Vec<(Limit, String)>, network: ClientNetwork) -> Self {
        Self { spent, network }
    }

    /// Refunds the attempt: a correct password is not counted.
    pub async fn refund(&self, app: &App) {
        limits::refund_all(app, &self.spent).await;
    }

    /// Marks the network as one from which the owner of the account `name` has logged in.
    pub async fn trust_network(&self, app: &App, name: &Localpart) {
        super::trust_network(app, name, self.network).await;
    }
}
