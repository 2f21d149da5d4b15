//! `POST /_matrix/client/{r0,v3}/account/3pid/add`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidadd)
//!
//! The validation session is checked twice: before UIA, so that a client without a validated 3PID is not
//! asked for a password, and in the final transaction.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    account_threepids::{
        self, AccountOwner, AddRead, Added, OwnerAuthentication, ThreePidCreds, ThreePidError,
    },
    accounts::{self, ChangeAccountError},
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, Change},
    http::{self, Body, Request as HttpRequest, Response as HttpResponse},
    secrets::Secret,
    store::{StoreError, ValidationRow},
    uia::{
        Operation, ParametersChangedError, RequestParameters, merge_unchanged,
        request::{
            self, Authentication, FinalAttempt, FinalTransaction, OperationError, ProtectedRequest,
            RequestOutcome, RequestSpec, Requester,
        },
        sealed_secret,
    },
};

/// The response: an empty object.
const DONE: &str = "{}";

/// The parameters. They are serialised only into the sealed state of the UIA session.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "sealed_secret"
    )]
    client_secret: Option<Secret>,
}

impl RequestParameters for Parameters {
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
        Ok(Self {
            sid: merge_unchanged(self.sid, remembered.sid)?,
            client_secret: merge_unchanged(self.client_secret, remembered.client_secret)?,
        })
    }
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config)?;
    // This read leaves out the 3PIDs, because they must be read after the account (`account_threepids`).
    let spec = RequestSpec::new(Operation::AddThreePid);
    let (opened, prefetched) = tokio::join!(
        ProtectedRequest::open(&app, &request, spec),
        prefetch_validation(&app, &request)
    );
    let mut protected = match opened? {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(protected) => protected,
    };
    let given = Parameters::parse(&protected.body)?;
    let parameters = protected.merge_parameters(given)?;
    let Some(credentials) = parameters.credentials() else {
        return Err(parameters.missing().into());
    };
    let owner = owner(&protected)?;
    let validation = match prefetched? {
        Prefetched::Read(validation) => validation.map(|row| *row),
        Prefetched::NotNamed => credentials.find(&app).await?,
    };
    account_threepids::check_validation(&app, &owner, validation.as_ref()).await?;
    let mut completion = match protected.authenticate(&app, &parameters).await? {
        Authentication::Completed(completion) => *completion,
        Authentication::Replay(response) => return Ok(response),
    };
    let (user, account) = (owner.localpart.clone(), owner.account.clone());
    let addition = Addition {
        request: &request,
        credentials: &credentials,
        read: AddRead { owner, validation },
    };
    completion.refund_attempt(&app).await;
    let added = Box::pin(protected.finish(&app, completion, addition));
    homeserver::carry_over(&app, &user, Some(&account), Change::AccountChanged, added).await
}

/// The result of the read that runs concurrently with `ProtectedRequest::open`.
enum Prefetched {
    /// The request does not name a validation session, but its UIA session may contain one.
    NotNamed,
    /// The validation session, if it exists.
    Read(Option<Box<ValidationRow>>),
}

/// Reads the validation session that the request names, concurrently with `ProtectedRequest::open`. A request without an
/// access token is charged to no limit, so nothing is read for it.
async fn prefetch_validation(app: &App, request: &HttpRequest) -> Result<Prefetched, StoreError> {
    if http::access_token(request, app.config.query_tokens).is_err() {
        return Ok(Prefetched::NotNamed);
    }
    // `ProtectedRequest::open` reports an invalid body.
    let parameters = Body::parse(&request.body).and_then(|body| Parameters::parse(&body));
    match parameters.ok().and_then(|given| given.credentials()) {
        Some(credentials) => Ok(Prefetched::Read(credentials.find(app).await?.map(Box::new))),
        None => Ok(Prefetched::NotNamed),
    }
}

impl Parameters {
    fn parse(body: &Body) -> Result<Self, MatrixError> {
        Ok(Self {
            sid: body.optional("sid")?,
            client_secret: body.optional::<String>("client_secret")?.map(Secret::new),
        })
    }

    fn credentials(&self) -> Option<ThreePidCreds> {
        let (sid, secret) = self.sid.clone().zip(self.client_secret.clone())?;
        Some(ThreePidCreds::new(sid, secret))
    }

    fn missing(&self) -> MatrixError {
        let message = match self.client_secret {
            None => "`client_secret` is missing",
            Some(_) => "`sid` is missing",
        };
        MatrixError::new(ErrorCode::MissingParam, message)
    }
}

/// The account that gets the 3PID.
fn owner(protected: &ProtectedRequest) -> Result<AccountOwner, MatrixError> {
    match &protected.requester {
        Requester::User(caller) => Ok(AccountOwner {
            localpart: caller.localpart.clone(),
            account: caller.account.clone(),
        }),
        // The specification exempts application services from UIA at other endpoints, but not here.
        Requester::Anonymous | Requester::Appservice { .. } => Err(request::no_method()),
    }
}

/// The transaction that adds the 3PID.
struct Addition<'a> {
    request: &'a HttpRequest,
    credentials: &'a ThreePidCreds,
    read: AddRead,
}

impl FinalTransaction for Addition<'_> {
    async fn commit(
        &mut self,
        app: &App,
        attempt: FinalAttempt<'_>,
    ) -> Result<String, OperationError> {
        if let Some(before) = attempt.number.checked_sub(1) {
            let authentication = OwnerAuthentication::AccessToken(self.request);
            let (credentials, owner) = (self.credentials, &self.read.owner);
            let read = account_threepids::reload(app, authentication, credentials, owner, before);
            self.read = read.await.map_err(operation_error)?;
        }
        let verified = attempt.completion.result.password.as_ref();
        let verified = verified.map(|verified| verified.password_changed_at);
        let session = attempt.session_commit(app, DONE);
        match account_threepids::try_add(app, &self.read, verified, session).await {
            Ok(Added::Done) => Ok(DONE.to_owned()),
            Ok(Added::Conflict) => Err(OperationError::Conflict),
            Err(error) => Err(operation_error(error)),
        }
    }
}

fn operation_error(error: ThreePidError) -> OperationError {
    match error {
        ThreePidError::SessionChanged => OperationError::SessionChanged,
        ThreePidError::PasswordChanged => ChangeAccountError::AccountChanged.into(),
        error => OperationError::Refused(error.into()),
    }
}
