//! `POST /_matrix/client/{r0,v3}/account/3pid/bind`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidbind). The
//! address is bound at the identity server only. The 3PIDs of the account do not change.

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    callers,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, BindRequest},
    secrets::Secret,
    threepid_validation,
    tokens::TokenLimits,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(&app, &request, TokenLimits::ID_SERVER).await?;
    // GUEST-06
    caller.ensure_not_guest()?;
    caller.ensure_account()?;
    let body = Body::parse(&request.body)?;
    let sid = opaque_id(&body, "sid")?;
    let client_secret = Secret::new(opaque_id(&body, "client_secret")?);
    let id_server: String = body.required("id_server")?;
    // IDS-02, IDS-03
    let server = identity_servers::trusted(&app.config, &id_server)?;
    let token = identity_servers::read_token(&app, body.optional("id_access_token")?)?;
    let request = BindRequest {
        server,
        token: token.as_ref(),
        sid: &sid,
        client_secret: &client_secret,
    };
    // IDS-07, IDS-10 to IDS-12, IDS-21, DIS-15
    identity_servers::bind(&app, caller.localpart(), request).await?;
    Ok(HttpResponse::ok(&json!({})))
}

/// Reads a member of the body that is an opaque ID.
fn opaque_id(body: &Body, name: &'static str) -> Result<String, MatrixError> {
    let text: String = body.required(name)?;
    if threepid_validation::is_opaque_id(&text) {
        return Ok(text);
    }
    Err(MatrixError::new(
        ErrorCode::InvalidParam,
        format!("`{name}` must have 1 to 255 characters of a-z, A-Z, 0-9 and `.=_-`"),
    ))
}
