//! `POST`: the form of a stage, or the new password.

use http::StatusCode;
use shared::{
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{ClientNetwork, Query, Request, Response},
    limits::{self, Limit},
    oauth_pages::{Failure, FormError, Submission},
    password_change::{self, BrowserReset},
    secrets::Secret,
    uia::{
        OpenSession, StageType,
        stage_page::{StageVisit, Submitted},
    },
};

use crate::recovery::{Recovery, STAGE};

/// Handles a form.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let Submission { browser, form } = Submission::parse(app, request)?;
    // PWD-15
    accounts::ensure_password_changes_enabled(&app.config).map_err(MatrixError::from)?;
    let recovery = Recovery::open(app, browser, form.get("context").unwrap_or_default())?;
    let network = request.network;
    limits::consume(app, Limit::FallbackPage, network).await?;
    match form.get(STAGE) {
        Some(stage) => {
            let stage = StageType::parse(stage).ok_or(FormError::OutOfDate)?;
            attempt(app, &recovery, stage, &form, network).await
        }
        None => set_password(app, &recovery, &form, network).await,
    }
}

/// The form of a stage.
async fn attempt(
    app: &App,
    recovery: &Recovery<'_>,
    stage: StageType,
    form: &Query,
    network: ClientNetwork,
) -> Result<Response, Failure> {
    let session = recovery.session().await?;
    if session.is_finished() || session.has_completed(stage) {
        return recovery.next(session, None, &Query::default()).await;
    }
    if !session.is_stored() {
        limits::consume(app, Limit::UiaSession, network).await?;
    }
    let visit = StageVisit::without_user(app, session, stage);
    let mut visit = visit.ok_or(FormError::OutOfDate)?;
    match visit.attempt(app, form, network).await {
        Ok(Submitted::Done) => recovery.next(visit.session, None, &Query::default()).await,
        Ok(Submitted::Show(error)) => Ok(recovery.stage(&visit, error.as_ref(), form)),
        // A concurrent request with the same form may have completed the recovery.
        Err(error) => {
            let session = recovery.session().await?;
            if session.is_finished() {
                return Ok(recovery.done());
            }
            Err(error.into())
        }
    }
}

/// The new password.
async fn set_password(
    app: &App,
    recovery: &Recovery<'_>,
    form: &Query,
    network: ClientNetwork,
) -> Result<Response, Failure> {
    let field = |name| form.get(name).unwrap_or_default();
    let password = field("password");
    let mistake = if password.is_empty() {
        Some("Enter the new password")
    } else if password != field("password_again") {
        Some("The two passwords are different")
    } else {
        None
    };
    if let Some(text) = mistake {
        return Ok(recovery.password(Some(&(StatusCode::BAD_REQUEST, text.into()))));
    }
    let reset = BrowserReset {
        session: recovery.session_id(),
        password: Secret::new(password.to_owned()),
        logs_out: field("devices") != "keep",
        network,
    };
    match password_change::reset_in_browser(app, reset).await {
        Ok(()) => Ok(recovery.done()),
        Err(Rejection::Challenge(challenge)) => {
            let session: OpenSession = recovery.session().await?;
            match challenge.message() {
                // The validation is no longer valid.
                Some(text) => Err(MatrixError::new(ErrorCode::Forbidden, text).into()),
                None => recovery.next(session, None, &Query::default()).await,
            }
        }
        Err(Rejection::Error(error)) => match error.code {
            ErrorCode::WeakPassword | ErrorCode::InvalidParam => {
                let status = error.code.status();
                Ok(recovery.password(Some(&(status, error.message))))
            }
            _ => Err(error.into()),
        },
    }
}
