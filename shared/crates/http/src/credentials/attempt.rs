//! The rate limits of a password attempt, charged before the password is hashed.
//!
//! An attempt is charged by account and network, by network, and by account for all networks
//! together. Because of the last limit, many networks allow hardly more attempts than one network.
//! Attackers could use this limit to lock an account owner out. Therefore it does not apply to
//! networks from which the account owner has logged in during the last month.

use super::{CredentialError, Identifier};
use crate::{
    app::App,
    clock::Timestamp,
    http::ClientNetwork,
    ids::Localpart,
    limits::{self, Limit, LimitError},
};

/// A charged password attempt.
#[derive(Debug)]
pub struct PasswordAttempt {
    /// The charges to refund if the password is correct.
    spent: Vec<(Limit, String)>,
    network: ClientNetwork,
    /// The limit for all networks together, if it is exceeded but does not apply to this network.
    exceeded: Option<LimitError>,
}

/// The results of charging an attempt at an account.
pub(super) struct Charges {
    /// The result for the network, with the charge to refund if the password is correct.
    pub(super) by_network: Result<(Limit, String), LimitError>,
    /// The result for the account, for all networks together.
    pub(super) by_account: Result<(), LimitError>,
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

/// The key of a network that a user has logged in from.
pub(super) fn trusted_network(name: &Localpart, network: ClientNetwork) -> String {
    limits::known_network_key(name, network)
}

impl PasswordAttempt {
    /// The attempt, if its charges allow it. `name` is the localpart of the account or a decoy. Networks that were used
    /// before `reset_at`, the last password reset of the account, are not trusted.
    pub(super) async fn new(
        app: &App,
        name: &Localpart,
        network: ClientNetwork,
        reset_at: Timestamp,
        charges: Charges,
    ) -> Result<Self, CredentialError> {
        let account = (Limit::AccountPasswordAttempts, name.as_str().to_owned());
        let spent = match charges.by_network {
            Ok(spent) => spent,
            Err(error) => {
                if charges.by_account.is_ok() {
                    limits::refund_all(app, &[account]).await;
                }
                return Err(error.into());
            }
        };
        let (spent, exceeded) = match charges.by_account {
            Ok(()) => (vec![spent, account], None),
            Err(error @ LimitError::Exceeded { .. })
                if limits::is_known_network(app, trusted_network(name, network), reset_at)
                    .await? =>
            {
                (vec![spent], Some(error))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            spent,
            network,
            exceeded,
        })
    }

    /// The error for a wrong password. Beyond the limit, a trusted network receives the rate-limit error, like every
    /// other network. Otherwise other clients in the network could find out which accounts log in from it.
    pub(super) fn wrong(self) -> CredentialError {
        self.exceeded
            .map_or(CredentialError::Wrong, CredentialError::Limit)
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
