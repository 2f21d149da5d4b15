//! Validation by an identity server, where the operator chose that (IDS-01): it sends the message,
//! and says later whether somebody has answered it (IDS-04, IDS-05, IDS-09).

use serde_json::{Map, Value};

use super::{IdServerError, TrustedServer, address_in};
use crate::{
    app::App,
    clock::Timestamp,
    config::IdServerApi,
    id_server_client::Call,
    secrets::Secret,
    threepid::{Medium, ThreePid},
    threepid_validation::is_opaque_id,
    validation_session::{DelegatedSession, LIFETIME},
};

/// No identity server's token is longer, in bytes.
const MAX_TOKEN_BYTES: usize = 2048;

/// Why a client's `id_access_token` will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// There is none, and the interface that is spoken wants one.
    #[error("there is no token")]
    Missing,
    /// It is nothing that a header can hold.
    #[error("it is no token")]
    Malformed,
}

/// An address that an identity server has validated.
#[derive(Clone)]
pub struct Validated {
    /// The address, in the form that it has here.
    pub threepid: ThreePid,
    /// When.
    pub at: Timestamp,
}

crate::opaque_debug!(Validated);

/// The client's token for an identity server, if it is one; without one the interface of r0 is
/// spoken where the operator chose that (DIS-15).
pub fn read_token(app: &App, token: Option<String>) -> Result<Option<Secret>, IdTokenError> {
    let Some(token) = token else {
        return match app.config.identity_servers.api {
            IdServerApi::V2 => Err(IdTokenError::Missing),
            IdServerApi::V1 => Ok(None),
        };
    };
    // It becomes part of a header.
    let lawful =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if lawful {
        Ok(Some(Secret::new(token)))
    } else {
        Err(IdTokenError::Malformed)
    }
}

/// Where the paths of the interface begin that takes such a token, or none.
pub(super) fn interface(token: Option<&Secret>) -> &'static str {
    match token {
        Some(_) => "/_matrix/identity/v2",
        None => "/_matrix/identity/api/v1",
    }
}

/// The header that shows a token.
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.reveal()))
}

/// Has the identity server send a message, and says under which id it keeps the session.
pub async fn request_validation(
    app: &App,
    server: &TrustedServer,
    token: Option<&Secret>,
    medium: Medium,
    members: Map<String, Value>,
) -> Result<String, IdServerError> {
    let uri = format!("{}/validate/{medium}/requestToken", interface(token));
    let call = Call {
        server,
        method: "POST",
        uri: &uri,
        authorization: token.map(bearer),
        body: Some(Value::Object(members).to_string()),
    };
    let answer = app.identity_client().call(call).await?;
    let sid = answer.get("sid").and_then(Value::as_str);
    sid.filter(|sid| is_opaque_id(sid))
        .map(str::to_owned)
        .ok_or(IdServerError::Unclear(200))
}

/// What the identity server says of a session; `None` if that is too old to be a proof. Both ids
/// are of the grammar that needs no escaping.
pub async fn find_validated(
    app: &App,
    server: &TrustedServer,
    sid: &str,
    session: &DelegatedSession,
) -> Result<Option<Validated>, IdServerError> {
    let token = session.token.clone().map(Secret::new);
    let uri = Secret::new(format!(
        "{}/3pid/getValidated3pid?sid={sid}&client_secret={}",
        interface(token.as_ref()),
        session.client_secret
    ));
    let call = Call {
        server,
        method: "GET",
        uri: uri.reveal(),
        authorization: token.as_ref().map(bearer),
        body: None,
    };
    let answer = app.identity_client().call(call).await?;
    let unclear = IdServerError::Unclear(200);
    let (medium, address) = address_in(&answer).ok_or_else(|| unclear.clone())?;
    let at = answer.get("validated_at").and_then(Value::as_i64);
    let now = app.clock.now();
    // Clocks differ; nothing is validated later than now.
    let at = Timestamp(at.ok_or(unclear)?).min(now);
    let threepid = ThreePid::parse(medium, &address);
    Ok(threepid
        .filter(|_| now < at.plus(LIFETIME))
        .map(|threepid| Validated { threepid, at }))
}
