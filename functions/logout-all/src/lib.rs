//! `POST /_matrix/client/{r0,v3}/logout/all`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3logoutall);
//! OUT-02, TOK-13, HTTP-02, GUEST-06. The body is not looked at. A locked account may log out (TOK-14).
//! One transaction ends every device, however many there are; their rows are removed later.

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::Rejection,
    http::{self, Request as HttpRequest, Response as HttpResponse},
    outbox::NewMessage,
    tokens,
};

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    let session = tokens::authenticate_to_leave(&app, &token).await?;
    session.demand_no_guest()?;
    let purge = NewMessage::purge(&session.localpart, app.clock.now(), &*app.rng);
    app.store.revoke_devices(&session.localpart, &purge).await?;
    Ok(HttpResponse::ok(&json!({})))
}
