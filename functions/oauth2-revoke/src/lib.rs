//! `POST /oauth2/revoke`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#oauth-20-api): ends the session of a token (OA-105 to
//! OA-109). The response does not depend on whether the token exists.

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    limits::{self, Limit},
    oauth,
    oauth_http::{OAuthError, Parameters},
    secrets::Secret,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    Ok(match revoke(&app, &request).await {
        // OA-106: some clients parse the body as JSON.
        Ok(()) => Response::ok(&json!({})),
        Err(error) => error.response(),
    })
}

async fn revoke(app: &App, request: &Request) -> Result<(), OAuthError> {
    let parameters = Parameters::of_form(request)?;
    // OA-108: `token_type_hint` has no effect.
    let token = Secret::new(parameters.required("token")?.to_owned());
    let charged = limits::consume(app, Limit::Logout, request.network).await;
    charged.map_err(MatrixError::from)?;
    let revoked = oauth::revoke(app, &token, parameters.get("client_id")).await;
    Ok(revoked.map_err(MatrixError::from)?)
}
