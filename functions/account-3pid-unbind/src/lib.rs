//! `POST /_matrix/client/{r0,v3}/account/3pid/unbind`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3pidunbind);
//! IDS-02, IDS-03, IDS-13 to IDS-17, IDS-20, ACC3-06, GUEST-06. The address stays on the account.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Body, Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, UnbindResult},
    limits::{self, Limit},
    threepids::Medium,
    tokens::{self, CallerError},
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether it is unbound.
    pub id_server_unbind_result: UnbindResult,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    let caller = tokens::identify(&app, &token, request.query.get("user_id")).await?;
    caller.demand_no_guest()?;
    if caller.account().is_none() {
        return Err(CallerError::NotItsUser.into());
    }
    let body = Body::parse(&request.body)?;
    let medium: String = body.required("medium")?;
    let medium = Medium::parse(&medium).ok_or_else(|| invalid("`medium` is not known"))?;
    let address: String = body.required("address")?;
    if !identity_servers::is_address(&address) {
        return Err(invalid("`address` is no address").into());
    }
    let server = match body.optional::<String>("id_server")? {
        Some(name) => Some(identity_servers::trusted(&app.config, &name)?),
        None => None,
    };
    limits::spend(&app, Limit::IdServer, request.network).await?;
    let user = caller.localpart();
    let result = identity_servers::unbind(&app, user, medium, &address, server).await?;
    Ok(HttpResponse::ok(&Response {
        id_server_unbind_result: result,
    }))
}

fn invalid(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::InvalidParam, message)
}
