//! Rate limits: how often what may be done, by whom (HTTP-19).
//!
//! Each limit is a cell of the generic cell rate algorithm (GCRA), one number in one item: the
//! "theoretical arrival time" before which the next request is early. A burst is how early it may
//! be. The table of all limits is [`Limit::budget`]; the item itself is written by `store`.

use std::time::Duration;

use crate::{
    app::App,
    clock::{Timestamp, millis},
    http::Network,
    secrets::Purpose,
    store::{CellVerdict, StoreError},
};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Any request to register.
    Register,
    /// Asking whether a name is free.
    Available,
    /// Asking whether a registration token is good, here or in the stage: guesses.
    RegistrationToken,
    /// Beginning a UIA session, which is a row.
    UiaSession,
    /// Verifying a captcha, which is a call to its provider.
    Captcha,
    /// Hashing a password.
    PasswordHash,
    /// Making a guest.
    Guest,
    /// Opening or submitting a fallback page.
    FallbackPage,
}

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many at once.
    pub burst: u32,
    /// How long until one more is allowed.
    pub interval: Duration,
}

impl Limit {
    /// The table of defaults, all by network.
    pub const fn budget(self) -> Budget {
        let (burst, seconds) = match self {
            Self::Register => (120, 2),
            Self::Available => (60, 1),
            Self::RegistrationToken | Self::Guest => (10, 60),
            Self::UiaSession => (30, 10),
            Self::Captcha => (20, 15),
            Self::PasswordHash => (20, 30),
            Self::FallbackPage => (60, 2),
        };
        Budget {
            burst,
            interval: Duration::from_secs(seconds),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Available => "available",
            Self::RegistrationToken => "registration-token",
            Self::UiaSession => "uia-session",
            Self::Captcha => "captcha",
            Self::PasswordHash => "password-hash",
            Self::Guest => "guest",
            Self::FallbackPage => "fallback-page",
        }
    }
}

/// Why a request may not go on.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Too many.
    #[error("the limit is exceeded for another {retry_after:?}")]
    Exceeded {
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// The cell could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The numbers of one attempt on a cell, for the two conditional updates of the store.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// Now.
    pub now: Timestamp,
    /// What one request costs, in milliseconds.
    pub cost: i64,
    /// How far ahead of now the cell may be before this request.
    pub tolerance: i64,
}

impl Attempt {
    fn new(budget: Budget, now: Timestamp) -> Self {
        let cost = millis(budget.interval);
        Self {
            now,
            cost,
            tolerance: cost.saturating_mul(i64::from(budget.burst) - 1),
        }
    }
}

/// Spends one request of `network`'s budget.
pub async fn spend(app: &App, limit: Limit, network: Network) -> Result<(), LimitError> {
    if !app.config.limits {
        return Ok(());
    }
    let attempt = Attempt::new(limit.budget(), app.clock.now());
    match app
        .store
        .spend_limit(&cell(app, limit, network), attempt)
        .await?
    {
        CellVerdict::Allowed => Ok(()),
        CellVerdict::Exceeded { arrival } => Err(LimitError::Exceeded {
            retry_after: arrival.since(
                attempt
                    .now
                    .plus(Duration::from_millis(attempt.tolerance.unsigned_abs())),
            ),
        }),
    }
}

/// Gives one request back: a guess that was right is no guess.
pub async fn refund(app: &App, limit: Limit, network: Network) -> Result<(), LimitError> {
    if app.config.limits {
        app.store
            .refund_limit(&cell(app, limit, network), millis(limit.budget().interval))
            .await?;
    }
    Ok(())
}

/// The cell's key: hashed, so that the table names no network.
fn cell(app: &App, limit: Limit, network: Network) -> String {
    format!(
        "{}#{}",
        limit.name(),
        app.config
            .keys
            .hash(Purpose::LimitKey, network.to_string().as_bytes())
    )
}
