//! `POST /_matrix/client/{r0,v3}/register/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3registermsisdnrequesttoken).
//! `request_token` implements the requirements of all such endpoints (3PID-01 to 3PID-32). A text message is
//! sent only if a registration flow needs one, so that the server cannot be used to send unsolicited
//! messages.

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    request_token,
    threepid_validation::ValidationPurpose,
    uia::StageType,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    // REG-29: if registration is closed, the response reveals nothing about an address.
    accounts::demand_open(&app.config)?;
    let offered = app.config.offers(StageType::Msisdn);
    request_token::msisdn(&app, &request, ValidationPurpose::Register, offered).await
}
