//! What a guess at a password costs, before it is hashed.
//!
//! It is counted by whom it is about and from which network, by the network alone, and by whom it is
//! about wherever it comes from: many networks together guess hardly more than one. The last of these
//! would let strangers keep somebody out, so it does not hold for networks from which they have logged
//! in of late.

use super::CredentialError;
use crate::{
    app::App,
    http::Network,
    ids::Localpart,
    limits::{self, Limit, LimitError},
};

/// A guess that has been charged.
#[derive(Debug)]
pub struct Guess {
    /// What is given back if it was right.
    spent: Vec<(Limit, String)>,
    network: Network,
}

/// A guess whose budget for all networks together may be exceeded.
pub(super) struct Charged {
    guess: Guess,
    all_networks: Result<(), LimitError>,
}

/// Charges a guess about `key`, beside the read that finds out whom that is. `entry` is what the
/// request itself costs.
pub(super) async fn charge(
    app: &App,
    key: &str,
    network: Network,
    entry: Option<Limit>,
) -> Result<Charged, LimitError> {
    let guess = from(key, network);
    let everywhere = (Limit::AccountGuess, key.to_owned());
    let mut budgets = vec![guess.clone(), (Limit::PasswordHash, network.to_string())];
    budgets.extend(entry.map(|limit| (limit, network.to_string())));
    let (own, all_networks) = tokio::join!(
        limits::spend_all(app, &budgets),
        limits::spend(app, everywhere.0, &everywhere.1)
    );
    let counted = all_networks.is_ok().then_some(everywhere);
    if let Err(error) = own {
        limits::refund_all(app, counted.as_slice()).await;
        return Err(error);
    }
    let spent = std::iter::once(guess).chain(counted).collect();
    Ok(Charged {
        guess: Guess { spent, network },
        all_networks,
    })
}

/// The budget of guesses about `key` from one network.
pub(super) fn from(key: &str, network: Network) -> (Limit, String) {
    (Limit::PasswordGuess, format!("{key} {network}"))
}

impl Charged {
    /// The guess, if it may be made about `name`: somebody's, or one that nobody has.
    pub(super) async fn about(self, app: &App, name: &Localpart) -> Result<Guess, CredentialError> {
        match self.all_networks {
            Ok(()) => Ok(self.guess),
            Err(LimitError::Exceeded { .. })
                if limits::knows_network(app, self.guess.whom(name)).await? =>
            {
                Ok(self.guess)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Guess {
    /// A right guess is no guess: gives back what it cost.
    pub async fn refund(&self, app: &App) {
        limits::refund_all(app, &self.spent).await;
    }

    /// Remembers that `name` has logged in from here. Losing that is no reason not to log in.
    pub async fn remember(&self, app: &App, name: &Localpart) {
        let _ = limits::remember_network(app, self.whom(name)).await;
    }

    fn whom(&self, name: &Localpart) -> String {
        format!("{} {}", name.as_str(), self.network)
    }
}
