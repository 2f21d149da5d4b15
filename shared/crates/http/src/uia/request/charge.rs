//! The rate limits that are charged concurrently with the first read of a request.

use super::ProtectedRequest;
use crate::{
    app::App,
    http::ClientNetwork,
    limits::{self, Limit, LimitError},
};

/// The charge of the step that a request is likely to reach. It is made concurrently with the first read,
/// to save a round trip, and in addition to the charge of the endpoint's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charged {
    /// No step was charged.
    Nothing,
    /// The start of a UIA session.
    SessionStart,
    /// The hash of a new password.
    PasswordHash,
    /// The verification of the password of the access token's user.
    PasswordAttempt,
}

impl Charged {
    /// The limit of the step. The module `credentials` charges the limits of a password attempt.
    const fn limit(self) -> Option<Limit> {
        match self {
            Self::SessionStart => Some(Limit::UiaSession),
            Self::PasswordHash => Some(Limit::PasswordHash),
            Self::Nothing | Self::PasswordAttempt => None,
        }
    }
}

/// Makes the charge of the endpoint and charges the limit of the likely step, concurrently.
pub(super) async fn charge(
    app: &App,
    endpoint: impl Future<Output = Result<(), LimitError>>,
    likely: Charged,
    network: ClientNetwork,
) -> Result<(), LimitError> {
    let step = async {
        match likely.limit() {
            Some(limit) => limits::consume(app, limit, network).await,
            None => Ok(()),
        }
    };
    let (endpoint, step) = tokio::join!(endpoint, step);
    endpoint.and(step)
}

impl ProtectedRequest {
    /// Charges the start of a session if the request names a session that is unknown to the caller, because the
    /// response to such a request starts a new one. The endpoint's own checks, such as the strength of a password,
    /// follow this charge, so that requests beyond the limit do not cause them.
    pub(super) async fn charge_unknown_session(&mut self, app: &App) -> Result<(), LimitError> {
        if self.session.is_none() && self.charged == Charged::Nothing {
            limits::consume(app, Limit::UiaSession, self.network).await?;
            self.charged = Charged::SessionStart;
        }
        Ok(())
    }

    /// Charges the hash of the new password, unless this request has charged it with its first read. A password attempt
    /// has charged another hash, that of the verification.
    pub async fn charge_password_hash(&self, app: &App) -> Result<(), LimitError> {
        match self.charged {
            Charged::PasswordHash => Ok(()),
            Charged::Nothing | Charged::SessionStart | Charged::PasswordAttempt => {
                limits::consume(app, Limit::PasswordHash, self.network).await
            }
        }
    }
}
