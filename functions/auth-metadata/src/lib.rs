//! `GET /_matrix/client/v1/auth_metadata`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv1auth_metadata); OA-01 to OA-08. The
//! path below `/_matrix/client/unstable` is the one of clients that do not know v1.15. The function reads no table. While
//! the OAuth 2.0 API is off, both paths are unknown, and clients use the account API (OA-145).

use std::sync::Arc;

use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth::ServerMetadata,
    oauth_http,
};

/// Handles the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: Request) -> Result<Response, Rejection> {
    let metadata = ServerMetadata::of(&app.config);
    let metadata = metadata.filter(|metadata| metadata.authorization.is_some());
    let metadata = metadata.ok_or_else(MatrixError::unknown_path)?;
    Ok(oauth_http::server_metadata(&metadata))
}
