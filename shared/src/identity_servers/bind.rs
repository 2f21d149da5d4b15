//! Binding: an identity server publishes that an address belongs to a user (IDS-10 to IDS-12).

use serde_json::json;

use super::{
    IdServerError, TrustedServer, address_in,
    client::Call,
    unbind::{self, Target},
};
use crate::{
    app::App,
    ids::Localpart,
    secrets::Secret,
    store::{Binding, RecordBindingError, StoreError},
};

/// Which validated session of which server is to be bound.
#[derive(Debug)]
pub struct BindRequest<'a> {
    /// The server.
    pub server: &'a TrustedServer,
    /// The client's token there; without one the interface of r0 is spoken.
    pub token: Option<&'a Secret>,
    /// The session there.
    pub sid: &'a str,
    /// And its secret.
    pub client_secret: &'a Secret,
}

/// Why an address is not bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The identity server did not do it.
    #[error(transparent)]
    IdServer(#[from] IdServerError),
    /// The account has been deactivated meanwhile.
    #[error("the account has been deactivated")]
    Deactivated,
    /// It could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Binds the address of a session to a user, and records that. Who else has the address is no matter
/// (IDS-11). Asked again it does the same again: should anything end it in between, the client's
/// next try mends it.
pub async fn bind(app: &App, user: &Localpart, request: BindRequest<'_>) -> Result<(), BindError> {
    let server = request.server;
    let body = json!({
        "sid": request.sid,
        "client_secret": request.client_secret.reveal(),
        "mxid": user.user_id(&app.config.server_name),
    });
    let authorization = request
        .token
        .map(|token| Secret::new(format!("Bearer {}", token.reveal())));
    let call = Call {
        server,
        method: "POST",
        uri: if authorization.is_some() {
            "/_matrix/identity/v2/3pid/bind"
        } else {
            "/_matrix/identity/api/v1/3pid/bind"
        },
        authorization,
        body: Some(body.to_string()),
    };
    let answer = app.identity_client().call(call).await?;
    // Without both it cannot be undone, nor is it known to have been done.
    let (medium, address) = address_in(&answer).ok_or(IdServerError::Unclear(200))?;
    let binding = Binding {
        id_server: server.name.as_str().to_owned(),
        medium,
        address,
        nonce: app.chance.base64::<12>(),
    };
    match app
        .store
        .record_binding(user, &binding, app.clock.now())
        .await
    {
        Ok(()) => Ok(()),
        Err(RecordBindingError::Store(error)) => Err(error.into()),
        // Deactivation has undone what it found, and this came after it.
        Err(RecordBindingError::Deactivated) => {
            let target = Target {
                server: Some(server),
                medium,
                address: binding.address,
                record: None,
            };
            let _ = unbind::undo(app, user, &target).await;
            Err(BindError::Deactivated)
        }
    }
}
