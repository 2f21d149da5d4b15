//! `POST /_matrix/client/{r0,v3}/account/password`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountpassword)

use std::sync::Arc;

use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response},
    password_change,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    Box::pin(password_change::change_password(&app, &request)).await
}
