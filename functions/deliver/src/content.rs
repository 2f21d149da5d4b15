//! What a row calls for: what is said, and to whom.
//!
//! It is decided here and not where the message was called for, so that a request for an address
//! with an account costs, reads and writes what any other does (3PID-15).

use std::time::Duration;

use shared::{
    app::App,
    clock::Timestamp,
    limits::{self, Limit, LimitError},
    outbox::{Content, DeliveryResult, Leased},
    request_token::submit_url,
    store::{AccountStatus, StoreError, ValidationRow},
    threepids::{
        Medium, ThreePid,
        proofs::{self, ValidationPurpose, ValidationState},
    },
};

use crate::{
    format_date,
    messages::{Mail, Message, Text},
};

/// A message is sent within this time, or not at all.
pub(crate) const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// A message and its address.
pub(crate) struct OutgoingMessage {
    pub(crate) to: ThreePid,
    pub(crate) message: Message,
}

/// What became of a row in one delivery.
pub(crate) enum Outcome {
    /// It is over; in a word, why, if not with success.
    Over(DeliveryResult, String),
    /// It is to be tried again.
    Again(String),
}

impl From<StoreError> for Outcome {
    fn from(error: StoreError) -> Self {
        Self::Again(error.to_string())
    }
}

pub(crate) fn moot(why: &str) -> Outcome {
    Outcome::Over(DeliveryResult::Skipped, why.to_owned())
}

/// What there is to send, and to whom.
pub(crate) async fn of(
    app: &App,
    leased: &Leased,
    now: Timestamp,
) -> Result<OutgoingMessage, Outcome> {
    if now.since(leased.created) >= GIVE_UP_AFTER {
        return Err(Outcome::Over(DeliveryResult::Expired, "too old".to_owned()));
    }
    match &leased.content {
        Content::Validation {
            sid,
            generation,
            send,
        } => {
            let row = app.store.find_proof(sid).await?;
            let row = row.filter(|row| row.generation == *generation);
            let row = row.ok_or_else(|| moot("the session has begun anew"))?;
            demand_pending(&row, *send, now)?;
            let message = validation(app, leased, &row, *send).await?;
            Ok(OutgoingMessage {
                to: row.threepid,
                message,
            })
        }
        // It tells what has happened, whatever has become of the account since.
        Content::Notice { notice, to } => Ok(OutgoingMessage {
            to: to.clone(),
            message: Message::Mail(Mail::Notice {
                notice: *notice,
                when: format_date::utc(leased.created),
            }),
        }),
        Content::Purge { .. } => Err(moot("it is no message")),
    }
}

/// Whether the session still waits for its message number `send`.
fn demand_pending(row: &ValidationRow, send: i64, now: Timestamp) -> Result<(), Outcome> {
    match row.state {
        ValidationState::Pending if proofs::is_alive(row, now) => {}
        ValidationState::Pending => {
            return Err(Outcome::Over(
                DeliveryResult::Expired,
                "the session is over".to_owned(),
            ));
        }
        ValidationState::Validated | ValidationState::Spent | ValidationState::Burned => {
            return Err(moot(row.state.as_str()));
        }
    }
    if row.threepid.medium == Medium::Msisdn && send < row.live_from {
        return Err(moot("a newer code has taken its place"));
    }
    Ok(())
}

/// The link or the code, if the address may be proven for that purpose. If not, the session is never
/// validated by what it has called for so far.
async fn validation(
    app: &App,
    leased: &Leased,
    row: &ValidationRow,
    send: i64,
) -> Result<Message, Outcome> {
    let ValidationRow {
        sid,
        generation,
        threepid,
        purpose,
        ..
    } = row;
    let keys = &app.config.keys;
    if !row.withheld && is_fit(app, *purpose, threepid).await? {
        return Ok(match threepid.medium {
            Medium::Email => Message::Mail(Mail::Link {
                purpose: *purpose,
                link: proofs::link(keys, &submit_url(app, Medium::Email), sid, generation),
                asks: proofs::asks(&app.config, *purpose),
            }),
            Medium::Msisdn => Message::Text(Text::Code {
                purpose: *purpose,
                code: proofs::code(keys, sid, generation, send),
            }),
        });
    }
    app.store.withhold_proof(sid, generation).await?;
    match purpose {
        // PWD-19, 3PID-06: nobody who gets it could do anything with it.
        ValidationPurpose::Reset => Err(moot("no account in use has the address")),
        ValidationPurpose::Register => {
            tell_owner_once_a_day(app, leased, threepid).await?;
            Ok(match threepid.medium {
                Medium::Email => Message::Mail(Mail::HasAccount),
                Medium::Msisdn => Message::Text(Text::HasAccount),
            })
        }
        ValidationPurpose::Add => {
            tell_owner_once_a_day(app, leased, threepid).await?;
            Ok(match threepid.medium {
                Medium::Email => Message::Mail(Mail::InUse),
                Medium::Msisdn => Message::Text(Text::InUse),
            })
        }
    }
}

/// Whether the address may be proven for that purpose: nobody has it who wants it, or, where it is
/// the way to a new password, an account has it that can be used.
async fn is_fit(
    app: &App,
    purpose: ValidationPurpose,
    threepid: &ThreePid,
) -> Result<bool, StoreError> {
    let owner = app.store.find_owner(threepid).await?;
    match (purpose, owner) {
        (ValidationPurpose::Register | ValidationPurpose::Add, owner) => Ok(owner.is_none()),
        (ValidationPurpose::Reset, None) => Ok(false),
        (ValidationPurpose::Reset, Some(owner)) => {
            let account = app.store.find_account(&owner).await?;
            Ok(account.is_some_and(|account| match account.status {
                AccountStatus::Active | AccountStatus::Suspended => true,
                AccountStatus::Locked | AccountStatus::Deactivated => false,
            }))
        }
    }
}

/// Who has an account is told that somebody else came with the address once a day, by mail or by
/// text. The budget is the row's own, or a delivery that ends between taking it and sending would
/// have taken it for nothing.
async fn tell_owner_once_a_day(
    app: &App,
    leased: &Leased,
    threepid: &ThreePid,
) -> Result<(), Outcome> {
    match limits::hold(app, Limit::KnownNotice, &threepid.address, &leased.id).await {
        Ok(()) => Ok(()),
        Err(LimitError::Exceeded { .. }) => Err(moot("its owner was told not long ago")),
        Err(LimitError::Store(error)) => Err(error.into()),
    }
}
