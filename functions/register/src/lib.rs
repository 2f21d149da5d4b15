//! `POST /_matrix/client/{r0,v3}/register`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3register)
//!
//! Accounts of users need UIA (`shared::registration`). `guest` and `appservice` need none (UIA-28).

mod appservice;
mod guest;

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    registration,
};

pub use shared::registration::{Parameters, Response};

/// The `type` of a registration by an application service (REG-31).
const APPSERVICE_TYPE: &str = "m.login.application_service";

/// Handles the request. The access token of a user has no effect. Only the token of an application service has an
/// effect (TOK-11).
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    match request.query.get("kind") {
        None | Some("user") => {}
        // GUEST-01
        Some("guest") => return guest::register(&app, &request).await,
        Some(_) => {
            accounts::ensure_registration_open(&app.config)?;
            let message = "`kind` must be `user` or `guest`";
            return Err(MatrixError::new(ErrorCode::InvalidParam, message).into());
        }
    }
    let body = Body::parse(&request.body);
    let is_appservice = |body: &Body| matches!(body.optional::<String>("type"), Ok(Some(name)) if name == APPSERVICE_TYPE);
    let has_account_api = app.config.oauth.apis.include_account_api();
    if body.as_ref().is_ok_and(is_appservice) {
        let body = body?;
        // REG-32
        if !has_account_api && body.optional("inhibit_login")? != Some(true) {
            return Err(MatrixError::without_appservice_login().into());
        }
        return appservice::register(&app, &request, &body).await;
    }
    // OA-145
    if !has_account_api {
        let message = "Accounts are created in an app that supports OAuth 2.0";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    // REG-29: if registration is closed, this error takes precedence over all others, even over an
    // invalid body.
    accounts::ensure_registration_open(&app.config)?;
    Box::pin(registration::register(&app, &request, body?)).await
}
