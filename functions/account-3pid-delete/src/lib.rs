//! `POST /_matrix/client/{r0,v3}/account/3pid/delete`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3piddelete).
//! The response for an address that does not belong to the caller is the same as after a removal, and the
//! request has no effect. So a repeated request gets the same response.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    account_threepids::{self, OwnerAuthentication},
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, UnbindResult, UnbindScope},
    threepids::{self, Medium, ThreePid},
};

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether an identity server has unbound the address (ACC3-05).
    pub id_server_unbind_result: UnbindResult,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config)?;
    // GUEST-06, TOK-15
    let owner = account_threepids::load_owner(&app, &request).await?;
    let body = Body::parse(&request.body)?;
    let (threepid, id_server) = parse(&body)?;
    let id_server = identity_servers::named(&app.config, id_server.as_deref())?;
    let user = owner.localpart.clone();
    let authentication = OwnerAuthentication::AccessToken(&request);
    account_threepids::remove(&app, authentication, owner, &threepid).await?;
    // IDS-14, IDS-20: the address is removed from the account before an identity server is contacted.
    let which = UnbindScope::One(&threepid);
    let result = identity_servers::unbind_all(&app, &user, which, id_server.as_ref()).await;
    Ok(HttpResponse::ok(&Response {
        id_server_unbind_result: result,
    }))
}

/// Reads the address in its canonical form (3PID-63), and the identity server that must unbind it.
fn parse(body: &Body) -> Result<(ThreePid, Option<String>), MatrixError> {
    let invalid = |message| MatrixError::new(ErrorCode::InvalidParam, message);
    let medium: String = body.required("medium")?;
    let address: String = body.required("address")?;
    let id_server = body.optional("id_server")?;
    let medium =
        Medium::parse(&medium).ok_or_else(|| invalid("`medium` must be `email` or `msisdn`"))?;
    let threepid = threepids::parse_named(medium, &address)
        .ok_or_else(|| invalid("`address` is not a valid address of this medium"))?;
    Ok((threepid, id_server))
}
