//! The submission of a code or of the token of a link.

mod guess;

use guess::CodeGuess;

use super::{
    LIFETIME, RequestOrigin, ValidationPurpose, ValidationState, origin,
    session::{NEXT_LINK, code_fields, has_client_secret, is_active, link_fields, seal_context},
};
use crate::{
    app::App,
    client_network::ClientNetwork,
    config::{Config, EmailLink},
    limits::{self, Limit, LimitError},
    secrets::{KeyPurpose, Secret, constant_time_eq},
    store::{StoreError, ValidationRow},
    threepid::Medium,
    threepids::link,
};

/// The number of wrong codes that invalidates all codes sent so far (3PID-48).
pub(super) const MAX_GUESSES: i64 = 5;

/// A submitted code or link token.
#[derive(Debug)]
pub struct SubmittedToken<'a> {
    /// The medium in the request's path.
    pub medium: Medium,
    /// The session ID.
    pub sid: &'a str,
    /// The client's secret. A link in an e-mail does not contain it.
    pub client_secret: Option<&'a Secret>,
    /// The code or the link token.
    pub token: &'a Secret,
}

/// A session for which the right token was submitted.
#[derive(Debug)]
pub struct MatchedSession {
    /// The purpose of the session.
    pub purpose: ValidationPurpose,
    /// The URL to which the browser is redirected after the validation, if the client has given one that the operator
    /// allows.
    pub next_link: Option<String>,
    /// The origin of the request for the message, if it is recorded.
    pub origin: Option<RequestOrigin>,
}

/// The reason why a session was not validated.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// There is no such session, or the `client_secret` is wrong. The response is the same for both (3PID-44).
    #[error("there is no such validation session")]
    Unknown,
    /// The session has expired, is spent or is invalidated, or its codes are invalidated (3PID-43).
    #[error("the validation session has expired")]
    Expired,
    /// The link is right, and its 3PID has been validated and used. The response is that of an expired session, except
    /// on the page of the link.
    #[error("the validated address has been used")]
    Spent,
    /// The token is wrong (3PID-42).
    #[error("the token is wrong")]
    Incorrect,
    /// A rate limit of the client network or of the phone number is exceeded.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outcome of opening a link, or of a browser request with a code in its query.
#[derive(Debug)]
pub enum LinkOutcome {
    /// The response is a confirmation page. Nothing is validated yet.
    NeedsConfirmation(MatchedSession),
    /// The 3PID is validated.
    Validated(MatchedSession),
}

/// Whether a link leads to a confirmation page instead of validating the address at once. The operator chooses this,
/// except for a password reset, which always requires confirmation (3PID-52): many e-mail servers open every link
/// in a message automatically, and an attacker who requested the reset would get the account.
pub fn requires_confirmation(config: &Config, purpose: ValidationPurpose) -> bool {
    let link = config.mail.as_ref().map(|mail| mail.link);
    purpose == ValidationPurpose::Reset || link != Some(EmailLink::Direct)
}

/// Handles a browser request for a link or with a code in its query. A HEAD request only finds the session.
pub async fn open_link(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
    is_head: bool,
) -> Result<LinkOutcome, SubmitError> {
    let row = find(app, token, network).await?;
    if is_head {
        return Ok(LinkOutcome::NeedsConfirmation(matched(app, &row, token)));
    }
    if row.threepid.medium == Medium::Email && requires_confirmation(&app.config, row.purpose) {
        check_link_token(app, &row, token)?;
        let session = matched(app, &row, token);
        return Ok(LinkOutcome::NeedsConfirmation(session));
    }
    validate(app, &row, token, network)
        .await
        .map(LinkOutcome::Validated)
}

fn matched(app: &App, row: &ValidationRow, token: &SubmittedToken<'_>) -> MatchedSession {
    MatchedSession {
        purpose: row.purpose,
        next_link: next_link(app, row, token),
        origin: origin::of_row(app, row, is_known_network(app, row)),
    }
}

/// Whether the account owner has used the network of the request. `None` if the session is not for a password reset,
/// because the other purposes have no account, or if rate limits are off.
fn is_known_network(app: &App, row: &ValidationRow) -> Option<bool> {
    let is_recorded = app.config.limits && row.purpose == ValidationPurpose::Reset;
    is_recorded.then_some(row.is_known_network)
}

fn check_link_token(
    app: &App,
    row: &ValidationRow,
    token: &SubmittedToken<'_>,
) -> Result<(), SubmitError> {
    match row.threepid.medium {
        Medium::Email if is_link_token(app, row, token.token) => Ok(()),
        Medium::Email | Medium::Msisdn => Err(SubmitError::Incorrect),
    }
}

/// Validates the session if the token is right. A repeated submission succeeds too (3PID-41).
pub async fn submit(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<MatchedSession, SubmitError> {
    let row = find(app, token, network).await?;
    validate(app, &row, token, network).await
}

async fn validate(
    app: &App,
    row: &ValidationRow,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<MatchedSession, SubmitError> {
    let mut guess = None;
    let guesses = match row.threepid.medium {
        Medium::Email => {
            check_link_token(app, row, token)?;
            0
        }
        Medium::Msisdn => {
            // A code that the session does not accept must not be charged to the quota of the number: otherwise one
            // message would be enough to use it up.
            if row.wrong_guesses >= MAX_GUESSES {
                return Err(SubmitError::Expired);
            }
            // The guess is counted before the comparison, so that concurrent requests cannot make more guesses.
            let charged = CodeGuess::charge(app, row, network).await?;
            let Some(counted) = app.store.count_wrong_guess(row, MAX_GUESSES).await? else {
                guess::refund(app, Some(charged)).await;
                return Err(SubmitError::Expired);
            };
            if !is_valid_code(app, &counted, token.token) {
                return Err(charged.wrong());
            }
            guess = Some(charged);
            1
        }
    };
    let now = app.clock.now();
    let is_repeated = row.state == ValidationState::Validated && guesses == 0;
    let expires = now.plus(LIFETIME);
    if !is_repeated {
        let (marked, ()) = tokio::join!(
            app.store.mark_validated(row, guesses, now, expires),
            guess::refund(app, guess)
        );
        if !marked? {
            return Err(SubmitError::Expired);
        }
    }
    Ok(matched(app, row, token))
}

/// Invalidates the session of a link: the recipient of the e-mail did not request it.
pub async fn report_not_me(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<(), SubmitError> {
    let row = find(app, token, network).await?;
    check_link_token(app, &row, token)?;
    app.store.invalidate_validation(&row).await?;
    Ok(())
}

async fn find(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<ValidationRow, SubmitError> {
    let (counted, row) = tokio::join!(
        limits::consume(app, Limit::SubmitToken, network),
        app.store.find_validation(token.sid)
    );
    counted?;
    let row = row?
        .filter(|row| row.threepid.medium == token.medium)
        .ok_or(SubmitError::Unknown)?;
    let is_permitted = match (token.client_secret, row.threepid.medium) {
        (Some(secret), _) => has_client_secret(&app.config.keys, &row, secret),
        (None, Medium::Email) => true,
        (None, Medium::Msisdn) => false,
    };
    if !is_permitted {
        return Err(SubmitError::Unknown);
    }
    if is_active(&row, app.clock.now()) {
        return Ok(row);
    }
    let is_used = row.state == ValidationState::Spent
        && app.clock.now() < row.expires
        && check_link_token(app, &row, token).is_ok();
    Err(if is_used {
        SubmitError::Spent
    } else {
        SubmitError::Expired
    })
}

fn is_link_token(app: &App, row: &ValidationRow, token: &Secret) -> bool {
    let fields = link_fields(&row.sid, &row.session_nonce);
    let keys = &app.config.keys;
    keys.hash_matches(KeyPurpose::ValidationToken, &fields, token.reveal()) && !row.suppressed
}

/// Whether the token is the code of a message that is still valid. All codes are compared, so that the time does not
/// depend on which one matches. Spaces are ignored.
fn is_valid_code(app: &App, row: &ValidationRow, token: &Secret) -> bool {
    let entered: Secret = Secret::new(token.reveal().split_whitespace().collect());
    let mut is_match = false;
    for send in row.first_valid_send..=row.sends {
        let fields = code_fields(&row.sid, &row.session_nonce, send);
        for code in app.config.keys.codes(KeyPurpose::ValidationToken, &fields) {
            is_match |= constant_time_eq(code.reveal(), entered.reveal());
        }
    }
    is_match && !row.suppressed
}

fn next_link(app: &App, row: &ValidationRow, token: &SubmittedToken<'_>) -> Option<String> {
    let salt = match row.threepid.medium {
        Medium::Email => token.token,
        Medium::Msisdn => token.client_secret?,
    };
    let sealed = row.next_link.as_ref()?;
    let opened = app.config.keys.open(
        KeyPurpose::NextLink,
        salt.reveal().as_bytes(),
        &seal_context(row, NEXT_LINK),
        sealed,
    );
    let text = String::from_utf8(opened.ok()?).ok()?;
    // The operator may have changed the allowed hosts since the request.
    let text = link::check(&app.config, &text).ok().flatten()?;
    Some(link::with_sid(&text, &row.sid))
}
