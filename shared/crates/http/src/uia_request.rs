//! Requests about an account that UIA guards: who asks, what they have to prove, and what a repeat
//! is told.
//!
//! Every such request runs the same beats: [`open`] reads what there is to know in one go (account,
//! device, password, UIA session), gives a finished session's answer again or says who asks;
//! the endpoint settles what comes before UIA; [`ProtectedRequest::prove`] proves or challenges; [`ProtectedRequest::finish`]
//! makes the endpoint's one transaction, or finds the answer of a twin that was quicker. Knows nothing of what the endpoints do.

mod finish;

use ::http::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use finish::OperationError;

use crate::{
    accounts::ChangeAccountError,
    app::App,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Body, ClientNetwork, Request, Response},
    ids::Localpart,
    limits::{self, Limit, LimitError},
    passwords::PasswordHash,
    secrets::Secret,
    store::{AccountRow, CallerFacts, OwnThreePid, StoreError},
    tokens::{self, AuthenticationError, Caller, Token, TokenKind},
    uia::{
        self, Auth, FlowSet, OpenSession, Operation, Prefetched, Replay, SessionScope, StageType,
        UiaAttempt, UiaCompletion,
    },
};

/// What an endpoint asks for.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// What is to be done.
    pub operation: Operation,
    /// What it is done to; empty where there is no choice.
    pub target: String,
    /// What is offered to who comes without a token; `None` if nobody may.
    pub anonymous: Option<FlowSet>,
    /// What is offered to a user without a password; `None` if that is nothing.
    pub without_password: Option<FlowSet>,
    /// Whether the account's addresses are to be read, if the request looks like the last one.
    pub addresses: bool,
}

/// Who asks.
#[derive(Debug)]
pub enum Requester {
    /// Somebody without a token.
    Nobody,
    /// A user.
    User(Box<tokens::Session>),
    /// An application service, as one of its users. It need not prove anything (UIA-28).
    Appservice {
        /// The user.
        user: Localpart,
        /// Their account. Its own user may have none.
        account: Option<AccountRow>,
    },
}

/// What a request is.
#[derive(Debug)]
pub enum RequestOutcome {
    /// One that has been answered before: this was the answer (UIA-15).
    Answered(Response),
    /// One to be worked on.
    New(Box<ProtectedRequest>),
}

/// A request to be worked on.
pub struct ProtectedRequest {
    /// Who asks.
    pub who: Requester,
    /// The request's body.
    pub body: Body,
    /// The account's addresses, if they have been read.
    pub addresses: Option<Vec<OwnThreePid>>,
    /// Where it comes from.
    pub network: ClientNetwork,
    wanted: RequestSpec,
    auth: Auth,
    session: Option<OpenSession>,
    password: Option<PasswordHash>,
    prepared: Prefetched,
    charged: bool,
    /// The request, by which a finished session knows it again.
    canonical: String,
}

crate::opaque_debug!(ProtectedRequest);

/// Reads the request and everything that has to be known first, in one round trip.
pub async fn open(
    app: &App,
    request: &Request,
    wanted: RequestSpec,
) -> Result<RequestOutcome, Rejection> {
    // The first request to delete a device has no body in many clients.
    let body = match request.method {
        Method::DELETE if request.body.is_empty() => Body::default(),
        _ => Body::parse(&request.body)?,
    };
    let auth = Auth::parse(&body)?;
    let text = match wanted.anonymous {
        Some(_) => http::optional_access_token(request, app.config.query_tokens)?,
        None => Some(http::access_token(request, app.config.query_tokens)?),
    };
    let mut uia_request = ProtectedRequest {
        canonical: canonical(&wanted, &body, text.as_ref()),
        who: Requester::Nobody,
        body,
        addresses: None,
        network: request.network,
        wanted,
        auth,
        session: None,
        password: None,
        prepared: Prefetched::Nothing,
        charged: false,
    };
    if let Some(text) = &text
        && let Some(appservice) = tokens::authenticate_appservice(app, text).await?
    {
        limits::spend(app, Limit::Account, request.network).await?;
        let asserted = request.query.get("user_id");
        if let Caller::Appservice { localpart, account } =
            tokens::as_user(app, &appservice, asserted).await?
        {
            uia_request.who = Requester::Appservice {
                user: localpart,
                account,
            };
        }
        return Ok(RequestOutcome::New(Box::new(uia_request)));
    }
    let token = match &text {
        None => None,
        Some(text) => Some(
            Token::parse(TokenKind::Access, text, &app.config.server_name)
                .ok_or(AuthenticationError::Unknown)?,
        ),
    };
    let (facts, guess) = uia_request.read(app, token.as_ref()).await?;
    uia_request.judge(app, token, facts, guess).await
}

/// The request, with what it is for and who sent it.
fn canonical(wanted: &RequestSpec, body: &Body, token: Option<&Secret>) -> String {
    let token = token.map_or("", |token| token.reveal().as_str());
    format!(
        "{}\n{}\n{}\n{}",
        wanted.operation.replay_name(),
        Value::from(wanted.target.as_str()),
        Value::from(token),
        body.canonical()
    )
}

impl ProtectedRequest {
    /// The first read, with the limits and whatever the attempted stage reads beside it. With it,
    /// whether a guess has been charged, or why it may not be made.
    async fn read(
        &mut self,
        app: &App,
        token: Option<&Token>,
    ) -> Result<(CallerFacts, Result<bool, LimitError>), Rejection> {
        let session = self.auth.session.as_ref().and_then(uia::session_key);
        let user = token.map(|token| (&token.localpart, &token.device));
        // Whichever of them it will be is known only after this read.
        let offers = [self.wanted.anonymous, self.wanted.without_password];
        let flows: Vec<_> = offers
            .into_iter()
            .flatten()
            .flat_map(|offer| offer.flows(&app.config))
            .collect();
        let attempts = self.auth.stage.is_some();
        self.charged = self.auth.session.is_none() && !attempts;
        let addresses = async {
            match token.filter(|_| self.wanted.addresses && attempts) {
                Some(token) => app.store.addresses_of(&token.localpart).await.map(Some),
                None => Ok(None),
            }
        };
        let guess = async {
            // What lacks a name or a password is hashed for nobody.
            let guesses = self.auth.attempted() == Some(StageType::Password)
                && credentials::is_guess(app, &self.auth.members);
            let Some(token) = token.filter(|_| guesses) else {
                return Ok(false);
            };
            let charged = credentials::charge_own(app, &token.localpart, self.network);
            charged.await.map(|()| true)
        };
        let (charge, guess, facts, prepared, addresses) = tokio::join!(
            Box::pin(charge(app, self.network, self.charged)),
            Box::pin(guess),
            Box::pin(app.store.find_caller(user, session.as_deref())),
            Box::pin(uia::prepare(app, &flows, &self.auth, self.network)),
            Box::pin(addresses)
        );
        charge?;
        (self.prepared, self.addresses) = (prepared?, addresses?);
        Ok((facts?, guess))
    }

    /// A repeat is told what it was told before, even if its token has died of it (deactivation);
    /// then the token counts, then whether a guess may be made, and then whether the session is still
    /// open.
    async fn judge(
        mut self,
        app: &App,
        token: Option<Token>,
        facts: CallerFacts,
        guess: Result<bool, LimitError>,
    ) -> Result<RequestOutcome, Rejection> {
        self.session = match (&self.auth.session, facts.session) {
            (Some(id), Some(row)) => OpenSession::open(app, id, row),
            _ => None,
        };
        let replay = self.session.as_ref().map_or(Replay::Open, |session| {
            session.replay(&self.canonical, app.clock.now())
        });
        if let Replay::Answer { text, .. } = replay {
            if let (Some(token), Ok(true)) = (token, guess) {
                credentials::refund_own(app, &token.localpart, self.network).await;
            }
            return Ok(RequestOutcome::Answered(answer(text)));
        }
        if let Some(token) = token {
            let caller = tokens::authenticate_with(app, token, facts.account, facts.device);
            let caller = match caller.await {
                Ok(caller) => caller,
                Err(error) => {
                    return match self.answer_of_twin(app).await? {
                        Some(response) => Ok(RequestOutcome::Answered(response)),
                        None => Err(error.into()),
                    };
                }
            };
            caller.ensure_not_guest()?;
            self.password = facts.password;
            self.who = Requester::User(Box::new(caller));
        }
        guess?;
        if matches!(replay, Replay::Over) {
            let message = "The session is finished: begin a new one";
            return Err(MatrixError::new(ErrorCode::InvalidParam, message).into());
        }
        Ok(RequestOutcome::New(Box::new(self)))
    }

    /// The user whose token it is.
    pub fn user(&self) -> Option<&Localpart> {
        match &self.who {
            Requester::Nobody => None,
            Requester::User(caller) => Some(&caller.localpart),
            Requester::Appservice { user, .. } => Some(user),
        }
    }

    /// The operation's parameters: what is absent now was given before (UIA-19), and what was given
    /// before may not be another now (UIA-20).
    pub fn settle<P: Serialize + DeserializeOwned>(&self, asked: &P) -> Result<P, MatrixError> {
        let members = |value| match value {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let mut all = members(serde_json::to_value(asked));
        let remembered = self.session.as_ref();
        let remembered = remembered.map(|session| session.state.parameters.clone());
        for (name, before) in members(Ok(remembered.unwrap_or_default())) {
            if *all.entry(name).or_insert_with(|| before.clone()) != before {
                let message = "The session belongs to another request";
                return Err(MatrixError::new(ErrorCode::Forbidden, message));
            }
        }
        serde_json::from_value(Value::Object(all)).map_err(|_| {
            MatrixError::new(
                ErrorCode::InvalidParam,
                "The session is not for this request",
            )
        })
    }

    /// Proves or challenges.
    pub async fn prove<P: Serialize>(
        &mut self,
        app: &App,
        parameters: &P,
    ) -> Result<UiaCompletion, Rejection> {
        let (user, offer) = match &self.who {
            Requester::User(caller) if self.password.is_some() => {
                (Some(caller), Some(FlowSet::Password))
            }
            Requester::User(caller) => (Some(caller), self.wanted.without_password),
            Requester::Nobody | Requester::Appservice { .. } => (None, self.wanted.anonymous),
        };
        let flows = offer.map(|offer| offer.flows(&app.config));
        let (Some(offer), Some(flows)) = (offer, flows.filter(|flows| !flows.is_empty())) else {
            let message = "There is no way here to prove that it is you";
            return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
        };
        let binding = SessionScope {
            operation: self.wanted.operation,
            target: self.wanted.target.clone(),
            user: user.map(|caller| (caller.localpart.clone(), caller.account.epoch)),
            offer,
        };
        if binding.user.is_some() && self.auth.attempted() == Some(StageType::Password) {
            self.prepared = Prefetched::Password(self.password.clone());
        }
        let attempt = UiaAttempt {
            flows: &flows,
            binding,
            parameters: serde_json::to_value(parameters).unwrap_or(Value::Null),
            auth: &self.auth,
            session: self.session.take(),
            prepared: std::mem::take(&mut self.prepared),
            network: self.network,
            charged: self.charged,
        };
        let proof = Box::pin(uia::prove(app, attempt)).await?;
        // A password that was given in an earlier request may be another by now.
        let set = self.password.as_ref().map(|password| password.set);
        let given = proof.gains.password.as_ref().map(|known| known.set);
        if matches!(self.who, Requester::User(_)) && given.is_some() && given != set {
            return Err(ChangeAccountError::AccountChanged.into());
        }
        Ok(proof)
    }

    /// The answer that a twin of this request has been given meanwhile, if there was one.
    pub async fn answer_of_twin(&self, app: &App) -> Result<Option<Response>, StoreError> {
        let Some(id) = &self.auth.session else {
            return Ok(None);
        };
        let session = OpenSession::find(app, id).await?;
        Ok(
            match session.map(|session| session.replay(&self.canonical, app.clock.now())) {
                Some(Replay::Answer { text, .. }) => Some(answer(text)),
                _ => None,
            },
        )
    }
}

/// The limits of what the request is likely to come to.
async fn charge(app: &App, network: ClientNetwork, begins: bool) -> Result<(), LimitError> {
    let further = async {
        if begins {
            limits::spend(app, Limit::UiaSession, network).await?;
        }
        Ok(())
    };
    let (entry, further) = tokio::join!(limits::spend(app, Limit::Account, network), further);
    entry.and(further)
}

fn answer(text: String) -> Response {
    Response::json_text(StatusCode::OK, text)
}
