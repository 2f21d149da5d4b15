//! `POST /_matrix/client/{r0,v3}/register/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3registermsisdnrequesttoken);
//! 3PID-01 to 3PID-32, REG-29. A message goes out only if some way to register asks for one, so that
//! the server is nobody's cannon.

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    request_token,
    threepids::proofs::ValidationPurpose,
    uia::StageType,
};

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    // A closed server answers no question about addresses.
    accounts::demand_open(&app.config)?;
    let offered = app.config.offers(StageType::Msisdn);
    request_token::msisdn(&app, &request, ValidationPurpose::Register, offered).await
}
