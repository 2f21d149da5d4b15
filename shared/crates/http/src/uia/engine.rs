//! The engine. It checks the attempted stage, decides whether a flow is completed, and stores the
//! progress between requests.

use super::{
    Auth, Challenge, OpenSession, SessionParameters, SessionScope, StageError, StageType,
    UiaCompletion,
    completion::{InvalidStage, count_start, resolve_flow},
    operations::wrong_scope,
    session::ParameterSource,
    stages::{self, Prefetched, StageContext, StageOutcome},
};
use crate::{
    app::App,
    config::Flow,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, ClientNetwork},
    limits::{self, Limit},
    metrics::{self, Metric},
    passwords::PasswordHash,
    store::SaveSessionError,
};

const UNKNOWN_SESSION: StageError = StageError {
    code: ErrorCode::UnknownSession,
    message: "The session is unknown or has expired. Continue with the session of this response",
};
const NOT_NEXT: StageError = StageError {
    code: ErrorCode::StageNotNext,
    message: "This stage cannot be completed now",
};

/// A request's attempt to authenticate.
pub struct UiaAttempt<'a> {
    /// The flows of the session's scope. One of them must be completed.
    pub flows: &'a [Flow],
    /// The scope that the session must have.
    pub scope: SessionScope,
    /// The operation's parameters after this request. The session stores them.
    pub parameters: SessionParameters,
    /// The request's `auth` member.
    pub auth: &'a Auth,
    /// The session that `auth` names, if it exists and has not expired.
    pub session: Option<OpenSession>,
    /// The rows that the attempted stage has read in advance.
    pub prefetched: Prefetched,
    /// The client's network.
    pub network: ClientNetwork,
    /// Whether the start of a session was charged concurrently with the first read.
    pub session_start_charged: bool,
}

crate::opaque_debug!(UiaAttempt<'_>);

/// The reason why a request was not authenticated.
#[derive(Debug)]
pub enum AuthenticateError {
    /// The session was completed or deleted during the request, by a concurrent duplicate or by
    /// another request.
    SessionChanged,
    /// A challenge, or an error.
    Rejected(Rejection),
}

impl From<Rejection> for AuthenticateError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<MatrixError> for AuthenticateError {
    fn from(error: MatrixError) -> Self {
        Self::Rejected(error.into())
    }
}

impl From<AuthenticateError> for Rejection {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::SessionChanged => SaveSessionError::Conflict.into(),
            AuthenticateError::Rejected(rejection) => rejection,
        }
    }
}

/// Maps a conflict to [`AuthenticateError::SessionChanged`]. The conversion by `?` would turn the conflict into an
/// error response.
fn saved<T>(outcome: Result<T, SaveSessionError>) -> Result<T, AuthenticateError> {
    outcome.map_err(|error| match error {
        SaveSessionError::Conflict => AuthenticateError::SessionChanged,
        SaveSessionError::Store(error) => AuthenticateError::Rejected(error.into()),
    })
}

/// Reads the rows that the attempted stage needs. Runs concurrently with the read of the session, to save a round
/// trip.
pub async fn prefetch(
    app: &App,
    flows: &[Flow],
    auth: &Auth,
    network: ClientNetwork,
) -> Result<Prefetched, MatrixError> {
    match auth.attempted() {
        Some(stage) if flows.iter().flatten().any(|own| *own == stage) => {
            stages::prefetch(stage, app, &auth.members, network).await
        }
        _ => Ok(Prefetched::Nothing),
    }
}

/// Completes the attempted stage if it is next in some flow. If the stage completes a flow, returns the results of
/// the flow. Otherwise stores the progress and returns a challenge.
pub async fn authenticate(
    app: &App,
    attempt: UiaAttempt<'_>,
) -> Result<UiaCompletion, AuthenticateError> {
    let UiaAttempt {
        flows,
        parameters,
        auth,
        prefetched,
        network,
        ..
    } = attempt;
    let is_unknown = auth.session.is_some() && attempt.session.is_none();
    let mut session = match attempt.session {
        Some(session) if !session.state.scope.serves(&attempt.scope) => {
            return Err(wrong_scope().into());
        }
        Some(session) => session,
        None => OpenSession::start(app, attempt.scope),
    };
    let mut progress = Progress {
        changed: session.state.parameters != parameters,
        ..Progress::default()
    };
    session.state.parameters = parameters;
    if is_unknown {
        progress.error = Some(UNKNOWN_SESSION);
    } else if let Some(name) = &auth.stage {
        let (members, prefetched) = (&auth.members, &prefetched);
        let outcome = try_stage(app, flows, &mut session, name, members, prefetched, network);
        progress.add(outcome.await?);
    } else {
        progress.changed |= check_pending(app, flows, &mut session, network).await?;
    }
    loop {
        if let Some(flow) = session.state.completed_flow(flows) {
            match resolve_flow(app, flow, &session, &prefetched).await? {
                Ok(results) => {
                    let is_charged = attempt.session_start_charged;
                    let refund = progress.refund;
                    return Ok(UiaCompletion::new(
                        results, session, flows, refund, is_charged,
                    ));
                }
                Err(invalid) => {
                    session.state.reopen(invalid.stage);
                    progress.reopen(&invalid);
                }
            }
        }
        // The response shows the current policies.
        progress.changed |= session.show_policies(&app.config);
        if !session.is_stored() {
            count_start(app, &session, network, attempt.session_start_charged).await?;
        }
        if progress.changed || !session.is_stored() {
            let (merged, ()) = tokio::join!(
                session.save_merged(app, ParameterSource::Request, progress.reopened),
                refund(app, progress.refund.take())
            );
            // A concurrent request may have completed the last stage.
            if saved(merged)? && session.state.completed_flow(flows).is_some() {
                continue;
            }
        }
        let challenge = Challenge::new(&app.config, flows, &session, progress.error);
        return Err(Rejection::from(challenge).into());
    }
}

/// The effect of a request on its session so far.
#[derive(Default)]
struct Progress {
    /// Whether the session must be saved.
    changed: bool,
    /// The reason why the attempted stage was not accepted.
    error: Option<StageError>,
    /// The charge to refund, because the password or token was correct.
    refund: Option<(Limit, String)>,
    /// A stage whose result is no longer valid.
    reopened: Option<StageType>,
}

impl Progress {
    fn add(&mut self, outcome: StageProgress) {
        match outcome {
            StageProgress::Done { refund } => {
                self.changed = true;
                self.refund = refund;
            }
            StageProgress::DoneBefore => {}
            StageProgress::Refused(error) => self.error = Some(error),
            StageProgress::Waiting { changed, error } => {
                self.changed |= changed;
                self.error = Some(error);
            }
        }
    }

    fn reopen(&mut self, invalid: &InvalidStage) {
        self.changed = true;
        self.error = Some(invalid.error);
        self.reopened = Some(invalid.stage);
    }
}

/// Checks the pending stages if the request attempts no stage: the client polls for their
/// validation (UIA-18). Returns whether a stage was completed.
async fn check_pending(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    network: ClientNetwork,
) -> Result<bool, AuthenticateError> {
    let pending: Vec<StageType> = session.state.pending.keys().copied().collect();
    let (no_members, nothing) = (Body::default(), Prefetched::Nothing);
    let mut changed = false;
    for stage in pending {
        if session.has_completed(stage) {
            continue;
        }
        let name = stage.as_str();
        let outcome = try_stage(app, flows, session, name, &no_members, &nothing, network).await?;
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
    /// The stage is not accepted until a validation session is validated.
    Waiting {
        /// Whether the UIA session must be saved, because it did not wait for this validation session before.
        changed: bool,
        error: StageError,
    },
}

/// Attempts a stage. The stage is checked only if it is the first uncompleted stage of a flow
/// (UIA-16). A completed stage is not checked again (UIA-17).
async fn try_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    stage_name: &str,
    members: &Body,
    prefetched: &Prefetched,
    network: ClientNetwork,
) -> Result<StageProgress, AuthenticateError> {
    let Some(stage) = StageType::parse(stage_name) else {
        return Ok(StageProgress::Refused(NOT_NEXT));
    };
    if session.has_completed(stage) {
        return Ok(StageProgress::DoneBefore);
    }
    if !session.state.is_next(flows, stage) {
        return Ok(StageProgress::Refused(NOT_NEXT));
    }
    let context = StageContext {
        app,
        members,
        shown_policies: &session.state.shown_policies,
        network,
        scope: &session.state.scope,
        pending: session.state.pending.get(&stage),
    };
    match stages::attempt(stage, context, prefetched).await? {
        StageOutcome::Passed { result, refund } => {
            session.complete(stage, result);
            metrics::stage(stage.as_str());
            if session.is_registration() {
                metrics::count(Metric::SignUpStages);
            }
            if stage.is_single_use() && session.is_stored() {
                // The client cannot repeat a single-use stage, so it is saved before anything else
                // can fail.
                saved(
                    session
                        .save_merged(app, ParameterSource::Request, None)
                        .await,
                )?;
            }
            Ok(StageProgress::Done { refund })
        }
        StageOutcome::Refused(error)
            if stage.is_refused_after_duplicate() && session.is_stored() =>
        {
            // A concurrent duplicate may have completed the stage: a captcha provider accepts only
            // the first of two submissions, and this session itself may have spent the last use of a
            // token or the validation session.
            saved(session.merge(app, ParameterSource::Request).await)?;
            let done = session.has_completed(stage);
            Ok(if done {
                StageProgress::DoneBefore
            } else {
                StageProgress::Refused(error)
            })
        }
        StageOutcome::Refused(error) => Ok(StageProgress::Refused(error)),
        StageOutcome::Waiting {
            sid,
            delegated,
            error,
        } => Ok(StageProgress::Waiting {
            changed: session.state.wait_for(stage, sid, delegated),
            error,
        }),
    }
}

/// The outcome of a stage that was attempted on a page.
pub(super) enum PageOutcome {
    Done,
    Refused(StageError),
}

/// Attempts one stage of a stored session with the form of a page, and saves the session. `password` is the stored hash of the session's user.
/// Does not check whether a flow is completed,
/// because the client's next request does so (UIA-72).
pub(super) async fn complete_stage(
    app: &App,
    flows: &[Flow],
    session: &mut OpenSession,
    auth: &Auth,
    password: Option<PasswordHash>,
    network: ClientNetwork,
) -> Result<PageOutcome, AuthenticateError> {
    let members = &auth.members;
    let next = auth
        .attempted()
        .filter(|stage| session.state.is_next(flows, *stage));
    let prefetched = match (next, &session.state.scope.user) {
        (Some(StageType::Password), Some((user, _))) => {
            let charged = credentials::charge_token_holder(app, user, network).await;
            charged.map_err(MatrixError::from)?;
            Prefetched::Password(password)
        }
        (Some(stage), _) => stages::prefetch(stage, app, members, network).await?,
        (None, _) => Prefetched::Nothing,
    };
    let name = auth.stage.as_deref().unwrap_or_default();
    match try_stage(app, flows, session, name, members, &prefetched, network).await? {
        StageProgress::Refused(error) | StageProgress::Waiting { error, .. } => {
            Ok(PageOutcome::Refused(error))
        }
        StageProgress::DoneBefore => Ok(PageOutcome::Done),
        StageProgress::Done { refund: charged } => {
            let (outcome, ()) = tokio::join!(
                session.save_merged(app, ParameterSource::Stored, None),
                refund(app, charged)
            );
            saved(outcome)?;
            Ok(PageOutcome::Done)
        }
    }
}

/// Refunds the charge of a correct password or token.
pub(super) async fn refund(app: &App, charged: Option<(Limit, String)>) {
    // A failed refund does not fail the request, because the client loses only one attempt.
    if let Some((limit, subject)) = charged {
        let _ = limits::refund(app, limit, subject).await;
    }
}
