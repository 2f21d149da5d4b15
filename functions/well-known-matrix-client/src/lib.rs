//! `GET /.well-known/matrix/client`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#getwell-knownmatrixclient); WK-01.
//! Of use where the server name itself leads here. Reads no table.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The homeserver.
    #[serde(rename = "m.homeserver")]
    pub homeserver: Server,
    /// The identity server, if clients are told of one.
    #[serde(rename = "m.identity_server", skip_serializing_if = "Option::is_none")]
    pub identity_server: Option<Server>,
}

/// Where a server is.
#[derive(Debug, Serialize)]
pub struct Server {
    /// Its URL.
    pub base_url: String,
}

/// Answers the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let Some(told) = &app.config.well_known else {
        let message = "This server has nothing to say here";
        return Err(MatrixError::new(ErrorCode::NotFound, message).into());
    };
    let server = |url: &String| Server {
        base_url: url.clone(),
    };
    Ok(HttpResponse::ok(&Response {
        homeserver: server(&told.homeserver),
        identity_server: told.identity_server.as_ref().map(server),
    }))
}
