//! `GET /.well-known/matrix/client`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#getwell-knownmatrixclient); WK-01.
//! The response has an effect only if the server name itself resolves to this service. The function reads
//! no table.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
};

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The homeserver that clients connect to.
    #[serde(rename = "m.homeserver")]
    pub homeserver: Server,
    /// The identity server, if one is configured.
    #[serde(rename = "m.identity_server", skip_serializing_if = "Option::is_none")]
    pub identity_server: Option<Server>,
}

/// The location of a server.
#[derive(Debug, Serialize)]
pub struct Server {
    /// The base URL.
    pub base_url: String,
}

/// Handles the request.
#[expect(clippy::unused_async, reason = "handlers are async")]
pub async fn handle(app: Arc<App>, _request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let Some(well_known) = &app.config.well_known else {
        let message = "This server has no client discovery information";
        return Err(MatrixError::new(ErrorCode::NotFound, message).into());
    };
    let server = |url: &String| Server {
        base_url: url.clone(),
    };
    Ok(HttpResponse::ok(&Response {
        homeserver: server(&well_known.homeserver),
        identity_server: well_known.identity_server.as_ref().map(server),
    }))
}
