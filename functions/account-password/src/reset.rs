//! Whose password it is: the token's user's, or that of whoever has the address that was proven.

use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::Response,
    limits::{self, Limit},
    store::{AccountStatus, OwnThreePid},
    threepid_validation::ValidatedThreePid,
    threepids::Medium,
    tokens::AuthenticationError,
    uia::UiaCompletion,
    uia_request::{ProtectedRequest, Requester},
};

use crate::Subject;

/// What the proof comes to.
pub(crate) enum Found {
    /// Somebody, and the proof to go on with.
    Subject(Box<Subject>, Box<UiaCompletion>),
    /// A twin of the request was quicker; this is its answer.
    Answered(Response),
}

/// Tells whose password may be set. What stands in the way is said only now, to who has proven
/// the address (PWD-06).
pub(crate) async fn subject(
    app: &App,
    uia_request: &ProtectedRequest,
    proof: UiaCompletion,
) -> Result<Found, Rejection> {
    let proven = proof.gains.threepids.first().cloned();
    match (&uia_request.who, proven) {
        (Requester::User(caller), None) => {
            let read = uia_request.addresses.as_ref();
            let subject = Subject {
                user: caller.localpart.clone(),
                account: caller.account.clone(),
                addresses: read.map(|own| own.iter().map(|own| own.threepid.clone()).collect()),
                proven: None,
            };
            Ok(Found::Subject(Box::new(subject), Box::new(proof)))
        }
        (_, Some(proven)) => Box::pin(owner(app, uia_request, proof, proven)).await,
        (Requester::Nobody | Requester::Appservice { .. }, None) => {
            proof.keep(app).await;
            Err(forbidden("Nobody has been proven").into())
        }
    }
}

/// The account that has the address.
async fn owner(
    app: &App,
    uia_request: &ProtectedRequest,
    proof: UiaCompletion,
    proven: ValidatedThreePid,
) -> Result<Found, Rejection> {
    let not_found = || {
        MatrixError::new(
            ErrorCode::ThreePidNotFound,
            "The address belongs to no account",
        )
    };
    let Some(user) = app.store.find_owner(&proven.threepid).await? else {
        return refuse(app, uia_request, proof, not_found()).await;
    };
    if uia_request.user().is_some_and(|caller| *caller != user) {
        // UIA-25
        let error = forbidden("The address is not one of this account");
        return refuse(app, uia_request, proof, error).await;
    }
    // The hash that is to follow; a guess at a password has paid for its own.
    let (charged, account, addresses) = tokio::join!(
        limits::spend(app, Limit::PasswordHash, uia_request.network),
        app.store.find_account(&user),
        app.store.addresses_of(&user)
    );
    if let Err(error) = charged {
        return refuse(app, uia_request, proof, error.into()).await;
    }
    let (account, addresses) = (account?, addresses?);
    let account = match account {
        Some(account) if account.status == AccountStatus::Locked => {
            return refuse(app, uia_request, proof, AuthenticationError::Locked.into()).await;
        }
        Some(account) if account.status != AccountStatus::Deactivated => account,
        _ => return refuse(app, uia_request, proof, not_found()).await,
    };
    let own = addresses.iter().find(|own| own.threepid == proven.threepid);
    let before_theirs = own.is_none_or(|own| proven.started_at < own.added);
    if before_theirs || proven.started_at < account.proofs_not_before {
        // Asked for before the password was last set, or by whoever had the address before: it
        // proves nothing any more.
        let medium = proven.threepid.medium;
        return Err(proof
            .without_proof_of(app, uia_request.network, medium)
            .await);
    }
    if let Err(error) = trust(app, &proven, &addresses) {
        return refuse(app, uia_request, proof, error).await;
    }
    let subject = Subject {
        user,
        account,
        addresses: Some(addresses.into_iter().map(|own| own.threepid).collect()),
        proven: Some(proven),
    };
    Ok(Found::Subject(Box::new(subject), Box::new(proof)))
}

/// Numbers change hands: one alone sets no password where there is a mailbox to ask, or where it was
/// proven too long ago.
fn trust(
    app: &App,
    proven: &ValidatedThreePid,
    addresses: &[OwnThreePid],
) -> Result<(), MatrixError> {
    if proven.threepid.medium != Medium::Msisdn {
        return Ok(());
    }
    if addresses
        .iter()
        .any(|own| own.threepid.medium == Medium::Email)
    {
        return Err(forbidden(
            "The account has an e-mail address: use that to set a new password",
        ));
    }
    let own = addresses.iter().find(|own| own.threepid == proven.threepid);
    let age = own.map(|own| app.clock.now().since(own.validated));
    let is_old = match (age, app.config.reset_phone_age) {
        (Some(age), Some(most)) => age > most,
        _ => false,
    };
    if is_old {
        return Err(forbidden(
            "The number was confirmed too long ago to set a new password with it",
        ));
    }
    Ok(())
}

/// The proof is of no use. Unless that is so because a twin has used it.
async fn refuse(
    app: &App,
    uia_request: &ProtectedRequest,
    proof: UiaCompletion,
    error: MatrixError,
) -> Result<Found, Rejection> {
    if let Some(response) = uia_request.answer_of_twin(app).await? {
        return Ok(Found::Answered(response));
    }
    proof.keep(app).await;
    Err(error.into())
}

fn forbidden(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::Forbidden, message)
}
