//! The 3PIDs of an existing account: the shared part of the endpoints that add or remove one.
//!
//! Each write is conditional on the rows that the decision was based on. If one of them has changed, all of them are
//! read and the decision is made again. The account is always read before its 3PIDs (see `Store::add_threepid`).

use std::time::Duration;

pub use crate::threepid_creds::ThreePidCreds;
use crate::{
    accounts::{
        AddThreePidError, ChangeAccountError, MAX_THREEPIDS, NewThreePid, RemoveThreePidError,
        RemovedThreePid,
    },
    app::App,
    clock::Timestamp,
    error::{ErrorCode, MatrixError, reject_as_error},
    http::{self, Request},
    ids::Localpart,
    limits::{self, Limit, LimitError},
    notices,
    outbox::Notice,
    store::{AccountRow, AccountStatus, OwnThreePid, SessionCommit, StoreError, ValidationRow},
    threepid_validation::{
        self, RequestError, ValidatedThreePid, ValidationPurpose, ValidationState,
    },
    threepids::{self, ThreePid, ThreePidDeniedError},
    tokens::{self, CallerError},
};

/// The maximum number of tries to write a change while concurrent requests change the account.
const TRIES: u32 = 12;

/// The account whose 3PIDs a request reads or changes.
#[derive(Debug, Clone)]
pub struct AccountOwner {
    /// The localpart of the user ID.
    pub localpart: Localpart,
    /// The account as it was read.
    pub account: AccountRow,
}

/// The reason why a 3PID was neither added nor removed.
#[derive(Debug, thiserror::Error)]
pub enum ThreePidError {
    /// There is no validated session for the addition of the address to this account.
    #[error("the address is not validated")]
    NotValidated,
    /// Another account has the address.
    #[error("the address belongs to another account")]
    InUse,
    /// The account has the maximum number of addresses.
    #[error("the account has the maximum number of addresses")]
    TooMany,
    /// The operator's settings do not allow the address.
    #[error(transparent)]
    Denied(#[from] ThreePidDeniedError),
    /// The account is suspended (TOK-15).
    #[error("the account is suspended")]
    Suspended,
    /// The password has changed since the request was authenticated with it.
    #[error("the password has changed")]
    PasswordChanged,
    /// The UIA session has changed since it was read: a concurrent duplicate of this request has finished it.
    #[error("a concurrent request has changed the UIA session")]
    SessionChanged,
    /// The caller is not authenticated, or is a guest, which cannot have 3PIDs.
    #[error(transparent)]
    Caller(MatrixError),
    /// Too many requests.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ThreePidError> for MatrixError {
    fn from(error: ThreePidError) -> Self {
        let forbidden = |message| Self::new(ErrorCode::Forbidden, message);
        match error {
            ThreePidError::NotValidated => Self::new(
                ErrorCode::ThreePidAuthFailed,
                "There is no validated session for this address: validate the address first",
            ),
            ThreePidError::InUse => RequestError::InUse.into(),
            ThreePidError::TooMany => {
                forbidden("The account has the maximum number of addresses: remove one first")
            }
            ThreePidError::Suspended => {
                Self::new(ErrorCode::UserSuspended, "The account is suspended")
            }
            ThreePidError::Denied(denied) => denied.into(),
            ThreePidError::Caller(error) => error,
            ThreePidError::Limit(error) => error.into(),
            // The endpoint replays the response of the duplicate request; if it cannot, the client may try again.
            ThreePidError::PasswordChanged => ChangeAccountError::AccountChanged.into(),
            ThreePidError::SessionChanged => Self::limited(Duration::from_secs(1)),
            ThreePidError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(ThreePidError);

/// The account whose 3PIDs the request reads or changes. Consumes the account quota of the client network at the same
/// time.
pub async fn load_owner(app: &App, request: &Request) -> Result<AccountOwner, ThreePidError> {
    let (counted, owner) = tokio::join!(
        limits::spend(app, Limit::Account, request.network),
        authenticate(app, request)
    );
    counted?;
    owner.map_err(ThreePidError::Caller)
}

/// The account of the caller, who must not be a guest.
async fn authenticate(app: &App, request: &Request) -> Result<AccountOwner, MatrixError> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let caller = tokens::identify(app, &token, request.query.get("user_id")).await?;
    caller.demand_no_guest()?;
    let account = caller.account().cloned().ok_or(CallerError::NotItsUser)?;
    Ok(AccountOwner {
        localpart: caller.localpart().clone(),
        account,
    })
}

/// The decision about an addition before it is made.
enum AddDecision {
    /// The account can have the address.
    Add(ValidatedThreePid),
    /// The validation session was spent for this account: the request repeats one whose response was lost.
    Done,
}

/// Checks that the validation session allows an addition to this account now. An endpoint that requires a password
/// checks this first, so that the user does not enter it in vain.
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

/// Adds the address of a validation session to the account of the caller and marks the session as spent. An address that
/// the account already has keeps its times. `known_password` is the time at which the password was set, if the request
/// was authenticated with it; `commit` completes the UIA session of the request.
pub async fn add(
    app: &App,
    request: &Request,
    mut owner: AccountOwner,
    credentials: &ThreePidCreds,
    mut validation: Option<ValidationRow>,
    (known_password, commit): (Option<Timestamp>, impl Fn() -> Option<SessionCommit>),
) -> Result<(), ThreePidError> {
    for attempt in 0..TRIES {
        let validated = match decide(app, &owner, validation.as_ref()).await? {
            AddDecision::Add(validated) => validated,
            AddDecision::Done => return Ok(()),
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
            notices::mails(app, &recipients, Notice::AddressAdded)
        };
        let new = NewThreePid {
            localpart: owner.localpart.clone(),
            account: owner.account.clone(),
            proven: validated,
            known,
            added: app.clock.now(),
            known_password,
            session: commit(),
            notices,
        };
        match write(app, &new).await? {
            Written::Done => return Ok(()),
            Written::Conflict => app.store.wait(attempt).await,
        }
        owner = reload_owner(app, request, &owner).await?;
        validation = credentials.find(app).await?;
    }
    Err(StoreError::Contended.into())
}

enum Written {
    Done,
    /// A row has changed since it was read.
    Conflict,
}

/// Writes an addition, within the quota of its account. A request beyond the quota is rejected, because an addition must
/// not happen without a notification to the account owner. An addition that was not made is not counted.
async fn write(app: &App, new: &NewThreePid) -> Result<Written, ThreePidError> {
    let user = new.localpart.as_str();
    if !new.known {
        limits::spend(app, Limit::Addition, user).await?;
    }
    let error = match app.store.add_threepid(new).await {
        Ok(()) => return Ok(Written::Done),
        Err(
            AddThreePidError::AccountChanged
            | AddThreePidError::Taken
            | AddThreePidError::ValidationGone,
        ) => None,
        Err(AddThreePidError::SessionChanged) => Some(ThreePidError::SessionChanged),
        Err(AddThreePidError::PasswordChanged) => Some(ThreePidError::PasswordChanged),
        // The transaction may have been committed.
        Err(AddThreePidError::Store(error)) => return Err(error.into()),
    };
    if !new.known {
        // A lost refund costs the account one later addition, which is no reason to fail.
        let _ = limits::refund(app, Limit::Addition, user).await;
    }
    error.map_or(Ok(Written::Conflict), Err)
}

/// Removes a 3PID from the account of the caller. Succeeds without effect if the account does not have it.
pub async fn remove(
    app: &App,
    request: &Request,
    mut owner: AccountOwner,
    threepid: &ThreePid,
) -> Result<(), ThreePidError> {
    for attempt in 0..TRIES {
        match owner.account.status {
            AccountStatus::Suspended => return Err(ThreePidError::Suspended),
            AccountStatus::Active | AccountStatus::Locked | AccountStatus::Deactivated => {}
        }
        let own = addresses(app.store.addresses_of(&owner.localpart).await?);
        if !own.contains(threepid) {
            return Ok(());
        }
        let removal = RemovedThreePid {
            localpart: owner.localpart.clone(),
            account: owner.account.clone(),
            threepid: threepid.clone(),
            // Not rate limited: an account cannot remove more addresses than it has added, and additions are.
            notices: notices::mails(app, &own, Notice::AddressRemoved),
        };
        match app.store.remove_threepid(&removal).await {
            Ok(()) | Err(RemoveThreePidError::NotThere) => return Ok(()),
            Err(RemoveThreePidError::Store(error)) => return Err(error.into()),
            Err(RemoveThreePidError::AccountChanged) => app.store.wait(attempt).await,
        }
        owner = reload_owner(app, request, &owner).await?;
    }
    Err(StoreError::Contended.into())
}

/// Reads the account again. Fails if its token epoch has changed, for example by a password change: the access token may
/// still be valid, but the authentication of the request is not, so the client must send the request again.
async fn reload_owner(
    app: &App,
    request: &Request,
    before: &AccountOwner,
) -> Result<AccountOwner, ThreePidError> {
    let owner = authenticate(app, request)
        .await
        .map_err(ThreePidError::Caller)?;
    if owner.account.epoch != before.account.epoch {
        return Err(StoreError::Contended.into());
    }
    Ok(owner)
}

fn addresses(own: Vec<OwnThreePid>) -> Vec<ThreePid> {
    own.into_iter().map(|own| own.threepid).collect()
}
