//! `GET` and `POST /link`, `POST /link/{login,consent,logout}`
//!
//! The pages of the device authorization grant. [RFC 8628](https://www.rfc-editor.org/rfc/rfc8628#section-3.3); OA-118 to
//! OA-121. A user logs in, enters the code that a device shows, and gives or refuses access. `GET` writes nothing (OA-70). A
//! code is looked up only after the login, and rarely, because it is short. If the grant or the API is off, the paths are
//! unknown.

mod code;
mod consent;
mod login;
mod logout;
mod show;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth_pages::{
        Failure, FormError,
        link::{CONSENT_PATH, LOGIN_PATH, LOGOUT_PATH, PATH},
    },
};

/// Handles the request. An error is returned as a page too, because a browser shows the response.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let oauth = &app.config.oauth;
    if !oauth.has_device_grant {
        return Err(MatrixError::unknown_path().into());
    }
    let outcome = match (&request.method, request.path.as_str()) {
        (&Method::GET, PATH) => show::show(&app, &request).await,
        (&Method::POST, PATH) => code::submit(&app, &request).await,
        (&Method::POST, LOGIN_PATH) => Box::pin(login::submit(&app, &request)).await,
        (&Method::POST, CONSENT_PATH) => consent::submit(&app, &request).await,
        (&Method::POST, LOGOUT_PATH) => logout::submit(&app, &request).await,
        // A browser opens the URL of a form again, for example from its history (OA-67).
        _ => Err(FormError::OutOfDate.into()),
    };
    Ok(outcome.unwrap_or_else(|failure| failure.page(&app.config)))
}
