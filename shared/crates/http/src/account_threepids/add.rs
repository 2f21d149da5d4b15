//! The addition of a validated 3PID to an account.

use super::{AccountOwner, OwnerAuthentication, TRIES, ThreePidCreds, ThreePidError, addresses};
use crate::{
    accounts::{AddThreePidError, MAX_THREEPIDS, NewThreePid},
    app::App,
    clock::Timestamp,
    homeserver::{self, Change},
    limits::{self, Limit},
    outbox::Notice,
    security_notifications,
    store::{Attempt, SessionCommit, ValidationRow, retry_on_conflict},
    threepid_validation::{self, ValidatedThreePid, ValidationPurpose, ValidationState},
    threepids,
};

/// The decision about an addition, before anything is written.
enum AddDecision {
    /// The account can have the 3PID.
    Add(ValidatedThreePid),
    /// The validation session was spent for this account: the client repeats a request whose response was lost.
    Done,
}

/// Checks that the validation session allows an addition to this account now. An endpoint that requires a password
/// calls this first, so that the user enters the password only if the addition is possible.
pub async fn check_validation(
    app: &App,
    owner: &AccountOwner,
    validation: Option<&ValidationRow>,
) -> Result<(), ThreePidError> {
    decide(app, owner, validation).await.map(|_| ())
}

async fn decide(
    app: &App,
    owner: &AccountOwner,
    validation: Option<&ValidationRow>,
) -> Result<AddDecision, ThreePidError> {
    let row = validation
        .filter(|row| row.purpose == ValidationPurpose::Add)
        .ok_or(ThreePidError::NotValidated)?;
    if row.state == ValidationState::Spent {
        return match app.store.find_owner(&row.threepid).await? {
            Some(name) if name == owner.localpart => Ok(AddDecision::Done),
            _ => Err(ThreePidError::NotValidated),
        };
    }
    let is_outdated = owner.account.proofs_not_before > row.started_at;
    let validated = row
        .validated_threepid()
        .filter(|_| threepid_validation::is_active(row, app.clock.now()) && !is_outdated)
        .ok_or(ThreePidError::NotValidated)?;
    threepids::check_allowed(&app.config, &validated.threepid)?;
    Ok(AddDecision::Add(validated))
}

/// The rows that an addition depends on, as they were read.
pub struct AddRead {
    /// The account. It must be read before its 3PIDs.
    pub owner: AccountOwner,
    /// The validation session.
    pub validation: Option<ValidationRow>,
}

/// The outcome of one attempt to add a 3PID.
pub enum Added {
    /// The account has the 3PID.
    Done,
    /// A row has changed since it was read.
    Conflict,
}

/// Adds the 3PID of a validation session to an account and marks the session as spent. `verified_password` is the time of
/// the last change of the password that authenticated the request.
pub async fn add(
    app: &App,
    authentication: OwnerAuthentication<'_>,
    credentials: &ThreePidCreds,
    read: AddRead,
    verified_password: Option<Timestamp>,
) -> Result<(), ThreePidError> {
    let AccountOwner { localpart, account } = read.owner.clone();
    let added = retry_on_conflict(TRIES, read, |read, attempt| async move {
        Ok(match try_add(app, &read, verified_password, None).await? {
            Added::Done => Attempt::Done(()),
            Added::Conflict => {
                let again = reload(app, authentication, credentials, &read.owner, attempt);
                Attempt::Retry(again.await?)
            }
        })
    });
    homeserver::carry_over(
        app,
        &localpart,
        Some(&account),
        Change::AccountChanged,
        added,
    )
    .await
}

/// Reads the rows that an addition depends on again, after a conflict in attempt number `attempt`.
pub async fn reload(
    app: &App,
    authentication: OwnerAuthentication<'_>,
    credentials: &ThreePidCreds,
    before: &AccountOwner,
    attempt: u32,
) -> Result<AddRead, ThreePidError> {
    app.store.wait(attempt).await;
    let owner = authentication.reload_owner(app, before).await?;
    let validation = credentials.find(app).await?;
    Ok(AddRead { owner, validation })
}

/// Tries once to add the 3PID. If the account already has the 3PID, its timestamps do not change.
/// `verified_password` is the time of the last change of the password that authenticated the request.
/// `session` completes the UIA session of the request.
pub async fn try_add(
    app: &App,
    read: &AddRead,
    verified_password: Option<Timestamp>,
    session: Option<SessionCommit>,
) -> Result<Added, ThreePidError> {
    let owner = &read.owner;
    let validated = match decide(app, owner, read.validation.as_ref()).await? {
        AddDecision::Add(validated) => validated,
        AddDecision::Done => return Ok(Added::Done),
    };
    let (own, holder) = tokio::join!(
        app.store.addresses_of(&owner.localpart),
        app.store.find_owner(&validated.threepid)
    );
    let (own, holder) = (addresses(own?), holder?);
    if holder.is_some_and(|holder| holder != owner.localpart) {
        return Err(ThreePidError::InUse);
    }
    let known = own.contains(&validated.threepid);
    if !known && own.len() >= MAX_THREEPIDS {
        return Err(ThreePidError::TooMany);
    }
    let recipients = [own.as_slice(), std::slice::from_ref(&validated.threepid)].concat();
    let notices = if known {
        Vec::new()
    } else {
        security_notifications::mails(app, &recipients, Notice::AddressAdded)
    };
    let new = NewThreePid {
        localpart: owner.localpart.clone(),
        account: owner.account.clone(),
        validated,
        known,
        added: app.clock.now(),
        known_password: verified_password,
        session,
        notices,
    };
    write(app, &new).await
}

/// Writes an addition, within the rate limit of the account. A request beyond the limit is rejected, because an
/// addition without a notification to the account owner is not allowed. The charge of a failed addition is refunded.
async fn write(app: &App, new: &NewThreePid) -> Result<Added, ThreePidError> {
    let user = new.localpart.as_str();
    if !new.known {
        limits::consume(app, Limit::Addition, user).await?;
    }
    let outcome = match app.store.add_threepid(new).await {
        Ok(()) => return Ok(Added::Done),
        Err(
            AddThreePidError::AccountChanged
            | AddThreePidError::Taken
            | AddThreePidError::ValidationGone,
        ) => Ok(Added::Conflict),
        Err(AddThreePidError::SessionChanged) => Err(ThreePidError::SessionChanged),
        Err(AddThreePidError::PasswordChanged) => Err(ThreePidError::PasswordChanged),
        // The transaction may have been committed.
        Err(AddThreePidError::Store(error)) => return Err(error.into()),
    };
    if !new.known {
        // A lost refund costs the account one later addition, so the error is ignored.
        let _ = limits::refund(app, Limit::Addition, user).await;
    }
    outcome
}
