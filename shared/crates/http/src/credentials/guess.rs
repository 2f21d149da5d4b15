//! What a guess at a password costs, before it is hashed.
//!
//! It is counted by whom it is about and from which network, by the network alone, and by whom it is
//! about wherever it comes from: many networks together guess hardly more than one. The last of these
//! would let strangers keep somebody out, so it does not hold for networks from which they have logged
//! in of late.

use super::{CredentialError, Identifier};
use crate::{
    app::App,
    http::ClientNetwork,
    ids::Localpart,
    limits::{self, Limit, LimitError},
};

/// A guess that has been charged.
#[derive(Debug)]
pub struct Guess {
    /// What is given back if it was right.
    spent: Vec<(Limit, String)>,
    network: ClientNetwork,
    /// The budget for all networks together, if it is exceeded and does not hold here.
    exceeded: Option<LimitError>,
}

/// Charges a guess about `key` by its network, beside the read that finds out whom that is. `entry`
/// is what the request itself costs. Gives what is to be given back if it was right.
pub(super) async fn charge(
    app: &App,
    key: &str,
    network: ClientNetwork,
    entry: Option<Limit>,
) -> Result<(Limit, String), LimitError> {
    let guess = from(key, network);
    let mut budgets = vec![guess.clone(), (Limit::PasswordHash, network.to_string())];
    budgets.extend(entry.map(|limit| (limit, network.to_string())));
    limits::spend_all(app, &budgets).await?;
    Ok(guess)
}

/// The budget of guesses about `key` from one network.
pub(super) fn from(key: &str, network: ClientNetwork) -> (Limit, String) {
    (Limit::NetworkPasswordAttempts, format!("{key} {network}"))
}

/// The budgets of a guess of somebody whose token says that they are `user`.
pub(super) fn own(user: &Localpart, network: ClientNetwork) -> [(Limit, String); 2] {
    [
        from(&Identifier::User(user.clone()).key(), network),
        (Limit::PasswordHash, network.to_string()),
    ]
}

/// By which a user's networks are known.
pub(super) fn whom(name: &Localpart, network: ClientNetwork) -> String {
    format!("{} {network}", name.as_str())
}

impl Guess {
    /// The guess, if it may be made about `name`, somebody's or one that nobody has, by what its
    /// network and then all of them together had left.
    pub(super) async fn new(
        app: &App,
        name: &Localpart,
        network: ClientNetwork,
        (spent, everywhere): (Result<(Limit, String), LimitError>, Result<(), LimitError>),
    ) -> Result<Self, CredentialError> {
        let counted = (Limit::AccountPasswordAttempts, name.as_str().to_owned());
        let spent = match spent {
            Ok(spent) => spent,
            Err(error) => {
                if everywhere.is_ok() {
                    limits::refund_all(app, &[counted]).await;
                }
                return Err(error.into());
            }
        };
        let (spent, exceeded) = match everywhere {
            Ok(()) => (vec![spent, counted], None),
            Err(error @ LimitError::Exceeded { .. })
                if limits::knows_network(app, whom(name, network)).await? =>
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

    /// What is said of one that was wrong: where a network is known, what is said elsewhere, or its
    /// neighbours would learn who logs in there.
    pub(super) fn wrong(self) -> CredentialError {
        self.exceeded
            .map_or(CredentialError::Wrong, CredentialError::Limit)
    }

    /// A right guess is no guess: gives back what it cost.
    pub async fn refund(&self, app: &App) {
        limits::refund_all(app, &self.spent).await;
    }

    /// Remembers that `name` has logged in from here.
    pub async fn remember(&self, app: &App, name: &Localpart) {
        super::remember(app, name, self.network).await;
    }
}
