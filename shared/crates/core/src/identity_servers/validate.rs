//! Validation by an identity server, if the operator chose so (IDS-01). The identity server sends the message
//! and later reports whether the user confirmed it (IDS-04, IDS-05, IDS-09).

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
    threepids,
    validation_session::{DelegatedSession, LIFETIME},
};

/// The maximum length of an `id_access_token`, in bytes.
const MAX_TOKEN_BYTES: usize = 2048;

/// The reason why an `id_access_token` is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// The request has no token, and the API version requires one.
    #[error("the id_access_token is missing")]
    Missing,
    /// The token cannot be part of a header.
    #[error("the id_access_token is malformed")]
    Malformed,
}

/// A 3PID that an identity server validated.
#[derive(Clone)]
pub struct Validated {
    /// The 3PID, in the canonical form of this server.
    pub threepid: ThreePid,
    /// The time of the validation.
    pub at: Timestamp,
}

crate::opaque_debug!(Validated);

/// Checks the client's token for an identity server. Returns `Ok(None)` if there is no token and the operator chose
/// the v1 API, which requires none (DIS-15).
pub fn read_token(app: &App, token: Option<String>) -> Result<Option<Secret>, IdTokenError> {
    let Some(token) = token else {
        return match app.config.identity_servers.api {
            IdServerApi::V2 => Err(IdTokenError::Missing),
            IdServerApi::V1 => Ok(None),
        };
    };
    // The token becomes part of a header.
    let is_valid =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if is_valid {
        Ok(Some(Secret::new(token)))
    } else {
        Err(IdTokenError::Malformed)
    }
}

/// The path prefix of the v2 API, which requires a token, or of the v1 API, which requires none.
pub(super) fn interface(token: Option<&Secret>) -> &'static str {
    match token {
        Some(_) => "/_matrix/identity/v2",
        None => "/_matrix/identity/api/v1",
    }
}

/// The value of the `Authorization` header.
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.reveal()))
}

/// Requests a validation message from the identity server and returns the ID of its session.
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
        .ok_or(IdServerError::UnexpectedResponse(200))
}

/// Reads the result of a session from the identity server. Returns `None` if the validation is too old. `sid` and
/// `client_secret` have a grammar that needs no percent-encoding.
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
    let unexpected = IdServerError::UnexpectedResponse(200);
    let (medium, address) = address_in(&answer).ok_or_else(|| unexpected.clone())?;
    let at = answer.get("validated_at").and_then(Value::as_i64);
    let now = app.clock.now();
    // Clocks differ, so the current time replaces a time in the future.
    let at = Timestamp(at.ok_or(unexpected)?).min(now);
    let threepid = threepids::parse_foreign(medium, &address);
    Ok(threepid
        .filter(|_| now < at.plus(LIFETIME))
        .map(|threepid| Validated { threepid, at }))
}
