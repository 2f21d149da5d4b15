//! `POST /oauth2/introspect`, `GET /.well-known/openid-configuration`
//!
//! [Introspection](https://www.rfc-editor.org/rfc/rfc7662) and
//! [discovery](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig), in the form that homeservers
//! expect of an external account service. A homeserver sends both requests to one base URL, which may be the function
//! URL, so one function handles both. Without a homeserver introspection is unknown (HS-01), and so is discovery while the
//! OAuth 2.0 API is off, too. Clients that refresh tokens of that API also request the discovery document.

mod introspection;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth::ServerMetadata,
    oauth_http,
};

pub use introspection::{ActiveToken, Response as Introspection};

/// Handles the request. A function URL invokes the function for every method and path.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    match (&request.method, request.path.as_str()) {
        (&Method::POST, "/oauth2/introspect") => {
            let homeserver = app.config.homeserver.as_ref();
            let homeserver = homeserver.ok_or_else(MatrixError::unknown_path)?;
            Ok(introspection::answer(&app, homeserver, &request).await?)
        }
        (&Method::GET, "/.well-known/openid-configuration") => {
            let metadata = ServerMetadata::of(&app.config).ok_or_else(MatrixError::unknown_path)?;
            Ok(oauth_http::server_metadata(&metadata))
        }
        _ => Err(MatrixError::unknown_path().into()),
    }
}
