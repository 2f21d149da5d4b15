//! `POST /oauth2/introspect`, `GET /.well-known/openid-configuration`
//!
//! [Introspection](https://www.rfc-editor.org/rfc/rfc7662) and
//! [discovery](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig), in the form that homeservers
//! expect of an external account service. A homeserver sends both requests to one base URL, which may be the function
//! URL, so one function handles both. If no homeserver is configured, both paths are unknown (HS-01).

mod discovery;
mod introspection;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
};

pub use discovery::Metadata;
pub use introspection::{ActiveToken, Response as Introspection};

/// Handles the request. A function URL invokes the function for every method and path.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let Some(homeserver) = &app.config.homeserver else {
        return Err(MatrixError::unknown_path().into());
    };
    match (&request.method, request.path.as_str()) {
        (&Method::POST, "/oauth2/introspect") => {
            Ok(introspection::answer(&app, homeserver, &request).await?)
        }
        (&Method::GET, "/.well-known/openid-configuration") => Ok(discovery::answer(&app.config)),
        _ => Err(MatrixError::unknown_path().into()),
    }
}
