//! The exchange of an authorization code for tokens (OA-75 to OA-82).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Client, ClientId, GrantType, PresentedCode, TokenResponse, find_client, find_code,
    session_start::{self, Exchanged, NewSession, StartError},
    sessions,
};
use crate::{
    app::App,
    homeserver::UpdateError,
    ids::{DeviceId, Localpart},
    secrets::{Secret, constant_time_eq},
    store::{AccountRow, EndedSession, StoreError},
};

/// The reason why a client gets no tokens.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The client is unknown.
    #[error("the client is unknown")]
    UnknownClient,
    /// The client has not registered this grant.
    #[error("the client has not registered this grant")]
    Unauthorized,
    /// The code or the refresh token is unknown, used or expired, or belongs to another client; or another parameter
    /// differs from the authorization request; or the account has changed. Nothing distinguishes the cases.
    #[error("the grant is invalid")]
    InvalidGrant,
    /// The device code waits for the decision of a user.
    #[error("no user has decided yet")]
    Pending,
    /// The device code waits for the decision of a user, and the client polls too often (OA-115).
    #[error("the client polls too often")]
    SlowDown,
    /// The user refused access to the device.
    #[error("the user refused access")]
    Denied,
    /// The device code has expired (OA-116).
    #[error("the device code has expired")]
    Expired,
    /// The homeserver did not create the device.
    #[error(transparent)]
    Homeserver(#[from] UpdateError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The parameters of a request to exchange a code.
#[derive(Debug, Clone, Copy)]
pub struct CodeRequest<'a> {
    /// The client ID.
    pub client_id: &'a str,
    /// The code.
    pub code: &'a Secret,
    /// The redirect URI of the authorization request.
    pub redirect_uri: &'a str,
    /// The PKCE verifier. `None` if it is absent.
    pub code_verifier: Option<&'a str>,
}

/// Exchanges a code for tokens. The device is created here and not earlier (OA-79). Two round trips: client and code are
/// read at once, and one transaction writes.
///
/// A second valid request with the same code ends the session of the first one, because one of the two came from another
/// party. An invalid request ends and consumes nothing: an attacker with a leaked code, but without the verifier, cannot
/// end the session (OA-78).
pub async fn exchange_code(
    app: &App,
    request: CodeRequest<'_>,
) -> Result<TokenResponse, GrantError> {
    let id = ClientId::parse(request.client_id).ok_or(GrantError::UnknownClient)?;
    let (client, code) = tokio::join!(find_client(app, &id), find_code(app, request.code));
    let client = client?.ok_or(GrantError::UnknownClient)?;
    let granted = &client.metadata.grant_types;
    if !granted.contains(&GrantType::AuthorizationCode) {
        return Err(GrantError::Unauthorized);
    }
    let code = code?.ok_or(GrantError::InvalidGrant)?;
    if !is_valid(&code, &client, request) {
        return Err(GrantError::InvalidGrant);
    }
    if code.row.session.is_none() && code.row.expires <= app.clock.now() {
        return Err(GrantError::InvalidGrant);
    }
    let (user, device) = names(app, &code)?;
    if code.row.session.is_some() {
        end_first_session(app, &code, &user, &device).await?;
        return Err(GrantError::InvalidGrant);
    }
    let new = NewSession {
        client: &client,
        user: &user,
        device: &device,
        scope: &code.grant.scope,
        epoch: code.grant.epoch,
        exchanged: Exchanged::Code(&code.row),
    };
    match session_start::start(app, &new).await {
        Err(StartError::CodeUsed) => {
            // Another request with this code was faster.
            if let Some(used) = find_code(app, request.code).await? {
                end_first_session(app, &used, &user, &device).await?;
            }
            Err(GrantError::InvalidGrant)
        }
        Err(StartError::Grant(error)) => Err(error),
        Ok(response) => Ok(response),
    }
}

/// Whether the request has the client, the redirect URI and the verifier of the code.
fn is_valid(code: &PresentedCode, client: &Client, request: CodeRequest<'_>) -> bool {
    let grant = &code.grant;
    let verifier = request.code_verifier.filter(|text| is_verifier(text));
    verifier.is_some_and(|verifier| {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        constant_time_eq(&challenge, &grant.code_challenge)
    }) && grant.client_id == client.id
        && grant.redirect_uri == request.redirect_uri
}

/// Whether a text is a PKCE verifier (RFC 7636, section 4.1).
fn is_verifier(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn names(app: &App, code: &PresentedCode) -> Result<(Localpart, DeviceId), GrantError> {
    let user = Localpart::parse(&code.grant.user, &app.config.server_name).ok();
    let device = DeviceId::parse(&code.grant.device_id);
    user.zip(device).ok_or(GrantError::InvalidGrant)
}

/// Ends the session that a code was exchanged for.
async fn end_first_session(
    app: &App,
    code: &PresentedCode,
    user: &Localpart,
    device: &DeviceId,
) -> Result<(), StoreError> {
    let Some(session) = &code.row.session else {
        return Ok(());
    };
    let account: Option<AccountRow> = app.store.find_account(user).await?;
    let ended = EndedSession::WithId(session);
    sessions::end(app, user, account.as_ref(), device, ended).await
}
