//! Proofs: validation sessions from the request for a message to the proof that is spent.
//!
//! One state machine for both media and every purpose: `pending → validated → spent`, or `burned`
//! by whoever receives the message and knows nothing of it. A session's id is derived from what it
//! is about, so it is the same call after call; what expired, was spent or burned begins anew under
//! that id as another *generation*, whose links and codes are others. Neither is stored: both are
//! derived from the generation by whoever needs them.

mod begin;
mod budgets;
mod elsewhere;
mod handed;
mod submit;

pub use crate::validation_session::{
    DelegatedSession, LIFETIME, ValidatedThreePid, ValidationPurpose, ValidationState,
};
pub use elsewhere::before_delegating;
pub use handed::{hand_over, link};
pub use submit::{
    LinkOutcome, MatchedSession, SubmitError, SubmittedToken, asks, follow, refuse, submit,
};

use begin::begin;

use super::{Medium, ThreePid};
use crate::{
    app::App,
    client_network::ClientNetwork,
    clock::Timestamp,
    config::Privacy,
    limits::{self, Limit, LimitError},
    outbox::{Content, NewMessage},
    secrets::{KeyPurpose, KeyRing, Secret, fields},
    store::{SaveValidationError, StoreError, ValidationRow},
};

/// How many text messages one generation may call for: each is a code that can be guessed.
const MAX_CODES: i64 = 3;
/// How many mails.
const MAX_MAILS: i64 = 20;
/// The longest `client_secret`, in characters (3PID-01).
const MAX_CLIENT_SECRET: usize = 255;
/// How often a session is read again that others write to at the same moment.
const TRIES: u32 = 12;

/// What a client asks for.
pub struct ValidationRequest<'a> {
    /// What the proof is to be good for.
    pub purpose: ValidationPurpose,
    /// Where the message goes.
    pub to: &'a ThreePid,
    /// The country of a phone number, whose budget it is charged to.
    pub country: Option<&'a str>,
    /// By which the client knows its session.
    pub client_secret: &'a Secret,
    /// A message goes out only if this is higher than before (3PID-20).
    pub attempt: i64,
    /// Where the browser goes after validation, judged already.
    pub next_link: Option<String>,
}

crate::opaque_debug!(ValidationRequest<'_>);

/// Why no message was called for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Strangers are told here that the address has an account (3PID-05).
    #[error("the address belongs to an account")]
    InUse,
    /// Strangers are told here that it has none (3PID-06).
    #[error("the address belongs to no account")]
    NotFound,
    /// Too many messages, to this address or from this network.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether `text` is of the grammar of a `client_secret` or a `sid` (3PID-01, 3PID-04).
pub fn is_opaque_id(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b".=_-".contains(&b);
    (1..=MAX_CLIENT_SECRET).contains(&text.len()) && text.bytes().all(legal)
}

/// The session's id. An address is in it with its purpose and the client's secret, so that nothing
/// asked for one of them ever proves another, and a known address gives no other id than an unknown
/// one.
pub fn sid(
    keys: &KeyRing,
    purpose: ValidationPurpose,
    threepid: &ThreePid,
    client_secret: &Secret,
) -> String {
    keys.hash(
        KeyPurpose::ValidationSessionId,
        &about(purpose, threepid, client_secret),
    )
}

/// Whether this is the secret that the session was asked for with.
pub fn is_of(keys: &KeyRing, row: &ValidationRow, client_secret: &Secret) -> bool {
    let about = about(row.purpose, &row.threepid, client_secret);
    keys.hash_matches(KeyPurpose::ValidationSessionId, &about, &row.sid)
}

fn about(purpose: ValidationPurpose, threepid: &ThreePid, client_secret: &Secret) -> Vec<u8> {
    fields(&[
        purpose.as_str().as_bytes(),
        threepid.medium.as_str().as_bytes(),
        threepid.address.as_bytes(),
        client_secret.reveal().as_bytes(),
    ])
}

/// The token of the link in a mail of this generation.
pub fn link_token(keys: &KeyRing, sid: &str, generation: &str) -> Secret {
    Secret::new(keys.hash(KeyPurpose::ValidationToken, &link_fields(sid, generation)))
}

fn link_fields(sid: &str, generation: &str) -> Vec<u8> {
    fields(&[b"link", sid.as_bytes(), generation.as_bytes()])
}

/// The code in text message number `send` of this generation.
pub fn code(keys: &KeyRing, sid: &str, generation: &str, send: i64) -> Secret {
    let mut codes = keys.codes(
        KeyPurpose::ValidationToken,
        &code_fields(sid, generation, send),
    );
    codes.swap_remove(0)
}

fn code_fields(sid: &str, generation: &str, send: i64) -> Vec<u8> {
    fields(&[
        b"code",
        sid.as_bytes(),
        generation.as_bytes(),
        &send.to_be_bytes(),
    ])
}

/// Calls for a message if one is due, and says which session it belongs to. For an address with an
/// account and for one without, the same reads and writes happen (3PID-15); only where the operator
/// chose to tell is an account looked at.
pub async fn request(
    app: &App,
    wish: ValidationRequest<'_>,
    network: ClientNetwork,
) -> Result<String, RequestError> {
    let sid = sid(&app.config.keys, wish.purpose, wish.to, wish.client_secret);
    let budgets = budgets::of(&wish, network);
    let (counted, charged, found, told) = tokio::join!(
        // On the heap, for all of them are awaited in one place.
        Box::pin(limits::spend(app, Limit::RequestToken, network)),
        Box::pin(limits::spend_all(app, &budgets)),
        Box::pin(app.store.find_proof(&sid)),
        Box::pin(tell(app, &wish))
    );
    let outcome = match (counted, told, found) {
        // The request itself counts, whether a message goes out or not, and whatever is told.
        (Err(error), _, _) => Err(error.into()),
        (_, Err(error), _) => Err(error),
        (_, _, Err(error)) => Err(error.into()),
        (Ok(()), Ok(()), Ok(found)) => {
            Box::pin(call_for(app, &wish, &sid, found, charged.is_ok())).await
        }
    };
    if charged.is_ok() && !matches!(outcome, Ok(Outcome::Sent)) {
        limits::refund_all(app, &budgets).await;
    }
    match outcome? {
        Outcome::Sent | Outcome::NotNeeded => Ok(sid),
        Outcome::NotPaid => charged.map(|()| sid).map_err(RequestError::from),
    }
}

/// What became of a request.
enum Outcome {
    Sent,
    /// The message has been called for already (3PID-21), or is not needed any more.
    NotNeeded,
    /// It would be, but not within the budgets.
    NotPaid,
}

async fn call_for(
    app: &App,
    wish: &ValidationRequest<'_>,
    sid: &str,
    mut found: Option<ValidationRow>,
    paid: bool,
) -> Result<Outcome, RequestError> {
    for attempt in 0..TRIES {
        let Some((row, message)) = next(app, wish, sid, found)? else {
            return Ok(Outcome::NotNeeded);
        };
        if paid {
            match app.store.save_proof(&row, Some(&message)).await {
                Ok(()) => return Ok(Outcome::Sent),
                Err(SaveValidationError::Moved) => app.store.wait(attempt).await,
                Err(SaveValidationError::Store(error)) => return Err(error.into()),
            }
        } else if attempt > 0 {
            return Ok(Outcome::NotPaid);
        }
        // Somebody was quicker; or the budget's last went into the message of a twin.
        found = app.store.find_proof(sid).await?;
    }
    Err(StoreError::Contended.into())
}

/// The session with the message that the request calls for; `None` if it calls for none.
fn next(
    app: &App,
    wish: &ValidationRequest<'_>,
    sid: &str,
    found: Option<ValidationRow>,
) -> Result<Option<(ValidationRow, NewMessage)>, RequestError> {
    let now = app.clock.now();
    let version = found.as_ref().map_or(0, |row| row.version) + 1;
    let begun = found.filter(|row| is_alive(row, now));
    let row = match begun {
        Some(row) if row.state == ValidationState::Validated || wish.attempt <= row.attempt => {
            return Ok(None);
        }
        Some(row) => {
            let most = match row.threepid.medium {
                Medium::Email => MAX_MAILS,
                Medium::Msisdn => MAX_CODES,
            };
            if row.sends >= most {
                let retry_after = row.expires.since(now);
                return Err(LimitError::Exceeded { retry_after }.into());
            }
            // Five wrong guesses have burned the codes so far; the next message brings another.
            let burned = row.wrong >= submit::MAX_GUESSES;
            ValidationRow {
                version,
                attempt: wish.attempt,
                sends: row.sends + 1,
                live_from: if burned { row.sends + 1 } else { row.live_from },
                wrong: if burned { 0 } else { row.wrong },
                withheld: false,
                ..row
            }
        }
        None => ValidationRow {
            version,
            ..begin(sid, wish.purpose, wish.to, wish.attempt, now, &*app.rng)
        },
    };
    let next_link = wish
        .next_link
        .as_ref()
        .map(|link| seal(app, &row, wish, link));
    let row = ValidationRow { next_link, ..row };
    let content = Content::Validation {
        sid: sid.to_owned(),
        generation: row.generation.clone(),
        send: row.sends,
    };
    let message = NewMessage::new(content, now, &*app.rng);
    Ok(Some((row, message)))
}

/// Whether the session is one that goes on; otherwise the next request begins anew.
pub fn is_alive(row: &ValidationRow, now: Timestamp) -> bool {
    let open = match row.state {
        ValidationState::Pending | ValidationState::Validated => true,
        ValidationState::Spent | ValidationState::Burned => false,
    };
    open && now < row.expires
}

/// Where strangers are told who has an account: looks, for whom that would be a fault.
async fn tell(app: &App, wish: &ValidationRequest<'_>) -> Result<(), RequestError> {
    if app.config.threepid_privacy == Privacy::Quiet {
        return Ok(());
    }
    judge_owner(app, wish).await
}

/// Whether an address belongs to somebody, or to nobody, as its purpose needs it.
async fn judge_owner(app: &App, wish: &ValidationRequest<'_>) -> Result<(), RequestError> {
    let owner = app.store.find_owner(wish.to).await?;
    match (wish.purpose, owner) {
        (ValidationPurpose::Register | ValidationPurpose::Add, None)
        | (ValidationPurpose::Reset, Some(_)) => Ok(()),
        (ValidationPurpose::Register | ValidationPurpose::Add, Some(_)) => Err(RequestError::InUse),
        (ValidationPurpose::Reset, None) => Err(RequestError::NotFound),
    }
}

/// Where the browser goes after validation, sealed under what only the message and the client hold.
fn seal(app: &App, row: &ValidationRow, wish: &ValidationRequest<'_>, link: &str) -> Vec<u8> {
    let token;
    let salt = match row.threepid.medium {
        Medium::Email => {
            token = link_token(&app.config.keys, &row.sid, &row.generation);
            &token
        }
        Medium::Msisdn => wish.client_secret,
    };
    app.config.keys.seal(
        KeyPurpose::NextLink,
        salt.reveal().as_bytes(),
        &submit::place(row),
        link.as_bytes(),
        &*app.rng,
    )
}
