//! Handles every path and method that no other function handles.
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#common-error-codes)

mod allowed;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request, Response},
};

/// The routes of API Gateway for unknown paths. A REST API and an HTTP API have different names for them.
const CATCH_ALL: [&str; 4] = ["/", "/{proxy+}", "$default", ""];

/// Handles the request.
#[expect(clippy::unused_async, reason = "every handler has this shape")]
pub async fn handle(_app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    // HTTP-10: API Gateway handles OPTIONS itself, but local emulators do not.
    if request.method == Method::OPTIONS {
        return Ok(Response::ok(&serde_json::json!({})));
    }
    // HTTP-08
    if CATCH_ALL.contains(&request.resource.as_str()) {
        return Err(MatrixError::unknown_path().into());
    }
    // HTTP-09
    let own = |(path, _): &&(&str, &str)| *path == request.resource;
    let error = MatrixError::new(
        ErrorCode::WrongMethod,
        "The path does not support this method",
    );
    Err(MatrixError {
        allow: allowed::ALLOWED
            .iter()
            .find(own)
            .map(|(_, methods)| *methods),
        ..error
    }
    .into())
}
