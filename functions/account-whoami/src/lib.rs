//! `GET /_matrix/client/{r0,v3}/account/whoami`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3accountwhoami). Guests
//! may use it (GUEST-06).

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    callers,
    error::Rejection,
    http::{Request, Response as HttpResponse},
    store::AccountKind,
    tokens::TokenLimits,
};

/// The response body (WHO-01).
#[derive(Debug, Serialize)]
pub struct Response {
    /// The user that the token belongs to.
    pub user_id: String,
    /// The device that the token belongs to. The token of an application service has no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Whether the user is a guest.
    pub is_guest: bool,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    // TOK-01 to TOK-05
    let caller = callers::identify(&app, &request, TokenLimits::READ).await?;
    let kind = caller.account().map(|account| account.kind);
    Ok(HttpResponse::ok(&Response {
        user_id: caller.localpart().user_id(&app.config.server_name),
        device_id: caller.device().map(|device| device.as_str().to_owned()),
        is_guest: kind == Some(AccountKind::Guest),
    }))
}
