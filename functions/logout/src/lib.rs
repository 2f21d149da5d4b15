//! `POST /_matrix/client/{r0,v3}/logout`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3logout). The body
//! is ignored (HTTP-02).

use std::sync::Arc;

use serde_json::json;
use shared::{
    app::App,
    error::Rejection,
    homeserver::{self, Change},
    http::{self, Request as HttpRequest, Response as HttpResponse},
    limits::{self, Limit},
    store::StoreError,
    tokens,
};

/// The maximum number of attempts to delete a device whose tokens change concurrently. After such a change the token
/// is usually invalid, so the next attempt fails with that error.
const MAX_ATTEMPTS: usize = 3;

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    for attempt in 0..MAX_ATTEMPTS {
        let charge = async {
            match attempt {
                0 => limits::consume(&app, Limit::Logout, request.network).await,
                _ => Ok(()),
            }
        };
        // TOK-14: a locked account may log out.
        let session = tokens::authenticate_for_logout(&app, &token);
        let (charged, session) = tokio::join!(charge, session);
        charged?;
        let session = session?;
        // GUEST-06
        session.ensure_not_guest()?;
        // OUT-01, TOK-13
        let (user, device) = (&session.localpart, &session.device);
        // A concurrent login may have given the device other tokens. It is then not deleted at the homeserver either.
        let removed = async {
            let removal = app.store.remove_device(user, device, &session.access_hash);
            removal.await?.then_some(()).ok_or(StoreError::Contended)
        };
        let deletion = Change::DevicesDeleted(std::slice::from_ref(device));
        let account = Some(&session.account);
        match homeserver::carry_over(&app, user, account, deletion, removed).await {
            Ok(()) => return Ok(HttpResponse::ok(&json!({}))),
            Err(StoreError::Contended) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Contended.into())
}
