//! Notices: what is done to an account, its owner is told by mail, at every address it has.
//!
//! The mails are rows of the outbox, written by the transaction of what they tell of: nothing is
//! told that was not done, and nothing done that is not told: what was done too often of late is
//! refused ([`notify`]). How they read is `deliver`'s.

use crate::{
    app::App,
    clock::Timestamp,
    ids::Localpart,
    limits::{self, Limit, LimitError},
    outbox::{Content, NewMessage, Notice},
    rng::Rng,
    threepid::{Medium, ThreePid},
};

/// The messages that tell of `notice`, to those of an account's `addresses` that are mailboxes; for
/// the operation's own transaction. None where no mail is sent. What has been done to this account too
/// often of late is not to be done: not without a word, and doing it again and again is no way to
/// fill a mailbox.
pub async fn notify(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    notice: Notice,
) -> Result<Vec<NewMessage>, LimitError> {
    let mails = mails(app, addresses, notice);
    if mails.is_empty() {
        return Ok(mails);
    }
    let quota_key = format!("{} {}", user.as_str(), notice.as_str());
    match limits::spend(app, Limit::Notice, quota_key).await {
        // Who cannot be counted is told all the same: silence is worse than a mail too many.
        Ok(()) | Err(LimitError::Store(_)) => Ok(mails),
        Err(error) => Err(error),
    }
}

/// The same, however often: for what has a limit of its own.
pub fn mails(app: &App, addresses: &[ThreePid], notice: Notice) -> Vec<NewMessage> {
    if app.config.mail.is_none() {
        return Vec::new();
    }
    mails_at(app.clock.now(), &*app.rng, addresses, notice)
}

/// The same, whether mail is sent or not, which the operator's command does not know.
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
    // An address that has just been added or removed may be named twice.
    mailboxes.sort();
    mailboxes.dedup();
    let message = |to: &ThreePid| {
        let to = to.clone();
        NewMessage::new(Content::Notice { notice, to }, now, rng)
    };
    mailboxes.into_iter().map(message).collect()
}
