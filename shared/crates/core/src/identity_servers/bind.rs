//! Binding: an identity server publishes that an address belongs to a user (IDS-10 to IDS-12).

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

/// How long a binding may hold up what it comes along with.
const PATIENCE: Duration = Duration::from_secs(3);

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
    let uri = format!("{}/3pid/bind", interface(request.token));
    let call = Call {
        server,
        method: "POST",
        uri: &uri,
        authorization: request.token.map(bearer),
        body: Some(body.to_string()),
    };
    let answer = app.identity_client().call(call).await?;
    // Without both it cannot be undone, nor is it known to have been done.
    let (medium, address) = address_in(&answer).ok_or(IdServerError::Unclear(200))?;
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

/// Binds the addresses of a new account that its client asked for, as far as an identity server has
/// validated them: no other knows their sessions (REG-26, DIS-03). The account is there already and
/// what becomes of this changes nothing about it, so it takes a few seconds at most and never fails.
pub async fn bind_proven(app: &App, user: &Localpart, addresses: &[&ValidatedThreePid]) {
    let bindings: Vec<_> = addresses
        .iter()
        .map(|proven| bind_one(app, user, proven))
        .collect();
    if tokio::time::timeout(PATIENCE, join_all(bindings))
        .await
        .is_err()
    {
        tracing::warn!("an address of a new account could not be bound in time");
    }
}

async fn bind_one(app: &App, user: &Localpart, proven: &ValidatedThreePid) {
    let Some(session) = &proven.delegated else {
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
        sid: &proven.sid,
        client_secret: &Secret::new(session.client_secret.clone()),
    };
    if let Err(error) = bind(app, user, request).await {
        tracing::warn!(%error, "an address of a new account is not bound");
    }
}
