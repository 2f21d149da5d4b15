//! `POST /_matrix/client/{r0,v3}/logout`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3logout);
//! OUT-01, TOK-13, HTTP-02, GUEST-06. The body is not looked at. A locked account may log out (TOK-14).

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::Rejection,
    http::{self, Request as HttpRequest, Response as HttpResponse},
    store::StoreError,
    tokens,
};

/// How often a device is tried to be removed whose tokens change meanwhile: most often the token is
/// dead by then, and says so.
const TRIES: usize = 3;

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    for _ in 0..TRIES {
        let session = tokens::authenticate_to_leave(&app, &token).await?;
        session.demand_no_guest()?;
        let store = &app.store;
        let removed =
            store.remove_device(&session.localpart, &session.device, &session.access_hash);
        if removed.await? {
            return Ok(HttpResponse::ok(&json!({})));
        }
    }
    Err(StoreError::Contended.into())
}
