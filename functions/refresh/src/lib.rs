//! `POST /_matrix/client/{r0,v3}/refresh`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3refresh). An
//! access token in the request has no effect (REFR-04).

use std::sync::Arc;

use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    limits::{self, Limit},
    secrets::Secret,
    tokens::RefreshToken,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let body = Body::parse(&request.body)?;
    let token = body
        .optional::<String>("refresh_token")?
        .map(Secret::new)
        .ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`refresh_token` is missing"))?;
    // REFR-02, TOK-13, TOK-14, PWD-11
    let (spent, token) = tokio::join!(
        limits::consume(&app, Limit::Refresh, request.network),
        RefreshToken::read(&app, &token)
    );
    spent?;
    let token = token?;
    let device = token.device_quota_key()?;
    limits::consume(&app, Limit::DeviceRefresh, device).await?;
    // REFR-01, REFR-03
    let issued = token.redeem(&app).await?;
    Ok(HttpResponse::ok(&issued))
}
