//! `POST /_matrix/client/{r0,v3}/account/3pid/delete`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3account3piddelete);
//! ACC3-05, ACC3-07, 3PID-63, GUEST-06, TOK-15. An address that is not the caller's, or no more, is
//! answered as if it had just been removed, and nothing is done to it: so a repeat gets the same answer.
//! It is gone here before any identity server is asked to forget it (IDS-14, IDS-20).

use std::sync::Arc;

use serde::Serialize;
use shared::{
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, UnbindResult, Which},
    own_addresses,
    threepids::{Medium, ThreePid},
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whether an identity server has forgotten the address.
    pub id_server_unbind_result: UnbindResult,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::demand_threepid_changes(&app.config)?;
    let owner = own_addresses::changer(&app, &request).await?;
    let body = Body::parse(&request.body)?;
    let (threepid, id_server) = parse(&body)?;
    let id_server = identity_servers::named(&app.config, id_server.as_deref())?;
    let user = owner.localpart.clone();
    own_addresses::remove(&app, &request, owner, &threepid).await?;
    let which = Which::One(&threepid);
    let unbound = identity_servers::unbind_all(&app, &user, which, id_server.as_ref()).await;
    Ok(HttpResponse::ok(&Response {
        id_server_unbind_result: unbound,
    }))
}

/// Which address, in its canonical form, and the identity server that is to forget it.
fn parse(body: &Body) -> Result<(ThreePid, Option<String>), MatrixError> {
    let invalid = |message| MatrixError::new(ErrorCode::InvalidParam, message);
    let medium: String = body.required("medium")?;
    let address: String = body.required("address")?;
    let id_server = body.optional("id_server")?;
    let medium = Medium::parse(&medium)
        .ok_or_else(|| invalid("`medium` is neither `email` nor `msisdn`"))?;
    let threepid = ThreePid::parse(medium, &address)
        .ok_or_else(|| invalid("`address` is not an address of that medium"))?;
    Ok((threepid, id_server))
}
