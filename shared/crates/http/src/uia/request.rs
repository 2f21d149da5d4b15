//! The life cycle of a UIA-protected request.
//!
//! 1. [`ProtectedRequest::open`] reads everything that the request depends on in one round trip: account, device,
//!    password and UIA session. It repeats the response of a completed session or identifies the
//!    requester. `registration` does the same for a request that creates an account.
//! 2. The endpoint makes the checks that precede UIA, with [`ProtectedRequest::merge_parameters`].
//! 3. [`ProtectedRequest::authenticate`] returns a completed flow or a challenge.
//! 4. [`ProtectedRequest::finish`] carries out the endpoint's one transaction, or repeats the response
//!    of a concurrent duplicate of the request that completed first.

mod charge;
mod finish;
mod open;
mod registration;
mod replay;

pub use finish::{CarriedChange, FinalAttempt, FinalTransaction, OperationError};
pub use registration::Registration;

use self::{
    charge::{Charged, charge},
    replay::{Replayed, replayed_answer, session_completed},
};
use crate::{
    accounts::ChangeAccountError,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, ClientNetwork, Response},
    ids::Localpart,
    passwords::PasswordHash,
    store::{AccountRow, OwnThreePid},
    tokens,
    uia::{
        self, Auth, AuthenticateError, FlowSet, Login, OpenSession, Operation, Prefetched,
        RequestParameters, SessionDevice, SessionParameters, SessionScope, StageType, UiaAttempt,
        UiaCompletion, operations::wrong_scope,
    },
};

/// The UIA requirements of an endpoint.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// The operation with its target.
    pub operation: Operation,
    /// The flows for a request without an access token. `None` if an access token is required.
    pub anonymous: Option<FlowSet>,
    /// The flows for a user without a password. `None` if such a user cannot authenticate.
    pub without_password: Option<FlowSet>,
    /// Whether the first read includes the account's 3PIDs, if the request attempts a stage.
    pub threepids: bool,
}

impl RequestSpec {
    /// An operation that needs an access token and the password of its user.
    pub const fn new(operation: Operation) -> Self {
        Self {
            operation,
            anonymous: None,
            without_password: None,
            threepids: false,
        }
    }
}

/// The sender of a request, as its access token identifies it.
#[derive(Debug)]
pub enum Requester {
    /// A client without an access token.
    Anonymous,
    /// A user with a valid access token.
    User(Box<tokens::Session>),
    /// An application service that acts as one of its users. It needs no UIA (UIA-28).
    Appservice {
        /// The user.
        user: Localpart,
        /// The user's account. The user of the application service itself may have none.
        account: Option<AccountRow>,
    },
}

/// The outcome of the first read.
#[derive(Debug)]
pub enum RequestOutcome<R = ProtectedRequest> {
    /// The stored response of the same request (UIA-15).
    Replay(Response),
    /// A request that has no response yet.
    New(Box<R>),
}

/// The outcome of an authentication.
#[derive(Debug)]
pub enum Authentication {
    /// The stored response of a concurrent duplicate request.
    Replay(Response),
    /// A flow is completed.
    Completed(Box<UiaCompletion>),
}

/// A request that has no response yet.
pub struct ProtectedRequest {
    /// The sender of the request. [`Requester::Anonymous`] until the first read.
    pub requester: Requester,
    /// The request's body.
    pub body: Body,
    /// The account's 3PIDs, if the first read included them.
    pub threepids: Option<Vec<OwnThreePid>>,
    /// The client's network.
    pub network: ClientNetwork,
    spec: RequestSpec,
    auth: Auth,
    /// The user and the device that the access token names, before it is validated.
    login: Option<Login>,
    session: Option<OpenSession>,
    password: Option<PasswordHash>,
    prefetched: Prefetched,
    charged: Charged,
    /// Whether the request starts the session that it names, if there is none.
    starts_session: bool,
    /// The canonical form of the request. A completed session stores its hash to recognise a repeated request.
    canonical: String,
}

crate::opaque_debug!(ProtectedRequest);

impl ProtectedRequest {
    fn new(
        spec: RequestSpec,
        body: Body,
        auth: Auth,
        network: ClientNetwork,
        canonical: String,
    ) -> Self {
        Self {
            requester: Requester::Anonymous,
            body,
            threepids: None,
            network,
            spec,
            auth,
            login: None,
            session: None,
            password: None,
            prefetched: Prefetched::Nothing,
            charged: Charged::Nothing,
            starts_session: false,
            canonical,
        }
    }

    /// The user of the access token.
    pub fn user(&self) -> Option<&Localpart> {
        match &self.requester {
            Requester::Anonymous => None,
            Requester::User(caller) => Some(&caller.localpart),
            Requester::Appservice { user, .. } => Some(user),
        }
    }

    /// The parameters that the session stores.
    pub fn remembered<P: RequestParameters>(&self) -> Result<P, MatrixError> {
        let Some(session) = &self.session else {
            return Ok(P::default());
        };
        session.state.parameters.read().map_err(|_| {
            MatrixError::new(
                ErrorCode::InvalidParam,
                "The session is not for this request",
            )
        })
    }

    /// The operation's parameters: the parameters of this request, completed with those that the
    /// session stores (UIA-19, UIA-20).
    pub fn merge_parameters<P: RequestParameters>(&self, given: P) -> Result<P, MatrixError> {
        let merged = given.merge(self.remembered()?);
        merged.map_err(|_| wrong_scope())
    }

    /// Authenticates the request. Returns a completed flow, or a challenge as the error. The session
    /// stores the parameters.
    pub async fn authenticate<P: RequestParameters>(
        &mut self,
        app: &App,
        parameters: &P,
    ) -> Result<Authentication, Rejection> {
        let (user, flow_set) = match &self.requester {
            Requester::User(caller) if self.password.is_some() => {
                (Some(caller), Some(FlowSet::Password))
            }
            Requester::User(caller) => (Some(caller), self.spec.without_password),
            Requester::Anonymous | Requester::Appservice { .. } => (None, self.spec.anonymous),
        };
        let flows = flow_set.map(|flow_set| flow_set.flows(&app.config));
        let (Some(flow_set), Some(flows)) = (flow_set, flows.filter(|flows| !flows.is_empty()))
        else {
            return Err(no_method().into());
        };
        let scope = SessionScope {
            operation: self.spec.operation.clone(),
            user: user.map(|caller| (caller.localpart.clone(), caller.account.epoch)),
            device: user.map(|caller| SessionDevice {
                id: caller.device.clone(),
                issued_at: caller.issued_at,
            }),
            flow_set,
        };
        if scope.user.is_some() && self.auth.attempted() == Some(StageType::Password) {
            self.prefetched = Prefetched::Password(self.password.clone());
        }
        let attempt = UiaAttempt {
            flows: &flows,
            scope,
            parameters: SessionParameters::of(parameters),
            auth: &self.auth,
            session: self.session.take(),
            prefetched: std::mem::take(&mut self.prefetched),
            network: self.network,
            session_start_charged: self.charged == Charged::SessionStart,
        };
        let completion = match Box::pin(uia::authenticate(app, attempt)).await {
            Ok(completion) => completion,
            Err(AuthenticateError::Rejected(rejection)) => return Err(rejection),
            // A concurrent duplicate may have completed the session during a stage's check.
            Err(AuthenticateError::SessionChanged) => {
                let response = self.or_replay(app, session_completed()).await?;
                return Ok(Authentication::Replay(response));
            }
        };
        // The password may have been changed since an earlier request of the session was authenticated with it.
        let current = self.password.as_ref().map(|password| password.changed_at);
        let verified = completion.result.password.as_ref();
        let verified = verified.map(|verified| verified.password_changed_at);
        let is_user = matches!(self.requester, Requester::User(_));
        if is_user && verified.is_some() && verified != current {
            return Err(ChangeAccountError::AccountChanged.into());
        }
        Ok(Authentication::Completed(Box::new(completion)))
    }
}

/// The error if no flow is possible, because the account has no password, and 3PIDs are not accepted or
/// this server cannot send messages.
pub fn no_method() -> MatrixError {
    MatrixError::new(
        ErrorCode::Forbidden,
        "No authentication method is available for this account",
    )
}
