//! The engine: which stage counts, when the proof is complete, and what is remembered between.

use serde_json::Value;

use super::{
    Auth, Challenge, OpenSession, SessionScope, StageError, StageType, UiaCompletion,
    proof::{gains, satisfied},
    session::Parameters,
    stages::{self, Prefetched, StageContext, StageOutcome},
};
use crate::{
    app::App,
    config::Flow,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, ClientNetwork},
    limits::{self, Limit},
    metrics::{self, Metric},
};

const UNKNOWN_SESSION: StageError = StageError {
    code: "M_UNKNOWN",
    message: "The session is not known or has expired: begin again with this one",
};
const NOT_NEXT: StageError = StageError {
    code: "M_UNRECOGNIZED",
    message: "The stage is not one that can be completed now",
};

/// A request's attempt to prove something.
pub struct UiaAttempt<'a> {
    /// What may complete it.
    pub flows: &'a [Flow],
    /// What it is for.
    pub binding: SessionScope,
    /// The operation's parameters as of this request, to be remembered.
    pub parameters: Value,
    /// What the request says.
    pub auth: &'a Auth,
    /// The session it names, if that is known and open.
    pub session: Option<OpenSession>,
    /// What the stage it attempts has read ahead.
    pub prepared: Prefetched,
    /// Where it comes from.
    pub network: ClientNetwork,
    /// Whether the beginning of a session has been charged beside the first read.
    pub charged: bool,
}

crate::opaque_debug!(UiaAttempt<'_>);

/// What the attempted stage can read before its session is known, to save a round trip.
pub async fn prepare(
    app: &App,
    flows: &[Flow],
    auth: &Auth,
    network: ClientNetwork,
) -> Result<Prefetched, MatrixError> {
    match auth
        .attempted()
        .filter(|stage| flows.iter().flatten().any(|own| own == stage))
    {
        Some(stage) => stages::prepare(stage, app, &auth.members, network).await,
        None => Ok(Prefetched::Nothing),
    }
}

/// Completes the stage that the request attempts, if it is next in some flow, and says whether a
/// flow is complete. If none is, what is known so far is stored and the answer is a challenge.
pub async fn prove(app: &App, attempt: UiaAttempt<'_>) -> Result<UiaCompletion, Rejection> {
    let UiaAttempt {
        flows,
        parameters,
        auth,
        prepared,
        network,
        ..
    } = attempt;
    let unknown = auth.session.is_some() && attempt.session.is_none();
    let mut session = match attempt.session {
        Some(session) if session.state.binding != attempt.binding => return Err(bound_elsewhere()),
        Some(session) => session,
        None => OpenSession::begin(app, attempt.binding, Value::Null),
    };
    let mut changed = session.state.parameters != parameters;
    session.state.parameters = parameters;
    let mut refusal = unknown.then_some(UNKNOWN_SESSION);
    let mut refund = None;
    if let (false, Some(word)) = (unknown, &auth.stage) {
        let members = &auth.members;
        match try_stage(app, flows, &mut session, word, members, &prepared, network).await? {
            StageProgress::Done { refund: back } => {
                changed = true;
                refund = back;
            }
            StageProgress::DoneBefore => {}
            StageProgress::Refused(why) => refusal = Some(why),
            StageProgress::Waiting { news, why } => {
                changed |= news;
                refusal = Some(why);
            }
        }
    } else if !unknown {
        changed |= look_again(app, flows, &mut session, network).await?;
    }
    let mut withdrawn = None;
    loop {
        if let Some(flow) = satisfied(flows, &session) {
            match gains(app, flow, &session, &prepared).await? {
                Ok(gains) => return Ok(UiaCompletion::new(gains, session, flows, refund)),
                Err((stage, why)) => {
                    session.uncomplete(stage);
                    (changed, refusal, withdrawn) = (true, Some(why), Some(stage));
                }
            }
        }
        // The answer shows the policies as they are now.
        changed |= session.show_policies(&app.config);
        if !session.is_stored() && !attempt.charged {
            limits::spend(app, Limit::UiaSession, network).await?;
        }
        if session.is_sign_up() && !session.is_stored() {
            metrics::count(Metric::SignUpsBegun);
        }
        if changed || !session.is_stored() {
            let (merged, ()) = tokio::join!(
                session.save_merged(app, Parameters::Ours, withdrawn),
                give_back(app, refund.take())
            );
            // A stage that was completed elsewhere meanwhile may have been the last.
            if merged? && satisfied(flows, &session).is_some() {
                continue;
            }
        }
        return Err(Challenge::new(&app.config, flows, &session, refusal).into());
    }
}

fn bound_elsewhere() -> Rejection {
    MatrixError::new(
        ErrorCode::Forbidden,
        "The session belongs to another request",
    )
    .into()
}

/// A request that attempts nothing asks whether what the session waits for has come (UIA-18).
async fn look_again(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    network: ClientNetwork,
) -> Result<bool, Rejection> {
    let awaited: Vec<StageType> = session.state.awaited.keys().copied().collect();
    let (nothing, mut changed) = (Body::default(), false);
    for stage in awaited {
        if session.has_completed(stage) {
            continue;
        }
        let (word, none) = (stage.as_str(), Prefetched::Nothing);
        let outcome = try_stage(app, flows, session, word, &nothing, &none, network).await?;
        changed |= matches!(outcome, StageProgress::Done { .. });
    }
    Ok(changed)
}

enum StageProgress {
    Done {
        refund: Option<(Limit, String)>,
    },
    DoneBefore,
    Refused(StageError),
    /// Refused for now; whether it is news what the session waits for.
    Waiting {
        news: bool,
        why: StageError,
    },
}

/// A stage counts only if it is the first uncompleted one of some flow (UIA-16); one that is done
/// is not looked at again (UIA-17).
async fn try_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    word: &str,
    members: &Body,
    prepared: &Prefetched,
    network: ClientNetwork,
) -> Result<StageProgress, Rejection> {
    let Some(stage) = StageType::parse(word) else {
        return Ok(StageProgress::Refused(NOT_NEXT));
    };
    if session.has_completed(stage) {
        return Ok(StageProgress::DoneBefore);
    }
    if !is_next(flows, session, stage) {
        return Ok(StageProgress::Refused(NOT_NEXT));
    }
    let shown = &session.state.shown;
    let context = StageContext {
        app,
        members,
        shown,
        network,
        binding: &session.state.binding,
        awaited: session.state.awaited.get(&stage),
    };
    match stages::attempt(stage, context, prepared).await? {
        StageOutcome::Passed { evidence, refund } => {
            session.complete(stage, evidence);
            metrics::stage(stage.as_str());
            if session.is_sign_up() {
                metrics::count(Metric::SignUpStages);
            }
            if stage.is_single_use() && session.is_stored() {
                // What cannot be shown twice is remembered before anything else is tried.
                session.save_merged(app, Parameters::Ours, None).await?;
            }
            Ok(StageProgress::Done { refund })
        }
        StageOutcome::Refused(why) if stage.is_consumed_by_duplicate() && session.is_stored() => {
            // Of two concurrent submissions of one captcha the provider accepts only the first, and
            // the last use of a token, or a proof, may have gone into this very session.
            session.merge(app, Parameters::Ours).await?;
            let done = session.has_completed(stage);
            Ok(if done {
                StageProgress::DoneBefore
            } else {
                StageProgress::Refused(why)
            })
        }
        StageOutcome::Refused(why) => Ok(StageProgress::Refused(why)),
        StageOutcome::Waiting {
            sid,
            elsewhere,
            why,
        } => Ok(StageProgress::Waiting {
            news: session.wait_for(stage, sid, elsewhere),
            why,
        }),
    }
}

/// What became of a stage attempted on its fallback page.
pub(super) enum FallbackOutcome {
    Done,
    Refused(StageError),
}

/// Attempts one stage of a stored session and remembers it, without asking whether that completes
/// a flow: the client's next request will (UIA-72).
pub(super) async fn complete_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    auth: &Auth,
    network: ClientNetwork,
) -> Result<FallbackOutcome, Rejection> {
    let prepared = match auth.attempted() {
        Some(stage) if is_next(flows, session, stage) => {
            stages::prepare(stage, app, &auth.members, network).await?
        }
        _ => Prefetched::Nothing,
    };
    let word = auth.stage.as_deref().unwrap_or_default();
    match try_stage(app, flows, session, word, &auth.members, &prepared, network).await? {
        StageProgress::Refused(why) | StageProgress::Waiting { why, .. } => {
            Ok(FallbackOutcome::Refused(why))
        }
        StageProgress::DoneBefore => Ok(FallbackOutcome::Done),
        StageProgress::Done { refund } => {
            let (saved, ()) = tokio::join!(
                session.save_merged(app, Parameters::Stored, None),
                give_back(app, refund)
            );
            saved?;
            Ok(FallbackOutcome::Done)
        }
    }
}

/// The first stage of the flow that is not done.
pub(super) fn next(flow: &Flow, session: &OpenSession) -> Option<StageType> {
    flow.iter()
        .find(|own| !session.has_completed(**own))
        .copied()
}

/// Whether `stage` is the first uncompleted stage of some flow.
pub(super) fn is_next(flows: &[Flow], session: &OpenSession, stage: StageType) -> bool {
    flows.iter().any(|flow| next(flow, session) == Some(stage))
}

/// Gives back what a right guess was charged.
pub(super) async fn give_back(app: &App, refund: Option<(Limit, String)>) {
    // Losing a refund costs the client one guess; it is no reason to fail.
    if let Some((limit, whom)) = refund {
        let _ = limits::refund(app, limit, whom).await;
    }
}
