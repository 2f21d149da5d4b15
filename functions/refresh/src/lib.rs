//! `POST /refresh`

use std::sync::Arc;

use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
};

/// Answers the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(_app: Arc<App>, _request: HttpRequest) -> Result<HttpResponse, Rejection> {
    Err(MatrixError::new(ErrorCode::UnknownPath, "Not yet").into())
}
