//! The 3PIDs of an existing account: the shared part of the endpoints that add or remove one.
//!
//! Each write is conditional on the rows that the decision was based on. If one of them has changed, all of them are
//! read and the decision is made again. The account is always read before its 3PIDs (see `Store::add_threepid`).

mod add;

use std::time::Duration;

pub use add::{AddRead, Added, add, check_validation, reload, try_add};

pub use crate::threepid_creds::ThreePidCreds;
use crate::{
    accounts::{ChangeAccountError, RemoveThreePidError, RemovedThreePid},
    app::App,
    callers,
    error::{ErrorCode, MatrixError, reject_as_error},
    homeserver::{self, Change},
    http::{self, Request},
    ids::Localpart,
    limits::LimitError,
    outbox::Notice,
    security_notifications,
    store::{AccountRow, AccountStatus, OwnThreePid, StoreError},
    threepid_validation::RequestError,
    threepids::{ThreePid, ThreePidDeniedError},
    tokens::{self, Caller, CallerError, TokenLimits},
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
    /// The 3PID has no validated session for its addition to this account.
    #[error("the address is not validated")]
    NotValidated,
    /// Another account has the 3PID.
    #[error("the address belongs to another account")]
    InUse,
    /// The account has the maximum number of 3PIDs.
    #[error("the account has the maximum number of addresses")]
    TooMany,
    /// The operator's settings do not allow the 3PID.
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
    /// The request exceeds a rate limit.
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
            ThreePidError::PasswordChanged => ChangeAccountError::AccountChanged.into(),
            // The endpoint replays the response of the duplicate request. If it cannot, the client may try again.
            ThreePidError::SessionChanged => Self::limited(Duration::from_secs(1)),
            ThreePidError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(ThreePidError);

/// The account whose 3PIDs the request changes. Charges the request at the same time.
pub async fn load_owner(app: &App, request: &Request) -> Result<AccountOwner, ThreePidError> {
    let caller = callers::identify(app, request, TokenLimits::WRITE).await;
    caller
        .and_then(|caller| owner_of(&caller))
        .map_err(ThreePidError::Caller)
}

/// Like [`load_owner`], for a request that has been charged.
async fn load_owner_again(app: &App, request: &Request) -> Result<AccountOwner, MatrixError> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let caller = tokens::identify(app, &token, request.query.get("user_id")).await?;
    owner_of(&caller)
}

/// The account of the caller, who must not be a guest.
fn owner_of(caller: &Caller) -> Result<AccountOwner, MatrixError> {
    caller.ensure_account_api()?;
    caller.ensure_not_guest()?;
    let account = caller.account().cloned().ok_or(CallerError::NotItsUser)?;
    Ok(AccountOwner {
        localpart: caller.localpart().clone(),
        account,
    })
}

/// The authentication of a request that adds or removes a 3PID.
#[derive(Debug, Clone, Copy)]
pub enum OwnerAuthentication<'a> {
    /// The access token of this request.
    AccessToken(&'a Request),
    /// A browser session, which has the epoch of the account.
    BrowserSession,
}

/// Removes a 3PID from the account of the caller. Succeeds without effect if the account does not have it.
pub async fn remove(
    app: &App,
    authentication: OwnerAuthentication<'_>,
    owner: AccountOwner,
    threepid: &ThreePid,
) -> Result<(), ThreePidError> {
    let AccountOwner { localpart, account } = owner.clone();
    let removed = try_remove(app, authentication, owner, threepid);
    homeserver::carry_over(
        app,
        &localpart,
        Some(&account),
        Change::AccountChanged,
        removed,
    )
    .await
}

async fn try_remove(
    app: &App,
    authentication: OwnerAuthentication<'_>,
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
            // Removals need no rate limit: an account cannot remove more 3PIDs than it has added, and additions have a
            // rate limit.
            notices: security_notifications::mails(app, &own, Notice::AddressRemoved),
        };
        match app.store.remove_threepid(&removal).await {
            Ok(()) | Err(RemoveThreePidError::NotThere) => return Ok(()),
            Err(RemoveThreePidError::Store(error)) => return Err(error.into()),
            Err(RemoveThreePidError::AccountChanged) => app.store.wait(attempt).await,
        }
        owner = authentication.reload_owner(app, &owner).await?;
    }
    Err(StoreError::Contended.into())
}

impl OwnerAuthentication<'_> {
    /// Reads the account again. Fails if its token epoch has changed, for example by a password change. The access token
    /// may still be valid, but the authentication of the request is not, so the client must send the request again.
    async fn reload_owner(
        self,
        app: &App,
        before: &AccountOwner,
    ) -> Result<AccountOwner, ThreePidError> {
        let owner = match self {
            Self::AccessToken(request) => load_owner_again(app, request)
                .await
                .map_err(ThreePidError::Caller)?,
            Self::BrowserSession => {
                let account = app.store.find_account(&before.localpart).await?;
                let account = account.filter(|account| account.status != AccountStatus::Locked);
                AccountOwner {
                    account: account.ok_or(StoreError::Contended)?,
                    localpart: before.localpart.clone(),
                }
            }
        };
        if owner.account.epoch != before.account.epoch {
            return Err(StoreError::Contended.into());
        }
        Ok(owner)
    }
}

fn addresses(own: Vec<OwnThreePid>) -> Vec<ThreePid> {
    own.into_iter().map(|own| own.threepid).collect()
}
