//! The first read of a registration: there is no account and no access token yet.

use std::sync::Arc;

use super::{
    Charged, ProtectedRequest, Replayed, RequestOutcome, RequestSpec, charge, session_completed,
};
use crate::{
    app::App,
    appservices::Appservices,
    error::{MatrixError, Rejection},
    http::{Body, ClientNetwork, Request},
    ids::Localpart,
    limits::{self, Limit},
    secrets::Secret,
    store::{AccountRow, CallerFacts, RegistrationLookup},
    uia::{self, Auth, FlowSet, OpenSession, Operation, Replay, SessionScope, StageType},
};

/// A registration and the rows of its first read.
#[derive(Debug)]
pub struct Registration {
    /// The request.
    pub request: ProtectedRequest,
    /// The account that has the requested name, if there is one.
    pub holder: Option<AccountRow>,
    /// The application services.
    pub appservices: Arc<Appservices>,
}

impl ProtectedRequest {
    /// A registration with this body.
    pub fn for_registration(request: &Request, body: Body) -> Result<Self, MatrixError> {
        let auth = Auth::parse(&body)?;
        // An access token has no effect on a registration (TOK-11), so the stored request hash
        // covers only the body.
        let canonical = body.canonical();
        let spec = RequestSpec {
            anonymous: Some(FlowSet::Registration),
            ..RequestSpec::new(Operation::Register)
        };
        Ok(Self::new(spec, body, auth, request.network, canonical))
    }

    /// A registration on the sign-up pages, with the session of its forms. `stage` is a stage that needs no form.
    /// `starts_session` is whether the session starts with this request, if there is none.
    pub fn for_sign_up_page(
        network: ClientNetwork,
        session: Secret,
        stage: Option<StageType>,
        starts_session: bool,
    ) -> Self {
        let auth = Auth {
            session: Some(session),
            stage: stage.map(|stage| stage.as_str().to_owned()),
            members: Body::default(),
        };
        let spec = RequestSpec {
            anonymous: Some(FlowSet::Registration),
            ..RequestSpec::new(Operation::Register)
        };
        // Only the forms of this sign-up name the session, so each of them gets the stored response (OA-67). The body of
        // a client is never equal to this text.
        let canonical = "sign-up page".to_owned();
        Self {
            starts_session,
            ..Self::new(spec, Body::default(), auth, network, canonical)
        }
    }

    /// The first read. The rate limits are charged and the rows of the attempted stage are read concurrently. `name`
    /// is the requested name.
    pub async fn read_registration(
        mut self,
        app: &App,
        name: Option<&Localpart>,
    ) -> Result<RequestOutcome<Registration>, Rejection> {
        let session = self.auth.session.as_ref().and_then(uia::session_key);
        let lookup = RegistrationLookup {
            session: session.as_deref(),
            name,
            appservices: app.appservices_are_stale(),
        };
        let flows = app.config.flows();
        self.charged = self.likely_charge(app);
        let (charge, facts, prefetched) = tokio::join!(
            charge(
                app,
                limits::consume(app, Limit::Register, self.network),
                self.charged,
                self.network
            ),
            app.store.registration_facts(lookup),
            uia::prefetch(app, flows, &self.auth, self.network),
        );
        charge?;
        let facts = facts?;
        self.prefetched = prefetched?;
        let appservices = app.refresh_appservices(facts.appservices).await?;
        self.session = self.open_session(app, facts.session, &CallerFacts::default());
        match self.usable(app, self.replay(app)).await? {
            Replayed::Answer(response) => return Ok(RequestOutcome::Replay(response)),
            Replayed::Over => return Err(session_completed().into()),
            Replayed::Open => self.ensure_session_serves(&Replay::Open)?,
        }
        self.charge_unknown_session(app).await?;
        if let (None, true, Some(id)) = (&self.session, self.starts_session, &self.auth.session) {
            let scope = SessionScope::register();
            self.session = Some(OpenSession::start_derived(app, scope, id.clone()));
        }
        Ok(RequestOutcome::New(Box::new(Registration {
            request: self,
            holder: facts.holder,
            appservices,
        })))
    }

    /// The step that the request is likely to reach. An attempt of the last stage of a flow is
    /// followed by a password hash. An attempt of a stage that clients poll allows no prediction (UIA-26).
    fn likely_charge(&self, app: &App) -> Charged {
        let may_finish = self.auth.attempted().is_some_and(|stage| {
            let flows = app.config.flows();
            !stage.is_polled() && flows.iter().any(|flow| flow.last() == Some(&stage))
        });
        if may_finish {
            Charged::PasswordHash
        } else if self.auth.session.is_none() {
            Charged::SessionStart
        } else {
            Charged::Nothing
        }
    }
}
