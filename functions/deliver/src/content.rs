//! Determines the message of an outbox row and its recipient.
//!
//! This happens in `deliver` and not in the request that wrote the row, so that the request takes the same time and
//! makes the same reads and writes whether or not the address belongs to an account (3PID-15).

use std::time::Duration;

use shared::{
    app::App,
    client_network::ClientNetwork,
    clock::Timestamp,
    format_date, limits,
    outbox::{Content, Leased},
    request_token::submit_url,
    store::{AccountStatus, StoreError, ValidationRow},
    threepid_validation::{self, ValidationPurpose, ValidationState},
    threepids::{Medium, ThreePid},
};

use crate::{
    charges::Charges,
    messages::{Mail, Message, Sms},
    outcome::Outcome,
};

/// The maximum age of an outbox row. The message of an older row is not sent.
pub(crate) const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// A message and its recipient.
pub(crate) struct OutgoingMessage {
    pub(crate) to: ThreePid,
    pub(crate) message: Message,
    /// The rate limits to charge before the message is sent.
    pub(crate) charges: Charges,
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
            validation(app, &row, *send).await
        }
        // The notification reports a past event, so the current state of the account is not checked.
        Content::Notice { notice, to } => Ok(OutgoingMessage {
            to: to.clone(),
            message: Message::Mail(Mail::Notice {
                notice: *notice,
                date: format_date::utc(leased.created),
            }),
            charges: Charges::of_security_notification(),
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
async fn validation(app: &App, row: &ValidationRow, send: i64) -> Result<OutgoingMessage, Outcome> {
    let (sid, session_nonce, purpose) = (&row.sid, &row.session_nonce, row.purpose);
    let network = threepid_validation::requesting_network(app, row);
    let recipient = Recipient::find(app, row, network).await?;
    let is_known = recipient.is_known == Some(true);
    let outgoing = |message, charges| OutgoingMessage {
        to: row.threepid.clone(),
        message,
        charges,
    };
    let origin = threepid_validation::origin_of(app, row, recipient.is_known);
    if !row.suppressed && recipient.may_validate {
        if is_known && purpose == ValidationPurpose::Reset {
            app.store.mark_known_requester(sid, session_nonce).await?;
        }
        let keys = &app.config.keys;
        let message = match row.threepid.medium {
            Medium::Email => Message::Mail(Mail::Link {
                purpose,
                link: threepid_validation::email_link(
                    keys,
                    &submit_url(app, Medium::Email),
                    sid,
                    session_nonce,
                ),
                confirmation_page: threepid_validation::requires_confirmation(&app.config, purpose),
                origin,
            }),
            Medium::Msisdn => Message::Sms(Sms::Code {
                purpose,
                code: threepid_validation::code(keys, sid, session_nonce, send),
            }),
        };
        let charges = Charges::of_validation(row, recipient.has_own_quota);
        return Ok(outgoing(message, charges));
    }
    app.store.suppress_validation(sid, session_nonce).await?;
    let message = match (purpose, row.threepid.medium) {
        // PWD-19, 3PID-06: the recipient could not use the message.
        (ValidationPurpose::Reset, _) => {
            let reason = "no active or suspended account has the address";
            return Err(Outcome::skipped(reason));
        }
        (ValidationPurpose::Register, Medium::Email) => Message::Mail(Mail::HasAccount { origin }),
        (ValidationPurpose::Register, Medium::Msisdn) => Message::Sms(Sms::HasAccount),
        (ValidationPurpose::Add, Medium::Email) => Message::Mail(Mail::InUse { origin }),
        (ValidationPurpose::Add, Medium::Msisdn) => Message::Sms(Sms::InUse),
    };
    let charges = Charges::of_owner_notice(row, network, recipient.has_own_quota);
    Ok(outgoing(message, charges))
}

/// The facts about a recipient that depend on the account with the address.
struct Recipient {
    /// Whether the address may be validated for the purpose. For a registration or an addition, the address must not
    /// belong to an account. For a password reset, it must belong to an active or suspended account.
    may_validate: bool,
    /// Whether the account owner has used the network of the request since the last password reset. `None` if there is
    /// no account, or if that is not recorded.
    is_known: Option<bool>,
    /// Whether the network of the request does not share the quotas of unknown networks. A network that was known before
    /// the last password reset keeps this: otherwise an attacker who resets the password could use up the quota of the
    /// owner's address.
    has_own_quota: bool,
}

impl Recipient {
    async fn find(
        app: &App,
        row: &ValidationRow,
        network: Option<ClientNetwork>,
    ) -> Result<Self, StoreError> {
        let is_reset = row.purpose == ValidationPurpose::Reset;
        let none = Self {
            may_validate: !is_reset,
            is_known: None,
            has_own_quota: false,
        };
        let Some(owner) = app.store.find_owner(&row.threepid).await? else {
            return Ok(none);
        };
        let Some(account) = app.store.find_account(&owner).await? else {
            return Ok(Self {
                may_validate: false,
                ..none
            });
        };
        let is_usable = match account.status {
            AccountStatus::Active | AccountStatus::Suspended => true,
            AccountStatus::Locked | AccountStatus::Deactivated => false,
        };
        let may_validate = is_reset && is_usable;
        let Some(network) = network.filter(|_| app.config.limits) else {
            return Ok(Self {
                may_validate,
                ..none
            });
        };
        let until = limits::known_until(app, owner.as_str(), network).await?;
        Ok(Self {
            may_validate,
            is_known: Some(limits::is_known(app, until, account.reset_at)),
            has_own_quota: limits::is_known(app, until, Timestamp::default()),
        })
    }
}
