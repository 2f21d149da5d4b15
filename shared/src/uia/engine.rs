//! The engine: which stage counts, when the proof is complete, and what is remembered between.

use serde_json::Value;

use super::{
    Auth, Binding, Challenge, Gains, OpenSession, Refusal, SessionCommit, StageType,
    stages::{Prepared, StageContext, Verdict},
};
use crate::{
    app::App,
    config::Flow,
    error::{ErrorCode, MatrixError, Rejection},
    http::Network,
    limits::{self, Limit},
    store::SaveSessionError,
};

/// How often a session that others write to at the same moment is read again.
const SAVE_TRIES: u32 = 12;

const UNKNOWN_SESSION: Refusal = Refusal {
    code: "M_UNKNOWN",
    message: "The session is not known or has expired: begin again with this one",
};
const NOT_NEXT: Refusal = Refusal {
    code: "M_UNRECOGNIZED",
    message: "The stage is not one that can be completed now",
};

/// A request's attempt to prove something.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// What may complete it.
    pub flows: &'a [Flow],
    /// What it is for.
    pub binding: Binding,
    /// The operation's parameters as of this request, to be remembered.
    pub parameters: Value,
    /// What the request says.
    pub auth: &'a Auth,
    /// The session it names, if that is known and open.
    pub session: Option<OpenSession>,
    /// What the stage it attempts has read ahead.
    pub prepared: Prepared,
    /// Where it comes from.
    pub network: Network,
}

/// One flow is complete. Only [`prove`] makes this.
#[derive(Debug)]
pub struct Proof {
    /// What the flow's stages are worth.
    pub gains: Gains,
    session: OpenSession,
    flows: Vec<Flow>,
    refund: Option<(Limit, Network)>,
}

/// What the attempted stage can read before its session is known, to save a round trip.
pub async fn prepare(
    app: &App,
    flows: &[Flow],
    auth: &Auth,
    network: Network,
) -> Result<Prepared, MatrixError> {
    match attempted(auth).filter(|stage| flows.iter().flatten().any(|own| own == stage)) {
        Some(stage) => stage.prepare(app, &auth.members, network).await,
        None => Ok(Prepared::Nothing),
    }
}

/// Completes the stage that the request attempts, if it is next in some flow, and says whether a
/// flow is complete. If none is, what is known so far is stored and the answer is a challenge.
pub async fn prove(app: &App, attempt: Attempt<'_>) -> Result<Proof, Rejection> {
    let Attempt {
        flows,
        binding,
        parameters,
        auth,
        session,
        prepared,
        network,
    } = attempt;
    let named = auth.session.is_some();
    let known = session.is_some();
    let mut session = match session {
        Some(session) if session.state.binding != binding => {
            return Err(MatrixError::new(
                ErrorCode::Forbidden,
                "The session belongs to another request",
            )
            .into());
        }
        Some(session) => session,
        None => OpenSession::begin(app, binding, parameters.clone()),
    };
    let mut changed = session.state.parameters != parameters;
    session.state.parameters = parameters;
    let mut refusal = None;
    let mut refund = None;
    if named && !known {
        refusal = Some(UNKNOWN_SESSION);
    } else if let Some(word) = &auth.stage {
        match try_stage(
            app,
            flows,
            &mut session,
            word,
            &auth.members,
            &prepared,
            network,
        )
        .await?
        {
            Outcome::Done { refund: back } => {
                (changed, refund) = (true, back.map(|limit| (limit, network)))
            }
            Outcome::DoneBefore => {}
            Outcome::Refused(why) => refusal = Some(why),
        }
    }
    loop {
        if let Some(flow) = satisfied(flows, &session) {
            match gains(app, flow, &session, &prepared).await? {
                Ok(gains) => {
                    return Ok(Proof {
                        gains,
                        session,
                        flows: flows.to_vec(),
                        refund,
                    });
                }
                Err((stage, why)) => {
                    session.uncomplete(stage);
                    (changed, refusal) = (true, Some(why));
                }
            }
        }
        if !session.is_stored() {
            limits::spend(app, Limit::UiaSession, network).await?;
        }
        if changed || !session.is_stored() {
            let merged = save(app, &mut session, refusal.is_some_and(|why| why == STALE)).await?;
            // A stage that was completed elsewhere meanwhile may have been the last.
            if merged && satisfied(flows, &session).is_some() {
                changed = true;
                continue;
            }
        }
        give_back(app, refund).await;
        return Err(Challenge::new(&app.config, flows, &session, refusal).into());
    }
}

/// What was proven is worth nothing any more.
const STALE: Refusal = super::stages::TOKEN_REFUSED;

enum Outcome {
    Done { refund: Option<Limit> },
    DoneBefore,
    Refused(Refusal),
}

fn attempted(auth: &Auth) -> Option<StageType> {
    auth.stage.as_deref().and_then(StageType::parse)
}

/// A stage counts only if it is the first uncompleted one of some flow (UIA-16); one that is done
/// is not looked at again (UIA-17).
async fn try_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    word: &str,
    members: &crate::http::Body,
    prepared: &Prepared,
    network: Network,
) -> Result<Outcome, Rejection> {
    let Some(stage) = StageType::parse(word) else {
        return Ok(Outcome::Refused(NOT_NEXT));
    };
    if session.has_completed(stage) {
        return Ok(Outcome::DoneBefore);
    }
    if !is_next(flows, session, stage) {
        return Ok(Outcome::Refused(NOT_NEXT));
    }
    let context = StageContext {
        app,
        members,
        shown: &session.state.shown,
        network,
    };
    match stage.attempt(context, prepared).await? {
        Verdict::Passed { evidence, refund } => {
            session.complete(stage, evidence);
            Ok(Outcome::Done { refund })
        }
        Verdict::Refused(why) => {
            // Of two concurrent submissions of one captcha the provider accepts only the first.
            if stage.is_single_use() && session.is_stored() {
                if let Some(fresh) = OpenSession::find(app, session.secret_id()).await? {
                    let parameters = std::mem::take(&mut session.state.parameters);
                    *session = fresh;
                    session.state.parameters = parameters;
                    if session.has_completed(stage) {
                        return Ok(Outcome::DoneBefore);
                    }
                }
            }
            Ok(Outcome::Refused(why))
        }
    }
}

/// What became of a stage attempted on its fallback page.
pub(super) enum StageOutcome {
    Done,
    Refused(Refusal),
}

/// Attempts one stage of a stored session and remembers it, without asking whether that completes
/// a flow: the client's next request will (UIA-72).
pub(super) async fn complete_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    auth: &Auth,
    network: Network,
) -> Result<StageOutcome, Rejection> {
    let prepared = match attempted(auth) {
        Some(stage) if is_next(flows, session, stage) => {
            stage.prepare(app, &auth.members, network).await?
        }
        _ => Prepared::Nothing,
    };
    let word = auth.stage.as_deref().unwrap_or_default();
    match try_stage(app, flows, session, word, &auth.members, &prepared, network).await? {
        Outcome::Refused(why) => Ok(StageOutcome::Refused(why)),
        Outcome::DoneBefore => Ok(StageOutcome::Done),
        Outcome::Done { refund } => {
            let back = give_back(app, refund.map(|limit| (limit, network)));
            let (saved, ()) = tokio::join!(save(app, session, false), back);
            saved?;
            Ok(StageOutcome::Done)
        }
    }
}

/// Whether `stage` is the first uncompleted stage of some flow.
pub(super) fn is_next(flows: &[Flow], session: &OpenSession, stage: StageType) -> bool {
    flows
        .iter()
        .any(|flow| flow.iter().find(|own| !session.has_completed(**own)) == Some(&stage))
}

/// The first flow whose stages are all done.
fn satisfied<'a>(flows: &'a [Flow], session: &OpenSession) -> Option<&'a Flow> {
    flows
        .iter()
        .find(|flow| flow.iter().all(|stage| session.has_completed(*stage)))
}

/// What the stages of `flow`, and of no other, are worth now. Evidence that has lost its worth is
/// named with its stage.
async fn gains(
    app: &App,
    flow: &Flow,
    session: &OpenSession,
    prepared: &Prepared,
) -> Result<Result<Gains, (StageType, Refusal)>, MatrixError> {
    let mut gains = Gains::default();
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

/// Saves a session; if somebody else was quicker, adds what is new here to what is stored there.
/// Returns whether that happened.
async fn save(app: &App, session: &mut OpenSession, dropped: bool) -> Result<bool, MatrixError> {
    let mut merged = false;
    for attempt in 0..SAVE_TRIES {
        match session.save(app).await {
            Ok(()) => return Ok(merged),
            Err(SaveSessionError::Store(error)) => return Err(error.into()),
            Err(SaveSessionError::Moved) if dropped => return Ok(false),
            Err(SaveSessionError::Moved) => {
                app.store.wait(attempt).await;
                let Some(mut fresh) = OpenSession::find(app, session.secret_id()).await? else {
                    return Err(crate::store::StoreError::Contended.into());
                };
                if fresh.is_finished() {
                    return Err(over());
                }
                for done in &session.state.completed {
                    fresh.complete(done.stage, done.evidence.clone());
                }
                fresh.state.parameters = session.state.parameters.clone();
                *session = fresh;
                merged = true;
            }
        }
    }
    Err(crate::store::StoreError::Contended.into())
}

/// The answer to another request on a finished session.
fn over() -> MatrixError {
    MatrixError::new(
        ErrorCode::InvalidParam,
        "The session is finished: begin a new one",
    )
}

async fn give_back(app: &App, refund: Option<(Limit, Network)>) {
    if let Some((limit, network)) = refund {
        // Losing a refund costs the client one guess; it is no reason to fail.
        let _ = limits::refund(app, limit, network).await;
    }
}

impl Proof {
    /// The row that finishes the session with this answer, if there is a session: a request that
    /// completed everything at once has none, and no replay (UIA-11).
    pub fn commit(&self, app: &App, request: &str, answer: &str) -> Option<SessionCommit> {
        self.session
            .is_stored()
            .then(|| self.session.commit(app, request, answer))
    }

    /// Gives back what a right guess was charged, beside the operation itself.
    pub async fn settle(&mut self, app: &App) {
        give_back(app, self.refund.take()).await;
    }

    /// The session string of a stored session.
    pub fn session(&self) -> Option<&OpenSession> {
        self.session.is_stored().then_some(&self.session)
    }

    /// The operation failed, or cannot be done yet, for reasons of its own: what was proven stays
    /// proven (UIA-09, REG-23). Best effort, since the answer is a failure already.
    pub async fn keep(mut self, app: &App) {
        if self.session.is_stored() {
            let _ = save(app, &mut self.session, false).await;
        }
    }

    /// The session row is not as it was read, although its operation has not been done: somebody
    /// completed another stage in it, or sent other parameters. Takes over what is there.
    pub async fn reload(mut self, app: &App) -> Result<Self, MatrixError> {
        if let Some(mut fresh) = OpenSession::find(app, self.session.secret_id()).await? {
            if fresh.is_finished() {
                return Err(over());
            }
            for done in &self.session.state.completed {
                fresh.complete(done.stage, done.evidence.clone());
            }
            fresh.state.parameters = self.session.state.parameters.clone();
            self.session = fresh;
        }
        Ok(self)
    }

    /// The share of the registration token that was to be spent is empty: takes another one. If
    /// the token is spent as a whole, its stage is open again in the same session (design §3.2).
    pub async fn renew_registration_token(
        mut self,
        app: &App,
        network: Network,
    ) -> Result<Self, Rejection> {
        if let Some(flow) = satisfied(&self.flows, &self.session) {
            if let Ok(gains) = gains(app, flow, &self.session, &Prepared::Nothing).await? {
                return Ok(Self { gains, ..self });
            }
        }
        Err(self.without_registration_token(app, network).await)
    }

    async fn without_registration_token(&mut self, app: &App, network: Network) -> Rejection {
        self.session.uncomplete(StageType::RegistrationToken);
        if !self.session.is_stored() {
            if let Err(error) = limits::spend(app, Limit::UiaSession, network).await {
                return error.into();
            }
        }
        match save(app, &mut self.session, true).await {
            Ok(_) => Challenge::new(&app.config, &self.flows, &self.session, Some(STALE)).into(),
            Err(error) => error.into(),
        }
    }
}
