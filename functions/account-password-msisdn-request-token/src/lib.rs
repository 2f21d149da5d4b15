//! `POST /_matrix/client/{r0,v3}/account/password/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken);
//! 3PID-01 to 3PID-32, 3PID-06, PWD-15, PWD-19. For whoever asks: it is the way back for people who
//! have no token, so one that comes along is not looked at (3PID-14). Whether the address has an
//! account is not looked at either; who sends the message does that.

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    request_token,
    threepids::proofs::ValidationPurpose,
};

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::demand_password_changes(&app.config)?;
    request_token::msisdn(&app, &request, ValidationPurpose::Reset, true).await
}
