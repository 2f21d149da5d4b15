//! The exchange of an authorization code for tokens (OA-75 to OA-82).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{
    Client, ClientId, GrantType, PresentedCode, TokenResponse, find_client, find_code,
    sessions::{self, NewPair},
};
use crate::{
    app::App,
    homeserver::{self, UpdateError},
    ids::{DeviceId, Localpart},
    secrets::{Secret, constant_time_eq},
    store::{
        AccountKind, AccountRow, EndedSession, ExchangeCodeError, NewDevice, OAuthSession,
        StoreError,
    },
    tokens,
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
    match start_session(app, &client, &code, (&user, &device)).await {
        Err(StartError::Exchange(ExchangeCodeError::CodeUsed)) => {
            // Another request with this code was faster.
            if let Some(used) = find_code(app, request.code).await? {
                end_first_session(app, &used, &user, &device).await?;
            }
            Err(GrantError::InvalidGrant)
        }
        Err(StartError::Exchange(ExchangeCodeError::AccountChanged)) => {
            Err(GrantError::InvalidGrant)
        }
        Err(StartError::Exchange(ExchangeCodeError::ClientExpired)) => {
            Err(GrantError::UnknownClient)
        }
        Err(StartError::Exchange(ExchangeCodeError::Store(error))) => Err(error.into()),
        Err(StartError::Homeserver(error)) => Err(error.into()),
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

/// The reason why no session started.
#[derive(Debug)]
enum StartError {
    Exchange(ExchangeCodeError),
    Homeserver(UpdateError),
}

impl From<ExchangeCodeError> for StartError {
    fn from(error: ExchangeCodeError) -> Self {
        Self::Exchange(error)
    }
}

impl From<UpdateError> for StartError {
    fn from(error: UpdateError) -> Self {
        Self::Homeserver(error)
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Exchange(error.into())
    }
}

async fn start_session(
    app: &App,
    client: &Client,
    code: &PresentedCode,
    (user, device): (&Localpart, &DeviceId),
) -> Result<TokenResponse, StartError> {
    let grant = &code.grant;
    let pair = NewPair::first(app, user, device, grant.scope.clone());
    let session = OAuthSession {
        client: grant.client_id.as_str().to_owned(),
        id: pair.session_hash.clone(),
        scope: grant.scope.clone(),
    };
    let row = NewDevice {
        id: device.clone(),
        display_name: grant.client_name.clone(),
        access_hash: pair.access_hash.clone(),
        access_expires: Some(pair.access_expires),
        refresh_hash: Some(pair.refresh_hash.clone()),
        oauth: Some(session),
    };
    let new_client = (!client.is_permanent).then(|| client.id.as_str());
    let at = (grant.epoch, app.clock.now());
    let save = app.store.exchange(&code.row, user, &row, at, new_client);
    let account = match homeserver::of(app) {
        Some(_) => app.store.find_account(user).await?,
        None => None,
    };
    let account = account.filter(|account| account.kind == AccountKind::User);
    match (homeserver::of(app), account) {
        (Some(homeserver), Some(account)) => {
            let save = async { save.await.map_err(StartError::from) };
            let logged_in = tokens::log_in_at(app, homeserver, (user, &account), &row, true, save);
            let logged_in = Box::pin(logged_in).await;
            if let Err(StartError::Homeserver(_)) = &logged_in {
                // OA-80: the client may try the code again.
                app.store.reopen_code(&code.row, &pair.session_hash).await?;
            }
            logged_in?;
        }
        _ => save.await?,
    }
    Ok(pair.response)
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
