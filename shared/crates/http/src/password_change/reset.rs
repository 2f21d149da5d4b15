//! Finds the account whose password is changed: the account of the access token, or the account of a validated
//! 3PID.

use std::time::Duration;

use crate::{
    app::App,
    clock::Timestamp,
    error::{ErrorCode, MatrixError, Rejection},
    http::Response,
    limits::{self, Limit},
    store::{AccountStatus, OwnThreePid},
    threepid_validation::ValidatedThreePid,
    threepids::Medium,
    tokens::AuthenticationError,
    uia::{
        UiaCompletion,
        request::{ProtectedRequest, Requester},
    },
};

use super::Subject;

/// The time after its addition from which a 3PID is established.
const ESTABLISHED_AFTER: Duration = Duration::from_hours(30 * 24);

/// The outcome of the search for the account.
pub(super) enum Found {
    /// The account, and the completion to continue with.
    Subject(Box<Subject>, Box<UiaCompletion>),
    /// The response of a concurrent duplicate of the request that completed first.
    Replay(Response),
}

/// Finds the account. Errors about the account of a 3PID are returned only to a client that has validated the 3PID
/// (PWD-06).
pub(super) async fn subject(
    app: &App,
    protected: &ProtectedRequest,
    completion: UiaCompletion,
) -> Result<Found, Rejection> {
    let validated = completion.result.threepids.first().cloned();
    match (&protected.requester, validated) {
        (Requester::User(caller), None) => {
            // The verification of the old password was charged separately, maybe by an earlier request of the session.
            if let Err(error) = protected.charge_password_hash(app).await {
                return refuse(app, protected, completion, error.into()).await;
            }
            let read = protected.threepids.as_ref();
            let subject = Subject {
                user: caller.localpart.clone(),
                account: caller.account.clone(),
                threepids: read.map(|own| own.iter().map(|own| own.threepid.clone()).collect()),
                validated: None,
                is_by_recent_threepid: false,
            };
            Ok(Found::Subject(Box::new(subject), Box::new(completion)))
        }
        (_, Some(validated)) => Box::pin(owner(app, protected, completion, validated)).await,
        (Requester::Anonymous | Requester::Appservice { .. }, None) => {
            completion.save_progress(app).await;
            Err(forbidden("The request does not identify an account").into())
        }
    }
}

/// Finds the account that has the 3PID, and checks that the 3PID may reset the password.
async fn owner(
    app: &App,
    protected: &ProtectedRequest,
    completion: UiaCompletion,
    validated: ValidatedThreePid,
) -> Result<Found, Rejection> {
    let not_found = || {
        MatrixError::new(
            ErrorCode::ThreePidNotFound,
            "The address does not belong to an account",
        )
    };
    let threepid = &validated.threepid;
    let Some(user) = app.store.find_owner(threepid).await? else {
        return refuse(app, protected, completion, not_found()).await;
    };
    if protected.user().is_some_and(|caller| *caller != user) {
        // UIA-25
        let error = forbidden("The address does not belong to this account");
        return refuse(app, protected, completion, error).await;
    }
    // The limit of the hash that follows is charged here.
    let (charged, account, threepids) = tokio::join!(
        limits::consume(app, Limit::PasswordHash, protected.network),
        app.store.find_account(&user),
        app.store.addresses_of(&user)
    );
    if let Err(error) = charged {
        return refuse(app, protected, completion, error.into()).await;
    }
    let (account, threepids) = (account?, threepids?);
    let account = match account {
        Some(account) if account.status == AccountStatus::Locked => {
            let error = AuthenticationError::Locked.into();
            return refuse(app, protected, completion, error).await;
        }
        Some(account) if account.status != AccountStatus::Deactivated => account,
        _ => return refuse(app, protected, completion, not_found()).await,
    };
    let now = app.clock.now();
    let own = threepids.iter().find(|own| own.threepid == *threepid);
    let is_recent = own.is_some_and(|own| !is_established(own, &threepids, now));
    let not_before = if is_recent {
        account.proofs_not_before
    } else {
        account.established_not_before
    };
    let is_before_addition = own.is_none_or(|own| validated.started_at < own.added);
    if is_before_addition || validated.started_at < not_before {
        // The validation was requested before the last password change, or by an earlier owner of
        // the 3PID, so it is no longer valid.
        let (network, medium) = (protected.network, threepid.medium);
        return Err(completion.reopen_threepid_stage(app, network, medium).await);
    }
    if let Err(error) = check_allowed(app, &validated, &threepids, now) {
        return refuse(app, protected, completion, error).await;
    }
    let subject = Subject {
        user,
        account,
        threepids: Some(threepids.into_iter().map(|own| own.threepid).collect()),
        validated: Some(validated),
        is_by_recent_threepid: is_recent,
    };
    Ok(Found::Subject(Box::new(subject), Box::new(completion)))
}

/// Whether a 3PID is the oldest of its account, or has belonged to the account for long enough. An attacker with an
/// access token can add 3PIDs. As long as they are recent, they must not keep the account owner from a reset with an
/// established 3PID.
fn is_established(own: &OwnThreePid, threepids: &[OwnThreePid], now: Timestamp) -> bool {
    now.since(own.added) >= ESTABLISHED_AFTER
        || threepids.iter().all(|other| own.added <= other.added)
}

/// Rejects a reset by phone number if the account has an established e-mail address or if the number was validated
/// too long ago, because phone numbers are reassigned.
fn check_allowed(
    app: &App,
    validated: &ValidatedThreePid,
    threepids: &[OwnThreePid],
    now: Timestamp,
) -> Result<(), MatrixError> {
    let is_established_email = |own: &OwnThreePid| {
        own.threepid.medium == Medium::Email && is_established(own, threepids, now)
    };
    if validated.threepid.medium != Medium::Msisdn {
        return Ok(());
    }
    if threepids.iter().any(is_established_email) {
        return Err(forbidden(
            "The account has an e-mail address. Use it to set a new password",
        ));
    }
    let own = threepids
        .iter()
        .find(|own| own.threepid == validated.threepid);
    let age = own.map(|own| now.since(own.validated));
    let is_too_old = match (age, app.config.reset_phone_age) {
        (Some(age), Some(limit)) => age > limit,
        _ => false,
    };
    if is_too_old {
        return Err(forbidden(
            "The phone number was validated too long ago to set a new password with it",
        ));
    }
    Ok(())
}

/// Returns the error, or the response of a concurrent duplicate that has already completed.
async fn refuse(
    app: &App,
    protected: &ProtectedRequest,
    completion: UiaCompletion,
    error: MatrixError,
) -> Result<Found, Rejection> {
    if let Some(response) = protected.replayed_response(app).await? {
        return Ok(Found::Replay(response));
    }
    completion.save_progress(app).await;
    Err(error.into())
}

fn forbidden(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::Forbidden, message)
}
