//! The completion of a flow. An operation takes it as an argument.

use super::{
    AuthResult, Challenge, OpenSession, SessionCommit, StageError, StageType,
    engine::refund,
    session::ParameterSource,
    stages::{Prefetched, TOKEN_REFUSED, threepid::NOT_YET},
};
use crate::{
    app::App,
    config::Flow,
    error::{MatrixError, Rejection},
    http::ClientNetwork,
    limits::{self, Limit},
    metrics::{self, Metric},
    store::SaveSessionError,
    threepids::Medium,
};

/// A completed flow. Only [`authenticate`](super::authenticate) creates one.
#[derive(Debug)]
pub struct UiaCompletion {
    /// The results of the flow's stages.
    pub result: AuthResult,
    session: OpenSession,
    flows: Vec<Flow>,
    refund: Option<(Limit, String)>,
    /// Whether the request has charged the start of a session.
    is_start_charged: bool,
}

impl UiaCompletion {
    pub(super) fn new(
        result: AuthResult,
        session: OpenSession,
        flows: &[Flow],
        refund: Option<(Limit, String)>,
        is_start_charged: bool,
    ) -> Self {
        Self {
            result,
            session,
            flows: flows.to_vec(),
            refund,
            is_start_charged,
        }
    }

    /// The row that completes the session with this response, if a repeated request can name the session. A client
    /// that completed a whole flow at once has no stored session, so its response cannot be replayed
    /// (UIA-11).
    pub fn commit(&self, app: &App, request: &str, answer: &str) -> Option<SessionCommit> {
        let session = self.session.can_be_repeated().then_some(&self.session)?;
        Some(session.commit(app, request, answer))
    }

    /// Refunds the charge of a correct password or registration token. Callers may run it concurrently with the
    /// operation.
    pub async fn refund_attempt(&mut self, app: &App) {
        refund(app, self.refund.take()).await;
    }

    /// Saves the completed stages if the operation has failed or cannot be carried out yet (UIA-09,
    /// REG-23), and refunds the charge of a correct password. A failure is ignored, because the response is already an
    /// error.
    pub async fn save_progress(mut self, app: &App) {
        self.refund_attempt(app).await;
        if self.session.is_stored() {
            let source = ParameterSource::Request;
            let _ = self.session.save_merged(app, source, None).await;
        }
    }

    /// Like [`save_progress`](Self::save_progress), for a validated 3PID that the account cannot
    /// have. Reopens the stage of the 3PID, so that the user can validate another 3PID.
    pub async fn save_progress_without(mut self, app: &App, medium: Medium) {
        self.refund_attempt(app).await;
        let stage = StageType::of_medium(medium);
        self.session.state.reopen(stage);
        if self.session.is_stored() {
            let source = ParameterSource::Request;
            let _ = self.session.save_merged(app, source, Some(stage)).await;
        }
    }

    /// Merges the stored session after a concurrent request has changed it, by completing another stage
    /// or sending other parameters. Fails with [`SaveSessionError::Conflict`] if the session is completed
    /// or no longer exists.
    pub async fn reload(mut self, app: &App) -> Result<Self, SaveSessionError> {
        self.session.merge(app, ParameterSource::Request).await?;
        Ok(self)
    }

    /// Chooses another share of the registration token after the chosen share was used up. If the
    /// token has no uses left, the client must complete the stage again in the same session.
    pub async fn renew_registration_token(
        self,
        app: &App,
        network: ClientNetwork,
    ) -> Result<Self, Rejection> {
        if let Some(flow) = self.session.state.completed_flow(&self.flows)
            && let Ok(result) = resolve_flow(app, flow, &self.session, &Prefetched::Nothing).await?
        {
            return Ok(Self { result, ..self });
        }
        let stage = StageType::RegistrationToken;
        Err(self.reopen_stage(app, network, stage, TOKEN_REFUSED).await)
    }

    /// Reopens the stage of a 3PID whose validation session was used by another operation or has expired.
    pub async fn reopen_threepid_stage(
        self,
        app: &App,
        network: ClientNetwork,
        medium: Medium,
    ) -> Rejection {
        let stage = StageType::of_medium(medium);
        self.reopen_stage(app, network, stage, NOT_YET).await
    }

    /// Reopens a stage, saves the session and returns the challenge.
    async fn reopen_stage(
        mut self,
        app: &App,
        network: ClientNetwork,
        stage: StageType,
        error: StageError,
    ) -> Rejection {
        self.session.state.reopen(stage);
        // The response shows the current policies.
        self.session.show_policies(&app.config);
        if !self.session.is_stored()
            && let Err(error) =
                count_start(app, &self.session, network, self.is_start_charged).await
        {
            return error;
        }
        let source = ParameterSource::Request;
        match self.session.save_merged(app, source, Some(stage)).await {
            Ok(_) => Challenge::new(&app.config, &self.flows, &self.session, Some(error)).into(),
            Err(error) => error.into(),
        }
    }
}

/// Charges the start of a session, unless the request has charged it, and counts the start of a registration in the
/// metrics.
pub(super) async fn count_start(
    app: &App,
    session: &OpenSession,
    network: ClientNetwork,
    is_charged: bool,
) -> Result<(), Rejection> {
    if !is_charged {
        limits::consume(app, Limit::UiaSession, network).await?;
    }
    if session.is_registration() {
        metrics::count(Metric::SignUpsBegun);
    }
    Ok(())
}

/// A completed stage whose result is no longer valid.
pub(super) struct InvalidStage {
    pub(super) stage: StageType,
    pub(super) error: StageError,
}

/// The current results of the stages of `flow`. Results of other stages are left out.
pub(super) async fn resolve_flow(
    app: &App,
    flow: &Flow,
    session: &OpenSession,
    prefetched: &Prefetched,
) -> Result<Result<AuthResult, InvalidStage>, MatrixError> {
    let mut results = AuthResult::default();
    let of_flow = |stage: StageType| flow.contains(&stage);
    for done in &session.state.completed {
        if !of_flow(done.stage) {
            continue;
        }
        if let Err(error) = done.result.resolve(app, prefetched, &mut results).await? {
            let stage = done.stage;
            return Ok(Err(InvalidStage { stage, error }));
        }
    }
    Ok(Ok(results))
}
