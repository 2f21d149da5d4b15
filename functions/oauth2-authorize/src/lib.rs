//! `GET /oauth2/authorize`, `POST /oauth2/authorize/{login,consent,logout}`
//!
//! The authorization endpoint of the OAuth 2.0 API, and the pages behind it.
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#login-via-the-oauth-20-api). `GET` writes nothing
//! (OA-47, OA-70). A code is issued only after a login or a sign-up, and after consent, in the same browser and for the
//! same request (OA-48, OA-62). If the API is off, the paths are unknown (OA-145).

mod authorize;
mod consent;
mod failure;
mod login;
mod logout;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response},
    oauth_pages::{
        self, FormError, consent::LOGOUT_PATH, consent::PATH as CONSENT_PATH,
        login::PATH as LOGIN_PATH,
    },
};

use failure::Failure;

/// Handles the request. An error is returned as a page too, because a browser shows the response.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let outcome = match (&request.method, request.path.as_str()) {
        (&Method::GET, "/oauth2/authorize") => authorize::show(&app, &request).await,
        (&Method::POST, LOGIN_PATH) => Box::pin(login::submit(&app, &request)).await,
        (&Method::POST, CONSENT_PATH) => consent::submit(&app, &request).await,
        (&Method::POST, LOGOUT_PATH) => logout::submit(&app, &request).await,
        // A browser opens the URL of a form again, for example from its history (OA-67).
        _ => Err(FormError::OutOfDate.into()),
    };
    Ok(outcome.unwrap_or_else(|failure| failure.page(&app)))
}

impl Failure {
    fn page(self, app: &App) -> Response {
        let config = &app.config;
        match self {
            Self::Form(error) => error.page(config),
            Self::Request(error) => failure::request_page(config, &error),
            Self::Answer { target, error } => failure::answer_page(config, &target, error),
            Self::Other(error) => oauth_pages::error(config, &error),
        }
    }
}
