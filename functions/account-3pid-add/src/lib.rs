//! `POST /_matrix/client/{r0,v3}/account/3pid/add`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidadd);
//! ACC3-03, ACC3-04, ACC3-07, 3PID-49, 3PID-68, UIA-13 to UIA-25, TOK-15. Who has nothing proven to
//! add is not asked for a password; what has changed while they were asked is seen at the end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    accounts::{self, ChangeAccountError},
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    own_addresses::{self, AccountOwner, Credentials, ThreePidError},
    store::{StoreError, ValidationRow},
    uia::{Operation, SessionCommit, UiaCompletion},
    uia_request::{self, OperationError, ProtectedRequest, RequestOutcome, RequestSpec, Requester},
};

/// The answer: nothing.
const DONE: &str = "{}";

/// What is asked for; remembered in the UIA session, sealed.
#[derive(Default, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::ensure_threepid_changes_enabled(&app.config)?;
    let wanted = RequestSpec {
        operation: Operation::AddThreePid,
        target: String::new(),
        anonymous: None,
        without_password: None,
        // They are read after the account is (see `own_addresses`).
        addresses: false,
    };
    let (opened, found) = tokio::join!(
        uia_request::open(&app, &request, wanted),
        read_ahead(&app, &request)
    );
    let mut uia_request = match opened? {
        RequestOutcome::Answered(response) => return Ok(response),
        RequestOutcome::New(uia_request) => uia_request,
    };
    let asked = uia_request.settle(&Request::parse(&uia_request.body)?)?;
    let Some(credentials) = asked.credentials() else {
        return Err(asked.missing().into());
    };
    let owner = owner(&uia_request)?;
    let found = match found? {
        Some(found) => found,
        None => credentials.find(&app).await?,
    };
    own_addresses::judge(&app, &owner, found.as_ref()).await?;
    let proof = uia_request.prove(&app, &asked).await?;
    Box::pin(finish(
        &app,
        &request,
        &uia_request,
        proof,
        (credentials, found),
    ))
    .await
}

/// The validation session, read along with the first read if the request names it; `None` if it does
/// not.
async fn read_ahead(
    app: &App,
    request: &HttpRequest,
) -> Result<Option<Option<ValidationRow>>, StoreError> {
    // What is wrong with the body is said by who reads it for good.
    let asked = Body::parse(&request.body).and_then(|body| Request::parse(&body));
    match asked.ok().and_then(|asked| asked.credentials()) {
        Some(credentials) => credentials.find(app).await.map(Some),
        None => Ok(None),
    }
}

impl Request {
    fn parse(body: &Body) -> Result<Self, MatrixError> {
        Ok(Self {
            sid: body.optional("sid")?,
            client_secret: body.optional("client_secret")?,
        })
    }

    fn credentials(&self) -> Option<Credentials> {
        let (sid, secret) = self.sid.clone().zip(self.client_secret.clone())?;
        Some(Credentials::new(sid, secret))
    }

    fn missing(&self) -> MatrixError {
        let message = match self.client_secret {
            None => "`client_secret` is missing",
            Some(_) => "`sid` is missing",
        };
        MatrixError::new(ErrorCode::MissingParam, message)
    }
}

/// Whose address it will be.
fn owner(uia_request: &ProtectedRequest) -> Result<AccountOwner, MatrixError> {
    match &uia_request.who {
        Requester::User(caller) => Ok(AccountOwner {
            localpart: caller.localpart.clone(),
            account: caller.account.clone(),
        }),
        // The specification excuses them from UIA elsewhere, and here it does not.
        Requester::Nobody | Requester::Appservice { .. } => Err(MatrixError::new(
            ErrorCode::Forbidden,
            "There is no way here to prove that it is you",
        )),
    }
}

/// Adds the address: one transaction.
async fn finish(
    app: &App,
    request: &HttpRequest,
    uia_request: &ProtectedRequest,
    mut proof: UiaCompletion,
    (credentials, mut found): (Credentials, Option<ValidationRow>),
) -> Result<HttpResponse, Rejection> {
    proof.settle(app).await;
    let owner = owner(uia_request)?;
    let known = proof.gains.password.as_ref().map(|known| known.set);
    let write = |session: Option<SessionCommit>| {
        let (credentials, owner) = (&credentials, owner.clone());
        // What has been read is good for one attempt.
        let found = found.take();
        async move {
            let found = match found {
                Some(found) => Some(found),
                None => credentials
                    .find(app)
                    .await
                    .map_err(|error| unfinished(error.into()))?,
            };
            let commit = || session.clone();
            own_addresses::add(app, request, owner, credentials, found, (known, commit))
                .await
                .map_err(unfinished)
        }
    };
    Box::pin(uia_request.finish(app, proof, DONE, write)).await
}

/// That the session has moved may mean that a twin of the request was quicker.
fn unfinished(fault: ThreePidError) -> OperationError {
    match fault {
        ThreePidError::SessionMoved => ChangeAccountError::SessionChanged.into(),
        ThreePidError::PasswordMoved => ChangeAccountError::AccountChanged.into(),
        fault => OperationError::Refused(fault.into()),
    }
}
