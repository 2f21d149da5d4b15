//! `POST /_matrix/client/{r0,v3}/logout/all`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3logoutall). The
//! body is ignored (HTTP-02).

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::Rejection,
    homeserver::{self, Change},
    http::{self, Request as HttpRequest, Response as HttpResponse},
    limits::{self, Limit},
    outbox::NewMessage,
    tokens,
};

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    // TOK-14: a locked account may log out.
    let (charged, session) = tokio::join!(
        limits::consume(&app, Limit::Logout, request.network),
        tokens::authenticate_for_logout(&app, &token)
    );
    charged?;
    let session = session?;
    // GUEST-06
    session.ensure_not_guest()?;
    // OUT-02, TOK-13: one transaction logs out any number of devices. The purge deletes their rows later.
    let purge = NewMessage::purge(&session.localpart, app.clock.now(), &*app.rng);
    let user = &session.localpart;
    let revoked = app.store.revoke_devices(user, &purge);
    let change = Change::DevicesLoggedOut { kept: None };
    homeserver::carry_over(&app, user, Some(&session.account), change, revoked).await?;
    Ok(HttpResponse::ok(&json!({})))
}
