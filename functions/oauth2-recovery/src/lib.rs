//! `GET` and `POST /oauth2/recovery`
//!
//! The pages of the OAuth 2.0 API that set a new password (OA-61). They run the same operation as
//! `POST /account/password` without an access token: the user validates an e-mail address or a phone number of the
//! account, and then enters the new password. The login page of the same authorization follows.
//!
//! The URL of a page changes nothing (OA-70).

mod recovery;
mod submit;

use std::sync::Arc;

use http::Method;
use shared::{
    accounts,
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth_pages::{Browser, Failure, FormError},
    uia::StageType,
};

use recovery::{Recovery, STAGE};

/// Handles the request. An error is returned as a page too, because a browser shows the response.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let outcome = match request.method {
        Method::POST => Box::pin(submit::submit(&app, &request)).await,
        _ => show(&app, &request).await,
    };
    Ok(outcome.unwrap_or_else(|failure| failure.page(&app.config)))
}

/// Shows the page of the next step. Writes nothing, and reads two rows at most.
async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    // PWD-15
    accounts::ensure_password_changes_enabled(&app.config).map_err(MatrixError::from)?;
    let query = &request.query;
    let browser = Browser::of(app, request).ok_or(FormError::OutOfDate)?;
    let sealed = query.get("context").unwrap_or_default();
    let recovery = Recovery::open(app, browser, sealed)?;
    let session = recovery.session().await?;
    let chosen = query.get(STAGE).and_then(StageType::parse);
    recovery.next(session, chosen, query).await
}
