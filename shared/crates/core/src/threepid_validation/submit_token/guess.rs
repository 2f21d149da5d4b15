//! The rate limits of wrong codes, for all validation sessions together. A session allows five wrong codes, but a
//! client may start any number of sessions for one phone number.
//!
//! The quotas of the client network are charged first, so that one network cannot use up the quota of a number alone.
//! The quota of the number does not apply to a session that was requested from a network that the account owner has
//! used: an attacker could otherwise keep the owner from a password reset.

use super::SubmitError;
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit, LimitError},
    store::ValidationRow,
    validation_session::ValidationPurpose,
};

/// A charged attempt at a code.
#[derive(Debug)]
pub(super) struct CodeGuess {
    charges: Vec<(Limit, String)>,
    /// The limit of the number, if it is exceeded but does not apply to the session.
    exceeded: Option<LimitError>,
}

impl CodeGuess {
    pub(super) async fn charge(
        app: &App,
        row: &ValidationRow,
        network: ClientNetwork,
    ) -> Result<Self, SubmitError> {
        let (number, block) = (&row.threepid.address, network.widest());
        let mut charges = vec![
            (Limit::CodeFromNetwork, block.to_string()),
            (Limit::CodeForNumberFromNetwork, format!("{number} {block}")),
        ];
        limits::consume_all(app, &charges).await?;
        // Sessions for other purposes must not use up the quota of a reset.
        let group = match row.purpose {
            ValidationPurpose::Reset => "reset",
            ValidationPurpose::Register | ValidationPurpose::Add => "other",
        };
        let sum = (Limit::CodeForNumber, format!("{group} {number}"));
        let exceeded = match limits::consume(app, sum.0, &sum.1).await {
            Ok(()) => {
                charges.push(sum);
                None
            }
            Err(error @ LimitError::Exceeded { .. }) if row.is_known_network => Some(error),
            Err(error) => {
                limits::refund_all(app, &charges).await;
                return Err(error.into());
            }
        };
        Ok(Self { charges, exceeded })
    }

    /// The error for a wrong code. Beyond the limit of the number, a session of a known network gets the same error as
    /// any other session. Otherwise other clients in that network could find out that the owner uses it.
    pub(super) fn wrong(self) -> SubmitError {
        self.exceeded
            .map_or(SubmitError::Incorrect, SubmitError::Limit)
    }
}

/// Refunds an attempt: a right code is not counted.
pub(super) async fn refund(app: &App, guess: Option<CodeGuess>) {
    if let Some(guess) = guess {
        limits::refund_all(app, &guess.charges).await;
    }
}
