//! Addresses of an account that is there: what the endpoints that add and remove one have in common.
//!
//! What is read is judged, and what is written is written on top of it: if anything has moved in
//! between, it is read and judged again. The account is always read before its addresses are (see
//! `Store::add_threepid`). Knows nothing of what proves a request: that is done before, and what is
//! finished with it is handed in.

mod add;

use std::time::Duration;

use serde_json::{Map, Value};

pub use add::{AddRead, Added, add, check_validation, reload, try_add};

use crate::{
    accounts::{ChangeAccountError, RemoveThreePidError, RemovedThreePid},
    app::App,
    error::{ErrorCode, MatrixError, reject_as_error},
    http::{self, Body, Request},
    ids::Localpart,
    limits::{self, Limit, LimitError},
    notices,
    outbox::Notice,
    secrets::Secret,
    store::{AccountRow, AccountStatus, OwnThreePid, StoreError, ValidationRow},
    threepids::{
        ThreePid, ThreePidDeniedError,
        proofs::{self, RequestError, ValidationPurpose},
    },
    tokens::{self, CallerError},
};

/// How often what has moved is read again.
const TRIES: u32 = 12;

/// Whose addresses they are: the account as it was read.
#[derive(Debug, Clone)]
pub struct AccountOwner {
    /// The user.
    pub localpart: Localpart,
    /// Their account.
    pub account: AccountRow,
}

/// A validation session as the client names it.
pub struct Credentials {
    sid: String,
    client_secret: Secret,
}

crate::opaque_debug!(Credentials);

/// Why an address was neither added nor removed.
#[derive(Debug, thiserror::Error)]
pub enum ThreePidError {
    /// There is no such validated session for this, or none any more.
    #[error("the address is not proven")]
    NotValidated,
    /// Somebody else has the address.
    #[error("the address is taken")]
    InUse,
    /// The account has as many as it may have.
    #[error("the account has too many addresses")]
    TooMany,
    /// The operator does not want the address here.
    #[error(transparent)]
    Denied(#[from] ThreePidDeniedError),
    /// The account is suspended (TOK-15).
    #[error("the account is suspended")]
    Suspended,
    /// The password is not the one that was given for it.
    #[error("the password has changed")]
    PasswordMoved,
    /// The UIA session is not as it was read: a twin of this request has finished it.
    #[error("the UIA session has moved on")]
    SessionMoved,
    /// Whoever asks cannot have addresses, or cannot any more.
    #[error(transparent)]
    Caller(MatrixError),
    /// Too many requests.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The tables failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ThreePidError> for MatrixError {
    fn from(fault: ThreePidError) -> Self {
        let forbidden = |message| Self::new(ErrorCode::Forbidden, message);
        match fault {
            ThreePidError::NotValidated => Self::new(
                ErrorCode::ThreePidAuthFailed,
                "There is no validated session that proves the address",
            ),
            ThreePidError::InUse => RequestError::InUse.into(),
            ThreePidError::TooMany => forbidden("The account has as many addresses as it may have"),
            ThreePidError::Suspended => {
                Self::new(ErrorCode::UserSuspended, "The account is suspended")
            }
            ThreePidError::Denied(denied) => denied.into(),
            ThreePidError::Caller(error) => error,
            ThreePidError::Limit(error) => error.into(),
            // The caller turns this into a replay; if it cannot, the client may try again.
            ThreePidError::PasswordMoved => ChangeAccountError::AccountChanged.into(),
            ThreePidError::SessionMoved => Self::limited(Duration::from_secs(1)),
            ThreePidError::Store(error) => error.into(),
        }
    }
}

reject_as_error!(ThreePidError);

/// Tells whose addresses a request is to change, with the limit beside that.
pub async fn changer(app: &App, request: &Request) -> Result<AccountOwner, ThreePidError> {
    let (counted, owner) = tokio::join!(
        limits::spend(app, Limit::Account, request.network),
        owner(app, request)
    );
    counted?;
    owner.map_err(ThreePidError::Caller)
}

/// Whoever asks, if they can have addresses: guests cannot.
async fn owner(app: &App, request: &Request) -> Result<AccountOwner, MatrixError> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let caller = tokens::identify(app, &token, request.query.get("user_id")).await?;
    caller.demand_no_guest()?;
    let account = caller.account().cloned().ok_or(CallerError::NotItsUser)?;
    Ok(AccountOwner {
        localpart: caller.localpart().clone(),
        account,
    })
}

impl Credentials {
    /// The session with this id, asked for with this secret.
    pub fn new(sid: String, client_secret: Secret) -> Self {
        Self { sid, client_secret }
    }

    /// Reads the object in which they stand in the deprecated form, in either spelling (ACC3-02). Any
    /// identity server in it is nobody that we would ask.
    pub fn parse_nested(body: &Body) -> Result<Self, MatrixError> {
        let object: Map<String, Value> = match body.optional("three_pid_creds")? {
            Some(object) => object,
            None => match body.optional("threePidCreds")? {
                Some(object) => object,
                None => body.required("three_pid_creds")?,
            },
        };
        let members = Body::from(object);
        for name in ["id_server", "idServer", "id_access_token", "idAccessToken"] {
            members.optional::<String>(name)?;
        }
        let client_secret = match members.optional("clientSecret")? {
            Some(secret) if members.optional::<String>("client_secret")?.is_none() => secret,
            _ => members.required("client_secret")?,
        };
        let sid = members.required("sid")?;
        Ok(Self::new(sid, Secret::new(client_secret)))
    }

    /// The session, if it is there and the client's, for adding an address.
    pub async fn find(&self, app: &App) -> Result<Option<ValidationRow>, StoreError> {
        let lawful =
            proofs::is_opaque_id(&self.sid) && proofs::is_opaque_id(self.client_secret.reveal());
        if !lawful {
            return Ok(None);
        }
        let row = app.store.find_proof(&self.sid).await?;
        // Whose secret it is not, for them it is not there.
        Ok(row.filter(|row| {
            row.purpose == ValidationPurpose::Add
                && proofs::is_of(&app.config.keys, row, &self.client_secret)
        }))
    }
}

/// Removes an address from the account of who asks. One that is not theirs, or no more, is left
/// alone.
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
        let lost = RemovedThreePid {
            localpart: owner.localpart.clone(),
            account: owner.account.clone(),
            threepid: threepid.clone(),
            // No more can be removed than were added, which has a limit.
            notices: notices::mails(app, &own, Notice::AddressRemoved),
        };
        match app.store.remove_threepid(&lost).await {
            Ok(()) | Err(RemoveThreePidError::NotThere) => return Ok(()),
            Err(RemoveThreePidError::Store(error)) => return Err(error.into()),
            Err(RemoveThreePidError::AccountChanged) => app.store.wait(attempt).await,
        }
        owner = again(app, request, &owner).await?;
    }
    Err(StoreError::Contended.into())
}

/// Reads the account again. Where its password was changed meanwhile, what the request was proven
/// with is worth nothing any more, though its token may be: it has to be judged from the beginning.
async fn again(
    app: &App,
    request: &Request,
    before: &AccountOwner,
) -> Result<AccountOwner, ThreePidError> {
    let now = owner(app, request).await.map_err(ThreePidError::Caller)?;
    if now.account.epoch != before.account.epoch {
        return Err(StoreError::Contended.into());
    }
    Ok(now)
}

fn addresses(own: Vec<OwnThreePid>) -> Vec<ThreePid> {
    own.into_iter().map(|own| own.threepid).collect()
}
