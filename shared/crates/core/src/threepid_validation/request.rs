//! The request for a validation message.

use super::{
    ValidationPurpose, ValidationState, origin,
    quotas::{self, NetworkQuotas},
    session::{NEXT_LINK, is_active, link_token, seal_context, sid, start},
    submit_token,
};
use crate::{
    app::App,
    client_network::ClientNetwork,
    config::Privacy,
    ids::Localpart,
    limits::{self, Limit, LimitError},
    outbox::{Content, NewMessage},
    secrets::{KeyPurpose, Secret},
    store::{SaveValidationError, StoreError, ValidationRow},
    threepid::{Medium, ThreePid},
};

/// The maximum number of text messages of a session with one nonce: an attacker may guess the code of each.
const MAX_TEXT_MESSAGES: i64 = 3;
/// The maximum number of e-mails of a session with one nonce.
const MAX_EMAILS: i64 = 20;
/// The maximum number of tries to write a session while concurrent requests change it.
const TRIES: u32 = 12;

/// A request for a validation message.
pub struct ValidationRequest<'a> {
    /// The operation that the 3PID is validated for.
    pub purpose: ValidationPurpose,
    /// The recipient of the message.
    pub to: &'a ThreePid,
    /// The country of a phone number, which has its own quota.
    pub country: Option<&'a str>,
    /// The secret that the client has chosen for the session.
    pub client_secret: &'a Secret,
    /// A message is sent only if this number is higher than in all earlier requests (3PID-20).
    pub send_attempt: i64,
    /// The checked URL to which the browser is redirected after the validation.
    pub next_link: Option<String>,
}

crate::opaque_debug!(ValidationRequest<'_>);

/// The reason why no message was enqueued.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The 3PID belongs to an account, and the operator's settings disclose this (3PID-05).
    #[error("the address belongs to an account")]
    InUse,
    /// The 3PID belongs to no account, and the operator's settings disclose this (3PID-06).
    #[error("the address belongs to no account")]
    NotFound,
    /// A quota of the 3PID or of the client network is exhausted.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Enqueues a message if one is due, and returns the session ID. The reads and writes do not depend on whether the
/// 3PID belongs to an account (3PID-15). The account is looked up only if the operator has chosen `tell`.
pub async fn request(
    app: &App,
    request: ValidationRequest<'_>,
    network: ClientNetwork,
) -> Result<String, RequestError> {
    let sid = sid(
        &app.config.keys,
        request.purpose,
        request.to,
        request.client_secret,
    );
    let quotas = quotas::of_network(&request, network);
    let (charged, found, allowed) = tokio::join!(
        // The futures are on the heap, because `join!` would otherwise keep all of them in one large future.
        Box::pin(charge(app, &quotas, network)),
        Box::pin(app.store.find_validation(&sid)),
        Box::pin(disclose_ownership(app, &request))
    );
    // The limit of requests comes first: it counts each request, even if no message is sent.
    let charged = charged?;
    let requester = Requester {
        network,
        is_charged: charged.is_ok(),
    };
    let outcome = match (allowed, found) {
        (Err(error), _) => Err(error),
        (Ok(()), Err(error)) => Err(error.into()),
        (Ok(()), Ok(found)) => Box::pin(enqueue(app, &request, &sid, found, &requester)).await,
    };
    let may_be_enqueued = matches!(outcome, Ok(Outcome::Enqueued | Outcome::Unknown(_)));
    if charged.is_ok() && !may_be_enqueued {
        quotas.refund(app).await;
    }
    match outcome? {
        Outcome::Enqueued | Outcome::NotNeeded => Ok(sid),
        Outcome::OverQuota => charged.map(|()| sid).map_err(RequestError::from),
        Outcome::Unknown(error) => Err(error.into()),
    }
}

/// The network of a request, and whether its quotas allow a message.
struct Requester {
    network: ClientNetwork,
    is_charged: bool,
}

/// Charges the request, and a message to all quotas of the client network or to none of them. The outer error is the
/// error of the request limit; then nothing else is charged. The blocks around an IPv6 network are charged last, so
/// that a network that has used up its own quotas does not use those of its neighbours.
pub(super) async fn charge(
    app: &App,
    quotas: &NetworkQuotas,
    network: ClientNetwork,
) -> Result<Result<(), LimitError>, LimitError> {
    let (counted, charged) = tokio::join!(
        limits::consume(app, Limit::RequestToken, network),
        limits::consume_all(app, &quotas.own)
    );
    let wider = match (&counted, charged) {
        (_, Err(error)) => return counted.map(|()| Err(error)),
        (Ok(()), Ok(())) => limits::consume_in_order(app, &quotas.wider).await,
        (Err(_), Ok(())) => Ok(()),
    };
    if counted.is_err() || wider.is_err() {
        limits::refund_all(app, &quotas.own).await;
    }
    counted.map(|()| wider)
}

/// The outcome of a request.
enum Outcome {
    Enqueued,
    /// The message was already enqueued (3PID-21), or the 3PID is already validated.
    NotNeeded,
    /// A message is due, but a quota is exhausted.
    OverQuota,
    /// The write failed, but may have enqueued the message. Therefore its charge is not refunded.
    Unknown(StoreError),
}

async fn enqueue(
    app: &App,
    request: &ValidationRequest<'_>,
    sid: &str,
    mut found: Option<ValidationRow>,
    requester: &Requester,
) -> Result<Outcome, RequestError> {
    for attempt in 0..TRIES {
        let Some((row, message)) = next_message(app, request, sid, found, requester.network)?
        else {
            return Ok(Outcome::NotNeeded);
        };
        if requester.is_charged {
            match app.store.save_validation(&row, Some(&message)).await {
                Ok(()) => return Ok(Outcome::Enqueued),
                Err(SaveValidationError::Conflict) => app.store.wait(attempt).await,
                Err(SaveValidationError::Store(error)) => return Ok(Outcome::Unknown(error)),
            }
        } else if attempt > 0 {
            return Ok(Outcome::OverQuota);
        }
        // A concurrent request has changed the session. Without a quota, read the session once more: a concurrent
        // duplicate of this request may have used the last of the quota and enqueued the message.
        found = app.store.find_validation(sid).await?;
    }
    Err(StoreError::Contended.into())
}

/// The session after this request, and the message that is due. Returns `None` if no message is due.
fn next_message(
    app: &App,
    request: &ValidationRequest<'_>,
    sid: &str,
    found: Option<ValidationRow>,
    network: ClientNetwork,
) -> Result<Option<(ValidationRow, NewMessage)>, RequestError> {
    let now = app.clock.now();
    let version = found.as_ref().map_or(0, |row| row.version) + 1;
    let row = match found.filter(|row| is_active(row, now)) {
        Some(row)
            if row.state == ValidationState::Validated
                || request.send_attempt <= row.send_attempt =>
        {
            return Ok(None);
        }
        Some(row) => ValidationRow {
            version,
            send_attempt: request.send_attempt,
            ..with_next_send(row, app)?
        },
        None => {
            let (purpose, to) = (request.purpose, request.to);
            ValidationRow {
                version,
                ..start(sid, purpose, to, request.send_attempt, now, &*app.rng)
            }
        }
    };
    let next_link = request
        .next_link
        .as_ref()
        .map(|link| seal(app, &row, request, link));
    let row = ValidationRow {
        next_link,
        requested_at: Some(now),
        network: Some(origin::seal(app, &row, network)),
        is_known_network: false,
        country: request.country.map(str::to_owned),
        ..row
    };
    let content = Content::Validation {
        sid: sid.to_owned(),
        session_nonce: row.session_nonce.clone(),
        send: row.sends,
    };
    let message = NewMessage::new(content, now, &*app.rng);
    Ok(Some((row, message)))
}

/// An active session with one more message.
fn with_next_send(row: ValidationRow, app: &App) -> Result<ValidationRow, LimitError> {
    let max = match row.threepid.medium {
        Medium::Email => MAX_EMAILS,
        Medium::Msisdn => MAX_TEXT_MESSAGES,
    };
    if row.sends >= max {
        let retry_after = row.expires.since(app.clock.now());
        return Err(LimitError::Exceeded { retry_after });
    }
    let sends = row.sends + 1;
    // Too many wrong guesses have invalidated all earlier codes; only the new code is valid.
    let (first_valid_send, wrong_guesses) = if row.wrong_guesses >= submit_token::MAX_GUESSES {
        (sends, 0)
    } else {
        (row.first_valid_send, row.wrong_guesses)
    };
    Ok(ValidationRow {
        sends,
        first_valid_send,
        wrong_guesses,
        suppressed: false,
        ..row
    })
}

/// If the operator has chosen `tell`, rejects the request if the 3PID is bound, or is not bound, depending on the
/// purpose.
async fn disclose_ownership(
    app: &App,
    request: &ValidationRequest<'_>,
) -> Result<(), RequestError> {
    if app.config.threepid_privacy == Privacy::Quiet {
        return Ok(());
    }
    check_owner(app, request).await.map(|_| ())
}

/// Checks that the 3PID belongs to an account, or to no account, as the purpose requires. Returns the account.
pub(super) async fn check_owner(
    app: &App,
    request: &ValidationRequest<'_>,
) -> Result<Option<Localpart>, RequestError> {
    let owner = app.store.find_owner(request.to).await?;
    match (request.purpose, owner) {
        (ValidationPurpose::Register | ValidationPurpose::Add, None) => Ok(None),
        (ValidationPurpose::Reset, Some(owner)) => Ok(Some(owner)),
        (ValidationPurpose::Register | ValidationPurpose::Add, Some(_)) => Err(RequestError::InUse),
        (ValidationPurpose::Reset, None) => Err(RequestError::NotFound),
    }
}

/// The sealed `next_link`. Only a request with the link token (e-mail) or the `client_secret` (phone) can open it.
fn seal(
    app: &App,
    row: &ValidationRow,
    request: &ValidationRequest<'_>,
    next_link: &str,
) -> Vec<u8> {
    let token;
    let salt = match row.threepid.medium {
        Medium::Email => {
            token = link_token(&app.config.keys, &row.sid, &row.session_nonce);
            &token
        }
        Medium::Msisdn => request.client_secret,
    };
    app.config.keys.seal(
        KeyPurpose::NextLink,
        salt.reveal().as_bytes(),
        &seal_context(row, NEXT_LINK),
        next_link.as_bytes(),
        &*app.rng,
    )
}
