//! `GET /_matrix/client/v1/register/m.login.registration_token/validity`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity);
//! RTOK-01. The rate limit is charged before the token is compared, because a valid token allows a
//! registration.

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

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether the token allows a registration now.
    pub valid: bool,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    accounts::ensure_registration_open(&app.config)?;
    let token = request.query.required("token")?;
    let found = registration_token::look_up(&app, token, request.network).await?;
    let valid = found.is_some_and(|row| row.is_good(app.clock.now()));
    if valid {
        // A failed refund must not fail the request. It costs the client only one guess.
        let _ = limits::refund(&app, Limit::RegistrationToken, request.network).await;
    }
    Ok(HttpResponse::ok(&Response { valid }))
}
