//! The repeated response of a completed session (UIA-15).

use std::time::Duration;

use ::http::StatusCode;
use serde::Deserialize;

use super::ProtectedRequest;
use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver,
    http::Response,
    ids::Localpart,
    secrets::Secret,
    store::{CallerFacts, SessionRow, TokenDevice},
    tokens::{self, AuthenticationError},
    uia::{OpenSession, Operation, Replay, operations::wrong_scope, session_key},
};

/// The time after the completion of a session during which the access token in its response may not be
/// readable yet, because the rows of a transaction become visible one by one.
const READ_AFTER_WRITE_WINDOW: Duration = Duration::from_secs(2);
/// The wait before the token is read again within [`READ_AFTER_WRITE_WINDOW`].
const READ_AFTER_WRITE_DELAY: Duration = Duration::from_millis(100);

/// The stored response of a session to the request, after the check that the response is still usable.
pub(super) enum Replayed {
    /// The session is not completed.
    Open,
    /// This request has completed the session with this response.
    Answer(Response),
    /// The session was completed by another request, or its response is no longer usable.
    Over,
}

/// The part of a response that can become invalid.
#[derive(Default, Deserialize)]
struct IssuedToken {
    access_token: Option<String>,
    /// In the response to a registration.
    user_id: Option<String>,
}

impl ProtectedRequest {
    /// Opens the session that was read together with the rows of the caller. A session that is not valid for the
    /// caller's login is treated like a session that does not exist.
    pub(super) fn open_session(
        &self,
        app: &App,
        row: Option<SessionRow>,
        facts: &CallerFacts,
    ) -> Option<OpenSession> {
        let session = OpenSession::open(app, self.auth.session.as_ref()?, row?)?;
        session
            .is_valid_for(app, self.login.as_ref(), facts)
            .then_some(session)
    }

    /// Rejects a completed session and a session of another operation.
    pub(super) fn ensure_session_serves(&self, replay: &Replay) -> Result<(), MatrixError> {
        if matches!(replay, Replay::Over) {
            return Err(session_completed());
        }
        match &self.session {
            Some(session) if session.state.scope.operation != self.spec.operation => {
                Err(wrong_scope())
            }
            _ => Ok(()),
        }
    }

    /// The stored response that the session of the first read has for this request.
    pub(super) fn replay(&self, app: &App) -> Replay {
        self.session.as_ref().map_or(Replay::Open, |session| {
            session.replay(&self.canonical, app.clock.now())
        })
    }

    /// Repeats the stored response, unless the access token in it is no longer valid.
    pub(super) async fn usable(&self, app: &App, replay: Replay) -> Result<Replayed, Rejection> {
        let (text, age) = match replay {
            Replay::Open => return Ok(Replayed::Open),
            Replay::Over => return Ok(Replayed::Over),
            Replay::Answer { text, age } => (text, age),
        };
        let issued: IssuedToken = serde_json::from_str(&text).unwrap_or_default();
        if let Some(token) = issued.access_token {
            let token = Secret::new(token);
            let mut session = tokens::authenticate(app, &token).await;
            if session.is_err() && age < READ_AFTER_WRITE_WINDOW {
                tokio::time::sleep(READ_AFTER_WRITE_DELAY).await;
                session = tokens::authenticate(app, &token).await;
            }
            match session {
                Ok(_) => {}
                Err(AuthenticationError::Store(error)) => return Err(error.into()),
                Err(_) => return Ok(Replayed::Over),
            }
        }
        // HS-13: the homeserver may not have responded when the account was created.
        let server = &app.config.server_name;
        let registered = issued.user_id.as_deref();
        let registered = registered.and_then(|user| Localpart::of_user_id(user, server));
        if let Some(user) = registered
            && !Box::pin(homeserver::complete_registration(app, &user)).await?
        {
            return Ok(Replayed::Over);
        }
        Ok(Replayed::Answer(replayed_answer(text)))
    }

    /// The response to a concurrent duplicate of this request, if there is one.
    pub async fn replayed_response(&self, app: &App) -> Result<Option<Response>, Rejection> {
        let Some(id) = &self.auth.session else {
            return Ok(None);
        };
        let login = self.login.as_ref();
        let device = login.and_then(|login| login.device.clone());
        let device = device.map(TokenDevice::Named);
        let caller = login.and_then(|login| Some((&login.user, device.as_ref()?)));
        let key = session_key(id);
        let mut facts = app.store.find_caller(caller, key.as_deref()).await?;
        let row = facts.session.take();
        let Some(session) = self.open_session(app, row, &facts) else {
            return Ok(None);
        };
        let replay = session.replay(&self.canonical, app.clock.now());
        match self.usable(app, replay).await? {
            Replayed::Answer(response) => Ok(Some(response)),
            // The request may have failed because of the account that this session has created.
            Replayed::Over if self.spec.operation == Operation::Register => {
                Err(session_completed().into())
            }
            Replayed::Open | Replayed::Over => Ok(None),
        }
    }

    /// Returns the response to a concurrent duplicate of this request if there is one, because the duplicate may have
    /// caused the error. Otherwise returns the error.
    pub async fn or_replay(
        &self,
        app: &App,
        error: impl Into<Rejection>,
    ) -> Result<Response, Rejection> {
        let response = self.replayed_response(app).await?;
        response.ok_or_else(|| error.into())
    }
}

/// A 200 response with this text as its JSON body.
pub(super) fn replayed_answer(text: String) -> Response {
    Response::json_text(StatusCode::OK, text)
}

pub(super) fn session_completed() -> MatrixError {
    MatrixError::new(
        ErrorCode::InvalidParam,
        "This session has already been completed. Start a new one",
    )
}
