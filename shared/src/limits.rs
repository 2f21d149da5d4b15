//! Rate limits: how often what may be done, by whom (HTTP-19).
//!
//! Each limit is a cell of the generic cell rate algorithm (GCRA), one number in one item: the
//! "theoretical arrival time" before which the next request is early. A burst is how early it may
//! be. The table of all limits is [`Limit::budget`]; the item itself is written by `store`.

use std::{fmt::Display, time::Duration};

use futures_util::future::join_all;

use crate::{
    app::App,
    clock::{Timestamp, millis},
    secrets::KeyPurpose,
    store::{GcraUpdate, LimitDecision, StoreError},
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
    /// Guessing a password, by whom it is guessed of and from which network.
    NetworkPasswordAttempts,
    /// The same, from all networks together.
    AccountPasswordAttempts,
    /// The same, by who has a token of the account: counted by itself, so that strangers keep no
    /// owner from what a password guards, and many networks with one stolen token guess hardly more
    /// than one. It holds in networks that are known too: an owner it keeps out logs everybody out.
    TokenHolderPasswordAttempts,
    /// Any request about an account that UIA guards.
    Account,
    /// Any request to log in.
    Login,
    /// Any request for new tokens.
    Refresh,
    /// Making a guest.
    Guest,
    /// Opening or submitting a fallback page.
    FallbackPage,
    /// Any request for a validation message, whether one goes out or not.
    RequestToken,
    /// Submitting the code or the link of one.
    SubmitToken,
    /// Asking an identity server for something.
    IdServer,
    /// A message that goes out, by network.
    Message,
    /// A mail, by address and network: one network does not spend what others need. This and those
    /// that follow do not count what leads to a new password.
    MailFromNetwork,
    /// A mail, by address.
    MailAddress,
    /// A text message, by number and network.
    SmsFromNetwork,
    /// A text message, by number.
    SmsNumber,
    /// The same, by the number without its last digits: blocks that one party may own.
    SmsPrefix,
    /// The same, by country.
    SmsCountry,
    /// The mail that leads to a new password, by address and network: here and below it is counted
    /// by itself, so that nobody keeps an owner from it by asking for other messages.
    ResetMailFromNetwork,
    /// The same, by address.
    ResetMailAddress,
    /// The text message that leads to a new password, by number and network.
    ResetSmsFromNetwork,
    /// The same, by number.
    ResetSmsNumber,
    /// The same, by the number without its last digits.
    ResetSmsPrefix,
    /// The same, by country.
    ResetSmsCountry,
    /// The mail or text message that says that an account exists already, by address or number.
    KnownNotice,
    /// Telling an account's owner what has been done to it, by account and by what it was: whoever
    /// does something again and again makes a mailer of it, and one who has used up the one does
    /// not keep the other quiet.
    Notice,
    /// Adding an address, by account: each of its mailboxes is told of it.
    Addition,
}

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many at once.
    pub burst: u32,
    /// How long until one more is allowed.
    pub interval: Duration,
}

impl Limit {
    /// The table of defaults; all by network unless the limit says otherwise.
    pub const fn budget(self) -> Quota {
        let (burst, seconds) = match self {
            Self::Register => (240, 1),
            Self::Available => (60, 1),
            Self::RegistrationToken | Self::Guest | Self::NetworkPasswordAttempts => (10, 60),
            Self::UiaSession => (30, 10),
            Self::Captcha => (20, 15),
            Self::PasswordHash => (20, 30),
            Self::AccountPasswordAttempts | Self::TokenHolderPasswordAttempts => (100, 10 * 60),
            Self::Account
            | Self::Login
            | Self::Refresh
            | Self::FallbackPage
            | Self::RequestToken
            | Self::SubmitToken
            | Self::IdServer => (60, 2),
            Self::Message => (20, 60),
            Self::MailFromNetwork | Self::ResetMailFromNetwork => (5, 10 * 60),
            Self::MailAddress | Self::ResetMailAddress => (10, 5 * 60),
            Self::SmsFromNetwork | Self::ResetSmsFromNetwork => (4, 20 * 60),
            Self::SmsNumber | Self::ResetSmsNumber => (8, 10 * 60),
            Self::SmsPrefix | Self::ResetSmsPrefix => (20, 3 * 60),
            Self::SmsCountry | Self::ResetSmsCountry => (200, 10),
            Self::KnownNotice => (1, 24 * 60 * 60),
            Self::Notice | Self::Addition => (10, 60 * 60),
        };
        Quota {
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
            Self::NetworkPasswordAttempts => "password-guess",
            Self::AccountPasswordAttempts => "account-guess",
            Self::TokenHolderPasswordAttempts => "own-guess",
            Self::Account => "account",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Guest => "guest",
            Self::FallbackPage => "fallback-page",
            Self::RequestToken => "request-token",
            Self::SubmitToken => "submit-token",
            Self::IdServer => "id-server",
            Self::Message => "message",
            Self::MailFromNetwork => "mail-from-network",
            Self::MailAddress => "mail-address",
            Self::SmsFromNetwork => "sms-from-network",
            Self::SmsNumber => "sms-number",
            Self::SmsPrefix => "sms-prefix",
            Self::SmsCountry => "sms-country",
            Self::ResetMailFromNetwork => "reset-mail-from-network",
            Self::ResetMailAddress => "reset-mail-address",
            Self::ResetSmsFromNetwork => "reset-sms-from-network",
            Self::ResetSmsNumber => "reset-sms-number",
            Self::ResetSmsPrefix => "reset-sms-prefix",
            Self::ResetSmsCountry => "reset-sms-country",
            Self::KnownNotice => "known-notice",
            Self::Notice => "notice",
            Self::Addition => "addition",
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

fn gcra_update(budget: Quota, now: Timestamp) -> GcraUpdate {
    let cost = millis(budget.interval);
    GcraUpdate {
        now,
        cost,
        tolerance: cost.saturating_mul(i64::from(budget.burst) - 1),
    }
}

/// Spends one request of the budget of `whom`: a network, most of the time.
pub async fn spend(app: &App, limit: Limit, whom: impl Display) -> Result<(), LimitError> {
    if !app.config.limits {
        return Ok(());
    }
    let attempt = gcra_update(limit.budget(), app.clock.now());
    let cell = cell(app, limit, whom);
    judge(app.store.spend_limit(&cell, attempt).await?, attempt)
}

/// Spends one request of a budget that is never more than one, in the name of `holder`: asked again
/// by the same, who was interrupted, it is the same request.
pub async fn hold(
    app: &App,
    limit: Limit,
    whom: impl Display,
    holder: &str,
) -> Result<(), LimitError> {
    if !app.config.limits {
        return Ok(());
    }
    let attempt = gcra_update(limit.budget(), app.clock.now());
    debug_assert_eq!(attempt.tolerance, 0, "one holder at a time");
    let cell = cell(app, limit, whom);
    judge(app.store.hold_limit(&cell, attempt, holder).await?, attempt)
}

fn judge(verdict: LimitDecision, attempt: GcraUpdate) -> Result<(), LimitError> {
    match verdict {
        LimitDecision::Allowed => Ok(()),
        LimitDecision::Exceeded { arrival } => Err(LimitError::Exceeded {
            retry_after: arrival.since(
                attempt
                    .now
                    .plus(Duration::from_millis(attempt.tolerance.unsigned_abs())),
            ),
        }),
    }
}

/// Gives one request back: a guess that was right is no guess.
pub async fn refund(app: &App, limit: Limit, whom: impl Display) -> Result<(), LimitError> {
    if app.config.limits {
        app.store
            .refund_limit(&cell(app, limit, whom), millis(limit.budget().interval))
            .await?;
    }
    Ok(())
}

/// Spends one request of several budgets at once, or of none of them.
pub async fn spend_all(app: &App, budgets: &[(Limit, String)]) -> Result<(), LimitError> {
    let verdicts = join_all(budgets.iter().map(|(limit, whom)| spend(app, *limit, whom))).await;
    if verdicts.iter().all(Result::is_ok) {
        return Ok(());
    }
    let spent: Vec<_> = budgets
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| verdict.is_ok())
        .map(|(budget, _)| budget.clone())
        .collect();
    refund_all(app, &spent).await;
    verdicts.into_iter().collect()
}

/// Gives one request of several budgets back. Losing a refund is no reason to fail.
pub async fn refund_all(app: &App, budgets: &[(Limit, String)]) {
    join_all(
        budgets
            .iter()
            .map(|(limit, whom)| refund(app, *limit, whom)),
    )
    .await;
}

/// How long a network is known after somebody was recognised there.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);
const KNOWN_NETWORK: &str = "known-network";

/// Remembers for a month that `whom`, a user and a network, have to do with one another.
pub async fn remember_network(app: &App, whom: impl Display) -> Result<(), StoreError> {
    if app.config.limits {
        let until = app.clock.now().plus(KNOWN_FOR);
        app.store
            .remember_in_cell(&cell_of(app, KNOWN_NETWORK, whom), until)
            .await?;
    }
    Ok(())
}

/// Whether that is remembered.
pub async fn knows_network(app: &App, whom: impl Display) -> Result<bool, StoreError> {
    let until = app
        .store
        .remembered_in_cell(&cell_of(app, KNOWN_NETWORK, whom))
        .await?;
    Ok(until.is_some_and(|until| app.clock.now() < until))
}

fn cell(app: &App, limit: Limit, whom: impl Display) -> String {
    cell_of(app, limit.name(), whom)
}

/// A cell's key: hashed, so that the table names no network and no address.
fn cell_of(app: &App, name: &str, whom: impl Display) -> String {
    let whom = whom.to_string();
    let hash = app.config.keys.hash(KeyPurpose::LimitKey, whom.as_bytes());
    format!("{name}#{hash}")
}
