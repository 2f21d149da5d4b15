//! Submitting a code or a link's token: guesses are counted before they are compared.

use super::{LIFETIME, ValidationPurpose, ValidationState, code_fields, is_of, link_fields};
use crate::{
    app::App,
    client_network::ClientNetwork,
    config::{Config, EmailLink},
    limits::{self, Limit, LimitError},
    secrets::{KeyPurpose, Secret, constant_time_eq, fields},
    store::{StoreError, ValidationRow},
    threepid::Medium,
    threepids::link,
};

/// How many wrong codes burn those sent so far (3PID-48).
pub(super) const MAX_GUESSES: i64 = 5;

/// What somebody has received and now shows.
#[derive(Debug)]
pub struct SubmittedToken<'a> {
    /// How it was received.
    pub medium: Medium,
    /// The session it belongs to.
    pub sid: &'a str,
    /// The client's secret; a link in a mail does without.
    pub client_secret: Option<&'a Secret>,
    /// The code or the link's token.
    pub token: &'a Secret,
}

/// A session that a right token leads to.
#[derive(Debug)]
pub struct MatchedSession {
    /// What it proves.
    pub purpose: ValidationPurpose,
    /// Where the browser goes after validation, if the client said so and the operator lets it.
    pub next_link: Option<String>,
}

/// Why a session was not validated.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// There is no such session, or the secret is not its own: one answer for both (3PID-44).
    #[error("there is no such validation session")]
    Unknown,
    /// It has ended, or its codes are burned (3PID-43).
    #[error("the validation session has expired")]
    Expired,
    /// Not what was sent (3PID-42).
    #[error("the token is not right")]
    Incorrect,
    /// Too many tries from this network.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What comes of opening a link, or a browser's query with a code.
#[derive(Debug)]
pub enum LinkOutcome {
    /// It leads to a page that asks, and nothing is validated yet.
    Asks(MatchedSession),
    /// The address is validated.
    Validated(MatchedSession),
}

/// Whether a link leads to a page that asks, or validates when it is opened, as the operator chose.
/// The link to a new password always asks (3PID-52): many mailboxes have programs that open every
/// link, and whoever asked for this one would have the account.
pub fn asks(config: &Config, purpose: ValidationPurpose) -> bool {
    let link = config.mail.as_ref().map(|mail| mail.link);
    purpose == ValidationPurpose::Reset || link != Some(EmailLink::Direct)
}

/// Opens a link as a browser does, or submits what is in a query.
pub async fn follow(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<LinkOutcome, SubmitError> {
    let row = find(app, token, network).await?;
    if row.threepid.medium == Medium::Email && asks(&app.config, row.purpose) {
        demand_right_link(app, &row, token)?;
        return Ok(LinkOutcome::Asks(opened(app, &row, token)));
    }
    validate(app, &row, token).await.map(LinkOutcome::Validated)
}

fn opened(app: &App, row: &ValidationRow, token: &SubmittedToken<'_>) -> MatchedSession {
    MatchedSession {
        purpose: row.purpose,
        next_link: next_link(app, row, token),
    }
}

fn demand_right_link(
    app: &App,
    row: &ValidationRow,
    token: &SubmittedToken<'_>,
) -> Result<(), SubmitError> {
    match row.threepid.medium {
        Medium::Email if is_right_link(app, row, token.token) => Ok(()),
        Medium::Email | Medium::Msisdn => Err(SubmitError::Incorrect),
    }
}

/// Validates the session if the token is right; once more is as good as once (3PID-41).
pub async fn submit(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<MatchedSession, SubmitError> {
    let row = find(app, token, network).await?;
    validate(app, &row, token).await
}

async fn validate(
    app: &App,
    row: &ValidationRow,
    token: &SubmittedToken<'_>,
) -> Result<MatchedSession, SubmitError> {
    let guesses = match row.threepid.medium {
        Medium::Email => {
            demand_right_link(app, row, token)?;
            0
        }
        Medium::Msisdn => {
            let counted = app.store.count_guess(row, MAX_GUESSES).await?;
            let counted = counted.ok_or(SubmitError::Expired)?;
            if !is_right_code(app, &counted, token.token) {
                return Err(SubmitError::Incorrect);
            }
            1
        }
    };
    let now = app.clock.now();
    let again = row.state == ValidationState::Validated && guesses == 0;
    let until = now.plus(LIFETIME);
    if !again && !app.store.validate_proof(row, guesses, now, until).await? {
        return Err(SubmitError::Expired);
    }
    Ok(opened(app, row, token))
}

/// Burns the session that a link leads to: whoever got the mail did not ask for it.
pub async fn refuse(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<(), SubmitError> {
    let row = find(app, token, network).await?;
    demand_right_link(app, &row, token)?;
    app.store.burn_proof(&row).await?;
    Ok(())
}

async fn find(
    app: &App,
    token: &SubmittedToken<'_>,
    network: ClientNetwork,
) -> Result<ValidationRow, SubmitError> {
    let (charged, row) = tokio::join!(
        limits::spend(app, Limit::SubmitToken, network),
        app.store.find_proof(token.sid)
    );
    charged?;
    let row = row?.ok_or(SubmitError::Unknown)?;
    let row = Some(row)
        .filter(|row| row.threepid.medium == token.medium)
        .ok_or(SubmitError::Unknown)?;
    let known = match (token.client_secret, row.threepid.medium) {
        (Some(secret), _) => is_of(&app.config.keys, &row, secret),
        (None, Medium::Email) => true,
        (None, Medium::Msisdn) => false,
    };
    if !known {
        return Err(SubmitError::Unknown);
    }
    if !super::is_alive(&row, app.clock.now()) {
        return Err(SubmitError::Expired);
    }
    Ok(row)
}

fn is_right_link(app: &App, row: &ValidationRow, token: &Secret) -> bool {
    let fields = link_fields(&row.sid, &row.generation);
    let keys = &app.config.keys;
    keys.hash_matches(KeyPurpose::ValidationToken, &fields, token.reveal()) && !row.withheld
}

/// Whether it is the code of any message that still counts; takes the same time whichever it is.
/// People type it with spaces where they like.
fn is_right_code(app: &App, row: &ValidationRow, token: &Secret) -> bool {
    let typed: Secret = Secret::new(token.reveal().split_whitespace().collect());
    let mut right = false;
    for send in row.live_from..=row.sends {
        let fields = code_fields(&row.sid, &row.generation, send);
        for code in app.config.keys.codes(KeyPurpose::ValidationToken, &fields) {
            right |= constant_time_eq(code.reveal(), typed.reveal());
        }
    }
    right && !row.withheld
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
        &place(row),
        sealed,
    );
    let text = String::from_utf8(opened.ok()?).ok()?;
    // Judged again: the operator may have changed the list since.
    let text = link::judge(&app.config, &text).ok().flatten()?;
    Some(link::with_sid(&text, &row.sid))
}

/// Where a sealed link belongs.
pub(super) fn place(row: &ValidationRow) -> Vec<u8> {
    fields(&[row.sid.as_bytes(), row.generation.as_bytes(), b"next_link"])
}
