//! Security notifications: e-mails that notify the account owner of a change, sent to each e-mail address of the
//! account.
//!
//! The e-mails are rows of the outbox. The transaction that makes the change also writes the rows, so that no
//! change is made without its notification and no notification is sent without its change. A change that was made
//! too often recently is rejected ([`notify`]). The function `deliver` renders the e-mails.

use crate::{
    app::App,
    clock::Timestamp,
    ids::Localpart,
    limits::{self, Limit, LimitError},
    outbox::{Content, NewMessage, Notice},
    rng::Rng,
    threepid::{Medium, ThreePid},
};

/// Counts a change and returns the e-mails about it for the transaction that makes the change, one for each e-mail
/// address among `addresses`. Returns an empty list if this server sends no e-mails. Fails if this account had too
/// many changes of this kind recently: the caller must then not make the change, because a change without a
/// notification would go unnoticed, and repeated changes could flood a mailbox.
pub async fn notify(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    notice: Notice,
) -> Result<Vec<NewMessage>, LimitError> {
    let mails = mails(app, addresses, notice);
    let quota_key = format!("{} {}", user.as_str(), notice.as_str());
    within(app, Limit::Notice, quota_key, mails).await
}

/// Like [`notify`], for a password reset with the 3PID `validated`. The quota belongs to the 3PID, so that neither a
/// client that has the password or a token nor the holder of another 3PID of the account can use it up.
pub async fn notify_of_reset(
    app: &App,
    validated: &ThreePid,
    addresses: &[ThreePid],
) -> Result<Vec<NewMessage>, LimitError> {
    let mails = mails(app, addresses, Notice::PasswordChanged);
    let quota_key = format!("{} {}", validated.medium, validated.address);
    within(app, Limit::Reset, quota_key, mails).await
}

async fn within(
    app: &App,
    limit: Limit,
    quota_key: String,
    mails: Vec<NewMessage>,
) -> Result<Vec<NewMessage>, LimitError> {
    match limits::consume(app, limit, quota_key).await {
        // If the limiter is unavailable, send the notification: a missing notification is worse than a superfluous one.
        Ok(()) | Err(LimitError::Store(_)) => Ok(mails),
        Err(error) => Err(error),
    }
}

/// Like [`notify`] without its limit, for changes with a separate limit.
pub fn mails(app: &App, addresses: &[ThreePid], notice: Notice) -> Vec<NewMessage> {
    if app.config.mail.is_none() {
        return Vec::new();
    }
    mails_at(app.clock.now(), &*app.rng, addresses, notice)
}

/// Like [`mails`], but regardless of whether this server sends e-mails, because the admin CLI does not have that
/// setting.
pub fn mails_at(
    now: Timestamp,
    rng: &dyn Rng,
    addresses: &[ThreePid],
    notice: Notice,
) -> Vec<NewMessage> {
    let mut mailboxes: Vec<&ThreePid> = addresses
        .iter()
        .filter(|address| address.medium == Medium::Email)
        .collect();
    // The list may contain an address twice if it was just added or removed.
    mailboxes.sort();
    mailboxes.dedup();
    let message = |to: &ThreePid| {
        let to = to.clone();
        NewMessage::new(Content::Notice { notice, to }, now, rng)
    };
    mailboxes.into_iter().map(message).collect()
}
