//! The first read of a request about an existing account, and the identification of the requester.

use ::http::Method;
use serde_json::Value;

use super::{
    Charged, ProtectedRequest, RequestOutcome, RequestSpec, Requester, charge, replayed_answer,
};
use crate::{
    app::App,
    credentials,
    error::Rejection,
    http::{self, Body, ClientNetwork, Request},
    limits::{self, Limit, LimitError},
    secrets::Secret,
    store::CallerFacts,
    tokens::{self, AuthenticationError, Caller, Token, TokenApi, TokenKind, TokenLimits},
    uia::{self, Auth, Login, Operation, Replay, StageType},
};

/// The canonical form of a request: its operation, target, access token and body. The stored request hash
/// covers it. The format must never change, because a repeated request would look like a different one.
fn canonical(operation: &Operation, body: &Body, token: Option<&Secret>) -> String {
    let token = token.map_or("", |token| token.reveal().as_str());
    format!(
        "{}\n{}\n{}\n{}",
        operation.replay_name(),
        Value::from(operation.target()),
        Value::from(token),
        body.canonical()
    )
}

impl ProtectedRequest {
    /// Reads the request of a user, of an application service or, if `spec` allows that, of a client
    /// without an access token.
    pub async fn open(
        app: &App,
        request: &Request,
        spec: RequestSpec,
    ) -> Result<RequestOutcome, Rejection> {
        // Many clients send no body with their first request to delete a device.
        let body = match request.method {
            Method::DELETE if request.body.is_empty() => Body::default(),
            _ => Body::parse(&request.body)?,
        };
        let auth = Auth::parse(&body)?;
        let text = match spec.anonymous {
            Some(_) => http::optional_access_token(request, app.config.query_tokens)?,
            None => Some(http::access_token(request, app.config.query_tokens)?),
        };
        let canonical = canonical(&spec.operation, &body, text.as_ref());
        let mut protected = Self::new(spec, body, auth, request.network, canonical);
        if let Some(text) = &text
            && let Some(appservice) = tokens::authenticate_appservice(app, text).await?
        {
            limits::consume(app, Limit::Account, request.network).await?;
            let asserted = request.query.get("user_id");
            if let Caller::Appservice { localpart, account } =
                tokens::as_user(app, &appservice, asserted).await?
            {
                protected.requester = Requester::Appservice {
                    user: localpart,
                    account,
                };
            }
            return Ok(RequestOutcome::New(Box::new(protected)));
        }
        let token = match &text {
            None => None,
            Some(text) => {
                let token = Token::parse(TokenKind::Access, text, &app.config.server_name);
                if token.is_none() {
                    limits::consume(app, Limit::Account, request.network).await?;
                }
                Some(token.ok_or(AuthenticationError::Unknown)?)
            }
        };
        let (facts, charged) = protected.read(app, token.as_ref()).await?;
        protected.login = token.as_ref().map(|token| Login {
            user: token.localpart.clone(),
            device: facts.device_id.clone(),
        });
        protected.identify(app, token, facts, charged).await
    }

    /// Reads the request of a page without an access token, with the session of its forms. No body of a client has the
    /// same canonical form.
    pub async fn open_page(
        app: &App,
        spec: RequestSpec,
        network: ClientNetwork,
        session: Secret,
        canonical: String,
    ) -> Result<RequestOutcome, Rejection> {
        let auth = Auth {
            session: Some(session),
            stage: None,
            members: Body::default(),
        };
        let mut protected = Self::new(spec, Body::default(), auth, network, canonical);
        let (facts, charged) = protected.read(app, None).await?;
        protected.identify(app, None, facts, charged).await
    }

    /// The first read. The rate limits are charged and the rows of the attempted stage are read concurrently.
    /// Also returns the charge, or the reason why a password attempt is not allowed.
    async fn read(
        &mut self,
        app: &App,
        token: Option<&Token>,
    ) -> Result<(CallerFacts, Result<Charged, LimitError>), Rejection> {
        let session = self.auth.session.as_ref().and_then(uia::session_key);
        let user = token.map(|token| (&token.localpart, &token.device));
        // This read determines which of the two flow sets applies.
        let flow_sets = [self.spec.anonymous, self.spec.without_password];
        let flows: Vec<_> = flow_sets
            .into_iter()
            .flatten()
            .flat_map(|flow_set| flow_set.flows(&app.config))
            .collect();
        let attempts = self.auth.stage.is_some();
        // A request without a session starts one, unless it completes a flow at once.
        let likely = match self.auth.session {
            None if !self.attempts_password(app, token) => Charged::SessionStart,
            _ => Charged::Nothing,
        };
        let threepids = async {
            match token.filter(|_| self.spec.threepids && attempts) {
                Some(token) => app.store.addresses_of(&token.localpart).await.map(Some),
                None => Ok(None),
            }
        };
        let password_attempt = async {
            let Some(token) = token.filter(|_| self.attempts_password(app, token)) else {
                return Ok(likely);
            };
            let user = &token.localpart;
            let charged = credentials::charge_token_holder(app, user, self.network).await;
            charged.map(|()| Charged::PasswordAttempt)
        };
        let endpoint = tokens::charge(app, TokenLimits::WRITE, self.network, token);
        let (charge, charged, facts, prefetched, threepids) = tokio::join!(
            Box::pin(charge(app, endpoint, likely, self.network)),
            Box::pin(password_attempt),
            Box::pin(app.store.find_caller(user, session.as_deref())),
            Box::pin(uia::prefetch(app, &flows, &self.auth, self.network)),
            Box::pin(threepids)
        );
        charge?;
        (self.prefetched, self.threepids) = (prefetched?, threepids?);
        Ok((facts?, charged))
    }

    /// Whether the request attempts the password of the access token's user. If the identifier or the password is
    /// missing, nothing is hashed, so nothing is charged.
    fn attempts_password(&self, app: &App, token: Option<&Token>) -> bool {
        token.is_some_and(|token| token.api == TokenApi::Account)
            && self.auth.attempted() == Some(StageType::Password)
            && credentials::has_credentials(app, &self.auth.members)
    }

    /// Checks in this order:
    ///
    /// 1. A repeated request receives its stored response, even if the operation has invalidated the
    ///    access token (deactivation).
    /// 2. The access token must be valid.
    /// 3. A password attempt must be within its limits.
    /// 4. The session must not be completed, and must be a session of this operation.
    /// 5. A request that names an unknown session must be within the limit for new sessions.
    async fn identify(
        mut self,
        app: &App,
        token: Option<Token>,
        mut facts: CallerFacts,
        charged: Result<Charged, LimitError>,
    ) -> Result<RequestOutcome, Rejection> {
        let row = facts.session.take();
        self.session = self.open_session(app, row, &facts);
        let replay = self.replay(app);
        if let Replay::Answer { text, .. } = replay {
            if let (Some(token), Ok(Charged::PasswordAttempt)) = (token, charged) {
                credentials::refund_token_holder(app, &token.localpart, self.network).await;
            }
            return Ok(RequestOutcome::Replay(replayed_answer(text)));
        }
        if let Some(token) = token {
            let caller = tokens::authenticate_with(app, token, facts.account, facts.device).await;
            let caller = match caller {
                Ok(caller) => caller,
                Err(error) => return self.or_replay(app, error).await.map(RequestOutcome::Replay),
            };
            caller.ensure_account_api()?;
            caller.ensure_not_guest()?;
            self.password = facts.password;
            self.requester = Requester::User(Box::new(caller));
        }
        self.charged = charged?;
        self.ensure_session_serves(&replay)?;
        self.charge_unknown_session(app).await?;
        Ok(RequestOutcome::New(Box::new(self)))
    }
}
