//! `GET /_matrix/key/v2/server`, with a slash at the end and without
//!
//! [Specification](https://spec.matrix.org/v1.15/server-server-api/#get_matrixkeyv2server); IDS-19. By
//! these keys an identity server believes that an unbinding comes from here. No table is read.

use std::sync::Arc;

use shared::{
    app::App,
    error::Rejection,
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers,
};

/// Answers the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let keys = identity_servers::server_keys(&app.config, app.clock.now());
    Ok(HttpResponse::ok(&keys))
}
