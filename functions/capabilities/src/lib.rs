//! `GET /_matrix/client/{r0,v3}/capabilities`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3capabilities). The
//! response contains only the account capabilities. The homeserver determines the room capabilities.

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    callers,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    tokens::TokenLimits,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let caller = callers::identify(&app, &request, TokenLimits::READ).await?;
    // GUEST-06
    caller.ensure_not_guest()?;
    // A token of the OAuth 2.0 API changes neither the password nor 3PIDs here (OA-146), and without the account API no
    // client does (OA-145).
    let apis = app.config.oauth.apis;
    let is_account_api = apis.include_account_api() && caller.ensure_account_api().is_ok();
    // CAP-01
    Ok(HttpResponse::ok(&json!({
        "capabilities": {
            "m.change_password": { "enabled": is_account_api && app.config.password_changes },
            "m.3pid_changes": { "enabled": is_account_api && app.config.threepid_changes },
            "m.get_login_token": { "enabled": false },
        },
    })))
}
