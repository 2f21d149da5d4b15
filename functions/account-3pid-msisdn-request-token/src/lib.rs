//! `POST /_matrix/client/{r0,v3}/account/3pid/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken).
//! `request_token` implements the requirements of all such endpoints (3PID-01 to 3PID-32). No access token
//! is needed (3PID-14), because only an account that adds the address can use the validated session. The
//! function `deliver` checks whether an account already has the address (3PID-07).

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
    // ACC3-07
    accounts::demand_threepid_changes(&app.config)?;
    request_token::msisdn(&app, &request, ValidationPurpose::Add, true).await
}
