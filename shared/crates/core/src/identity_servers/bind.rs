//! Binding: an identity server publishes that a 3PID belongs to a user (IDS-10 to IDS-12).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    IdServerError, TrustedServer, address_in, trusted,
    unbind::{self, Target},
    validate::{bearer, interface},
};
use crate::{
    app::App,
    config::IdServerApi,
    id_server_client::Call,
    ids::Localpart,
    secrets::Secret,
    store::{IdentityBinding, RecordBindingError, StoreError},
    validation_session::ValidatedThreePid,
};

/// The time after which a registration no longer waits for its bindings.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The validation session to bind, and its identity server.
#[derive(Debug)]
pub struct BindRequest<'a> {
    /// The identity server.
    pub server: &'a TrustedServer,
    /// The client's token at the identity server. If it is `None`, the v1 API is used.
    pub token: Option<&'a Secret>,
    /// The ID of the validation session at the identity server.
    pub sid: &'a str,
    /// The client secret of that session.
    pub client_secret: &'a Secret,
}

/// The reason why a 3PID could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The identity server failed or rejected the request.
    #[error(transparent)]
    IdServer(#[from] IdServerError),
    /// The account was deactivated during the request.
    #[error("the account was deactivated")]
    Deactivated,
    /// The binding could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Binds the 3PID of a validation session to a user and records the binding. It does not matter whether the
/// 3PID also belongs to another user (IDS-11). The operation is idempotent: if it is interrupted, the next
/// attempt of the client completes it.
pub async fn bind(app: &App, user: &Localpart, request: BindRequest<'_>) -> Result<(), BindError> {
    let server = request.server;
    let body = json!({
        "sid": request.sid,
        "client_secret": request.client_secret.reveal(),
        "mxid": user.user_id(&app.config.server_name),
    });
    let uri = format!("{}/3pid/bind", interface(request.token));
    let call = Call {
        server,
        method: "POST",
        uri: &uri,
        authorization: request.token.map(bearer),
        body: Some(body.to_string()),
    };
    let answer = app.identity_client().call(call).await?;
    // Without medium and address, the binding cannot be removed, and it is unclear whether it exists.
    let (medium, address) = address_in(&answer).ok_or(IdServerError::UnexpectedResponse(200))?;
    let binding = IdentityBinding {
        id_server: server.name.as_str().to_owned(),
        medium,
        address,
        nonce: app.rng.base64::<12>(),
    };
    match app
        .store
        .record_binding(user, &binding, app.clock.now())
        .await
    {
        Ok(()) => Ok(()),
        Err(RecordBindingError::Store(error)) => Err(error.into()),
        // The deactivation removed the recorded bindings before this binding was made.
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

/// Binds the 3PIDs of a new account if the client requested it. Only 3PIDs that an identity server validated are
/// bound, and only at that identity server, because no other one has their validation sessions (REG-26, DIS-03).
/// The account already exists and does not depend on the result. This function therefore takes a few seconds at
/// most and never fails; errors are logged.
pub async fn bind_validated(app: &App, user: &Localpart, addresses: &[&ValidatedThreePid]) {
    let bindings: Vec<_> = addresses
        .iter()
        .map(|validated| bind_one(app, user, validated))
        .collect();
    if tokio::time::timeout(TIMEOUT, join_all(bindings))
        .await
        .is_err()
    {
        tracing::warn!("the 3PIDs of a new account could not be bound in time");
    }
}

async fn bind_one(app: &App, user: &Localpart, validated: &ValidatedThreePid) {
    let Some(session) = &validated.delegated else {
        return;
    };
    let Ok(server) = trusted(&app.config, &session.id_server) else {
        return;
    };
    let token = session.token.clone().map(Secret::new);
    if token.is_none() && app.config.identity_servers.api == IdServerApi::V2 {
        return;
    }
    let request = BindRequest {
        server,
        token: token.as_ref(),
        sid: &validated.sid,
        client_secret: &Secret::new(session.client_secret.clone()),
    };
    if let Err(error) = bind(app, user, request).await {
        tracing::warn!(%error, "a 3PID of a new account could not be bound");
    }
}
