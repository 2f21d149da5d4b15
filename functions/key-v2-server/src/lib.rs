//! `GET /_matrix/key/v2/server`, with and without a trailing slash
//!
//! [Specification](https://spec.matrix.org/v1.15/server-server-api/#get_matrixkeyv2server); IDS-19. An
//! identity server verifies with these keys that this server has signed an unbinding request. The function
//! reads no table.

use std::sync::Arc;

use shared::{
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers,
};

/// Handles the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let keys = identity_servers::server_keys(&app.config, app.clock.now());
    Ok(HttpResponse::ok(&keys))
}
