//! Every path and method that is served by nobody else.
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#common-error-codes): an unknown
//! path is 404 (HTTP-08), a known path with another method is 405 (HTTP-09), both M_UNRECOGNIZED; OPTIONS
//! is welcome everywhere (HTTP-10).

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request, Response},
};

/// The gateway's routes for paths that nobody has: REST API and HTTP API spell them differently.
const CATCH_ALL: [&str; 4] = ["/", "/{proxy+}", "$default", ""];

/// Answers the request.
#[expect(clippy::unused_async, reason = "every handler has this shape")]
pub async fn handle(_app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    // The gateway answers OPTIONS itself; where it does not, as in local emulators, this does.
    if request.method == Method::OPTIONS {
        return Ok(Response::ok(&serde_json::json!({})));
    }
    if CATCH_ALL.contains(&request.resource.as_str()) {
        return Err(
            MatrixError::new(ErrorCode::UnknownPath, "There is nothing at this path").into(),
        );
    }
    Err(MatrixError::new(ErrorCode::WrongMethod, "This path has no such method").into())
}
