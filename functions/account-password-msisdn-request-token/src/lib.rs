//! `POST /_matrix/client/{r0,v3}/account/password/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken).
//! `request_token` implements the requirements of all such endpoints (3PID-01 to 3PID-32). An access token
//! has no effect (3PID-14), because users who forgot their password have none. The function `deliver` checks
//! whether a usable account has the address (3PID-06, PWD-19).

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    request_token,
    threepid_validation::ValidationPurpose,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    // PWD-15
    accounts::demand_password_changes(&app.config)?;
    request_token::msisdn(&app, &request, ValidationPurpose::Reset, true).await
}
