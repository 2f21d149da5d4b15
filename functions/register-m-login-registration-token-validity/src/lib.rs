//! `GET /_matrix/client/v1/register/m.login.registration_token/validity`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity);
//! RTOK-01. A guess is charged before it is compared, since a good token is worth an account.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    accounts,
    app::App,
    error::Rejection,
    http::{Request, Response as HttpResponse},
    limits::{self, Limit},
    uia::registration_token,
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether an account could be made with the token now.
    pub valid: bool,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    accounts::demand_open(&app.config)?;
    let token = request.query.required("token")?;
    let found = registration_token::look_up(&app, token, request.network).await?;
    let valid = found.is_some_and(|row| row.is_good(app.clock.now()));
    if valid {
        // Losing the refund costs the client one guess; it is no reason to fail.
        let _ = limits::refund(&app, Limit::RegistrationToken, request.network).await;
    }
    Ok(HttpResponse::ok(&Response { valid }))
}
