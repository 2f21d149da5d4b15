//! `POST /_matrix/client/{r0,v3}/account/3pid/unbind`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidunbind).
//! The account keeps the address (ACC3-06).

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    callers,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, UnbindResult},
    threepids::{self, Medium},
    tokens::TokenLimits,
};

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether the identity server has unbound the address.
    pub id_server_unbind_result: UnbindResult,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(&app, &request, TokenLimits::ID_SERVER).await?;
    // GUEST-06
    caller.ensure_not_guest()?;
    caller.ensure_account()?;
    let body = Body::parse(&request.body)?;
    let medium: String = body.required("medium")?;
    let medium =
        Medium::parse(&medium).ok_or_else(|| invalid("`medium` must be `email` or `msisdn`"))?;
    let address: String = body.required("address")?;
    let address = threepids::trim(&address);
    if !identity_servers::is_address(address) {
        return Err(invalid("`address` is not a valid address").into());
    }
    // IDS-02, IDS-03
    let server = match body.optional::<String>("id_server")? {
        Some(name) => Some(identity_servers::trusted(&app.config, &name)?),
        None => None,
    };
    // IDS-13 to IDS-17, IDS-20
    let user = caller.localpart();
    let result = identity_servers::unbind(&app, user, medium, address, server).await?;
    Ok(HttpResponse::ok(&Response {
        id_server_unbind_result: result,
    }))
}

fn invalid(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::InvalidParam, message)
}
