//! Determines the message of an outbox row and its recipient.
//!
//! This happens in `deliver` and not in the request that wrote the row, so that the request takes the same time and
//! makes the same reads and writes whether or not the address belongs to an account (3PID-15).

use std::time::Duration;

use shared::{
    app::App,
    clock::Timestamp,
    limits::{self, Limit, LimitError},
    outbox::{Content, Leased},
    request_token::submit_url,
    store::{AccountStatus, StoreError, ValidationRow},
    threepid_validation::{self, ValidationPurpose, ValidationState},
    threepids::{Medium, ThreePid},
};

use crate::{
    format_date,
    messages::{Mail, Message, Sms},
    outcome::Outcome,
};

/// The maximum age of an outbox row. The message of an older row is not sent.
pub(crate) const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// A message and its recipient.
pub(crate) struct OutgoingMessage {
    pub(crate) to: ThreePid,
    pub(crate) message: Message,
}

/// Returns the message to send. An error is the outcome of a row that has no message to send, or of a
/// failed read.
pub(crate) async fn resolve(
    app: &App,
    leased: &Leased,
    now: Timestamp,
) -> Result<OutgoingMessage, Outcome> {
    if now.since(leased.created) >= GIVE_UP_AFTER {
        return Err(Outcome::expired(
            "the message could not be sent for a day; see the earlier attempts",
        ));
    }
    match &leased.content {
        Content::Validation {
            sid,
            session_nonce,
            send,
        } => {
            let row = app.store.find_validation(sid).await?;
            let row = row
                .filter(|row| row.session_nonce == *session_nonce)
                .ok_or_else(|| Outcome::skipped("the validation session was started again"))?;
            ensure_pending(&row, *send, now)?;
            let message = validation(app, leased, &row, *send).await?;
            Ok(OutgoingMessage {
                to: row.threepid,
                message,
            })
        }
        // The notification reports a past event, so the current state of the account is not checked.
        Content::Notice { notice, to } => Ok(OutgoingMessage {
            to: to.clone(),
            message: Message::Mail(Mail::Notice {
                notice: *notice,
                date: format_date::utc(leased.created),
            }),
        }),
        Content::Purge { .. } => Err(Outcome::skipped("the row is a purge and has no message")),
    }
}

/// Checks that the session is still pending and that its message number `send` can still validate it.
fn ensure_pending(row: &ValidationRow, send: i64, now: Timestamp) -> Result<(), Outcome> {
    match row.state {
        ValidationState::Pending if threepid_validation::is_active(row, now) => {}
        ValidationState::Pending => {
            return Err(Outcome::expired("the validation session has expired"));
        }
        ValidationState::Validated | ValidationState::Spent | ValidationState::Invalidated => {
            let state = row.state.as_str();
            let reason = format!("the validation session is {state}");
            return Err(Outcome::skipped(&reason));
        }
    }
    if row.threepid.medium == Medium::Msisdn && send < row.first_valid_send {
        return Err(Outcome::skipped("a newer code has replaced this one"));
    }
    Ok(())
}

/// Returns the link or the code if the address may be validated for the session's purpose. Otherwise marks
/// the session, so that none of the messages sent so far can validate it.
async fn validation(
    app: &App,
    leased: &Leased,
    row: &ValidationRow,
    send: i64,
) -> Result<Message, Outcome> {
    let ValidationRow {
        sid,
        session_nonce,
        threepid,
        purpose,
        ..
    } = row;
    let keys = &app.config.keys;
    if !row.suppressed && may_validate(app, *purpose, threepid).await? {
        return Ok(match threepid.medium {
            Medium::Email => Message::Mail(Mail::Link {
                purpose: *purpose,
                link: threepid_validation::email_link(
                    keys,
                    &submit_url(app, Medium::Email),
                    sid,
                    session_nonce,
                ),
                confirmation_page: threepid_validation::requires_confirmation(
                    &app.config,
                    *purpose,
                ),
            }),
            Medium::Msisdn => Message::Sms(Sms::Code {
                purpose: *purpose,
                code: threepid_validation::code(keys, sid, session_nonce, send),
            }),
        });
    }
    app.store.suppress_validation(sid, session_nonce).await?;
    match purpose {
        // PWD-19, 3PID-06: the recipient could not use the message.
        ValidationPurpose::Reset => Err(Outcome::skipped(
            "no active or suspended account has the address",
        )),
        ValidationPurpose::Register => {
            limit_owner_messages(app, leased, threepid).await?;
            Ok(match threepid.medium {
                Medium::Email => Message::Mail(Mail::HasAccount),
                Medium::Msisdn => Message::Sms(Sms::HasAccount),
            })
        }
        ValidationPurpose::Add => {
            limit_owner_messages(app, leased, threepid).await?;
            Ok(match threepid.medium {
                Medium::Email => Message::Mail(Mail::InUse),
                Medium::Msisdn => Message::Sms(Sms::InUse),
            })
        }
    }
}

/// Whether the address may be validated for the purpose. For a registration or an addition, the
/// address must not belong to an account. For a password reset, it must belong to an active or
/// suspended account.
async fn may_validate(
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

/// Limits the messages about other people's requests for an address to one per address and day. The quota is
/// acquired under the ID of the row. So if a delivery crashes after it has acquired the quota, a later delivery of
/// the row can still send the message.
async fn limit_owner_messages(
    app: &App,
    leased: &Leased,
    threepid: &ThreePid,
) -> Result<(), Outcome> {
    match limits::acquire_for(app, Limit::KnownNotice, &threepid.address, &leased.id).await {
        Ok(()) => Ok(()),
        Err(LimitError::Exceeded { .. }) => Err(Outcome::skipped(
            "the owner of the address was notified less than a day ago",
        )),
        Err(LimitError::Store(error)) => Err(error.into()),
    }
}
