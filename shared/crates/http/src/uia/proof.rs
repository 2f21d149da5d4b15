//! The proof that a flow is complete: what an operation takes as argument.

use super::{
    AuthResult, Challenge, OpenSession, SessionCommit, StageError, StageType,
    engine::give_back,
    session::Parameters,
    stages::{Prefetched, TOKEN_REFUSED, threepid::NOT_YET},
};
use crate::{
    app::App,
    config::Flow,
    error::{MatrixError, Rejection},
    http::ClientNetwork,
    limits::{self, Limit},
    threepids::Medium,
};

/// One flow is complete. Only [`prove`](super::prove) makes this.
#[derive(Debug)]
pub struct UiaCompletion {
    /// What the flow's stages are worth.
    pub gains: AuthResult,
    session: OpenSession,
    flows: Vec<Flow>,
    refund: Option<(Limit, String)>,
}

impl UiaCompletion {
    pub(super) fn new(
        gains: AuthResult,
        session: OpenSession,
        flows: &[Flow],
        refund: Option<(Limit, String)>,
    ) -> Self {
        Self {
            gains,
            session,
            flows: flows.to_vec(),
            refund,
        }
    }

    /// The row that finishes the session with this answer, if there is a session: a request that
    /// completed everything at once has none, and no replay (UIA-11).
    pub fn commit(&self, app: &App, request: &str, answer: &str) -> Option<SessionCommit> {
        self.session()
            .map(|session| session.commit(app, request, answer))
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<&OpenSession> {
        self.session.is_stored().then_some(&self.session)
    }

    /// Gives back what a right guess was charged, beside the operation itself.
    pub async fn settle(&mut self, app: &App) {
        give_back(app, self.refund.take()).await;
    }

    /// The operation failed, or cannot be done yet, for reasons of its own: what was proven stays
    /// proven (UIA-09, REG-23), and a right guess costs nothing. Best effort, since the answer is a failure already.
    pub async fn keep(mut self, app: &App) {
        self.settle(app).await;
        if self.session.is_stored() {
            let _ = self.session.save_merged(app, Parameters::Ours, None).await;
        }
    }

    /// The same, but an address that was proven is of no use: its stage is open again for another.
    pub async fn keep_without(mut self, app: &App, medium: Medium) {
        self.settle(app).await;
        let stage = StageType::of_medium(medium);
        self.session.uncomplete(stage);
        if self.session.is_stored() {
            let _ = self
                .session
                .save_merged(app, Parameters::Ours, Some(stage))
                .await;
        }
    }

    /// The session row is not as it was read, although its operation has not been done: somebody
    /// completed another stage in it, or sent other parameters. Takes over what is there.
    pub async fn reload(mut self, app: &App) -> Result<Self, MatrixError> {
        self.session.merge(app, Parameters::Ours).await?;
        Ok(self)
    }

    /// The share of the registration token that was to be spent is empty: takes another one. If
    /// the token is spent as a whole, its stage is open again in the same session.
    pub async fn renew_registration_token(
        self,
        app: &App,
        network: ClientNetwork,
    ) -> Result<Self, Rejection> {
        if let Some(flow) = satisfied(&self.flows, &self.session)
            && let Ok(gains) = gains(app, flow, &self.session, &Prefetched::Nothing).await?
        {
            return Ok(Self { gains, ..self });
        }
        let stage = StageType::RegistrationToken;
        Err(self.withdraw(app, network, stage, TOKEN_REFUSED).await)
    }

    /// The proof of an address has been spent elsewhere, or has expired: its stage is open again in
    /// the same session.
    pub async fn without_proof_of(
        self,
        app: &App,
        network: ClientNetwork,
        medium: Medium,
    ) -> Rejection {
        let stage = StageType::of_medium(medium);
        self.withdraw(app, network, stage, NOT_YET).await
    }

    /// The answer when a stage has lost its worth after all.
    async fn withdraw(
        mut self,
        app: &App,
        network: ClientNetwork,
        stage: StageType,
        why: StageError,
    ) -> Rejection {
        self.session.uncomplete(stage);
        if !self.session.is_stored()
            && let Err(error) = limits::spend(app, Limit::UiaSession, network).await
        {
            return error.into();
        }
        let saved = self
            .session
            .save_merged(app, Parameters::Ours, Some(stage))
            .await;
        match saved {
            Ok(_) => Challenge::new(&app.config, &self.flows, &self.session, Some(why)).into(),
            Err(error) => error.into(),
        }
    }
}

/// The first flow whose stages are all done.
pub(super) fn satisfied<'a>(flows: &'a [Flow], session: &OpenSession) -> Option<&'a Flow> {
    flows
        .iter()
        .find(|flow| flow.iter().all(|stage| session.has_completed(*stage)))
}

/// What the stages of `flow`, and of no other, are worth now. Evidence that has lost its worth is
/// named with its stage.
pub(super) async fn gains(
    app: &App,
    flow: &Flow,
    session: &OpenSession,
    prepared: &Prefetched,
) -> Result<Result<AuthResult, (StageType, StageError)>, MatrixError> {
    let mut gains = AuthResult::default();
    for done in session
        .state
        .completed
        .iter()
        .filter(|done| flow.contains(&done.stage))
    {
        if let Err(why) = done.evidence.redeem(app, prepared, &mut gains).await? {
            return Ok(Err((done.stage, why)));
        }
    }
    Ok(Ok(gains))
}
