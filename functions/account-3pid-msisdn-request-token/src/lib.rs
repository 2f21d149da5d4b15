//! `POST /_matrix/client/{r0,v3}/account/3pid/msisdn/requestToken`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken);
//! 3PID-01 to 3PID-32, 3PID-07, ACC3-07. For whoever asks (3PID-14): what is proven is of use only to
//! an account that adds the address. Whose it is now is not looked at; who sends the message does
//! that.

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
    accounts::demand_threepid_changes(&app.config)?;
    request_token::msisdn(&app, &request, ValidationPurpose::Add, true).await
}
