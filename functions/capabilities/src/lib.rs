//! `GET /_matrix/client/{r0,v3}/capabilities`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3capabilities). The
//! response contains only the account capabilities. The homeserver determines the room capabilities.

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::Rejection,
    http::{self, Request as HttpRequest, Response as HttpResponse},
    tokens,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    let caller = tokens::identify(&app, &token, request.query.get("user_id")).await?;
    // GUEST-06
    caller.ensure_not_guest()?;
    // CAP-01
    Ok(HttpResponse::ok(&json!({
        "capabilities": {
            "m.change_password": { "enabled": app.config.password_changes },
            "m.3pid_changes": { "enabled": app.config.threepid_changes },
            "m.get_login_token": { "enabled": false },
        },
    })))
}
