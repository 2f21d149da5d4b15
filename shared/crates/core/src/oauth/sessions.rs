//! The sessions of clients: their tokens, refresh and revocation (OA-85 to OA-109).
//!
//! A session is a device whose tokens belong to this API. Its refresh tokens contain a random session ID, and the row of
//! the device contains its hash. A refresh token of an earlier pair with the right session ID was issued by this server,
//! so its use ends the session: either it or the current one is stolen. A forged token ends nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GrantError;
use crate::{
    app::App,
    clock::Timestamp,
    homeserver::{self, Change},
    ids::{DeviceId, Localpart},
    outbox::{NewMessage, Notice},
    secrets::{Secret, TokenHash, constant_time_eq, sha256_base64},
    security_notifications,
    store::{
        AccountKind, AccountRow, DeviceRow, EndedSession, NextPair, PairSlot, RefreshOutcome,
        StoreError,
    },
    tokens::{self, AuthenticationError, Pair, Token, TokenApi, TokenKind},
};

/// The maximum number of attempts to write a row with concurrent writes.
const MAX_ATTEMPTS: usize = 5;
const SESSION_ID_BYTES: usize = 16;
/// How much longer than the real lifetime of a token its announced lifetime may be. Clients refresh a token about a minute
/// before its announced end.
const LIFETIME_SLACK: Duration = Duration::from_secs(30);

/// The response of the token endpoint.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: String,
    /// How a client sends the access token: `Bearer`.
    pub token_type: String,
    /// The lifetime of the access token in seconds.
    pub expires_in: u64,
    /// The refresh token.
    pub refresh_token: String,
    /// The granted scope, in the spelling of the request (OA-82).
    pub scope: String,
}

crate::opaque_debug!(TokenResponse);

/// A new pair of tokens, with the values to store and the response to the client.
pub(super) struct NewPair {
    pub(super) session_hash: TokenHash,
    pub(super) access_hash: TokenHash,
    pub(super) access_expires: Timestamp,
    pub(super) refresh_hash: TokenHash,
    pub(super) response: TokenResponse,
}

impl NewPair {
    /// The first pair of a new session.
    pub(super) fn first(app: &App, user: &Localpart, device: &DeviceId, scope: String) -> Self {
        let session = Secret::new(app.rng.base64::<SESSION_ID_BYTES>());
        Self::of(app, user, device, &session, scope)
    }

    fn of(app: &App, user: &Localpart, device: &DeviceId, session: &Secret, scope: String) -> Self {
        let mint = |kind| Token::mint_oauth(kind, user, device, session, &*app.rng);
        let (access, refresh) = (mint(TokenKind::Access), mint(TokenKind::Refresh));
        let lifetime: Duration = app.config.oauth.token_lifetime;
        Self {
            session_hash: hash_of_session(session),
            access_hash: access.hash(),
            access_expires: app.clock.now().plus(lifetime),
            refresh_hash: refresh.hash(),
            response: TokenResponse {
                access_token: access.reveal().to_owned(),
                token_type: "Bearer".to_owned(),
                expires_in: lifetime.as_secs(),
                refresh_token: refresh.reveal().to_owned(),
                scope,
            },
        }
    }
}

fn hash_of_session(id: &Secret) -> TokenHash {
    TokenHash(sha256_base64(id.reveal().as_bytes()))
}

/// Exchanges a refresh token for the next pair of tokens. One read and one write.
///
/// The same token gets the same response until a token of the new pair is used, and for a short time after that (OA-90,
/// OA-91). A locked account may refresh: a refused refresh would make clients discard their keys (OA-99). A token of
/// another client has no effect (OA-94).
pub async fn refresh(
    app: &App,
    client_id: &str,
    text: &Secret,
) -> Result<TokenResponse, GrantError> {
    let token = Token::parse(TokenKind::Refresh, text, &app.config.server_name)
        .filter(|token| token.api == TokenApi::OAuth)
        .ok_or(GrantError::InvalidGrant)?;
    let rows = app
        .store
        .find_account_and_device(&token.localpart, &token.device);
    let (Some(account), Some(device)) = rows.await? else {
        return Err(GrantError::InvalidGrant);
    };
    let mut refresh = Refresh {
        app,
        token,
        account,
        device,
    };
    for _ in 0..MAX_ATTEMPTS {
        if let Some(response) = refresh.attempt(client_id).await? {
            return Ok(response);
        }
    }
    Err(StoreError::Contended.into())
}

struct Refresh<'a> {
    app: &'a App,
    token: Token,
    account: AccountRow,
    device: DeviceRow,
}

impl Refresh<'_> {
    /// Returns `None` after a concurrent write, with the new row in `self`.
    async fn attempt(&mut self, client_id: &str) -> Result<Option<TokenResponse>, GrantError> {
        let app = self.app;
        let session = self.device.oauth.as_ref();
        let Some(session) = session.filter(|session| session.client == client_id) else {
            return Err(GrantError::InvalidGrant);
        };
        let pair = tokens::pair_of(TokenKind::Refresh, &self.token, &self.account, &self.device);
        let slot = match (pair, &self.device.next) {
            (Ok(Pair::Next(used)), _) => PairSlot::After(used),
            (Ok(Pair::Current), None) => PairSlot::AfterCurrent,
            (Ok(Pair::Current), Some(given)) if given.has_expired(app.clock.now()) => {
                PairSlot::InsteadOf(given)
            }
            (Ok(Pair::Current), Some(given)) => {
                return self.open(&given.answer, given.access_expires).map(Some);
            }
            (Err(AuthenticationError::Store(error)), _) => return Err(error.into()),
            (Err(_), _) => return self.repeat_or_end().await.map(Some),
        };
        let id = self.token.session.clone().ok_or(GrantError::InvalidGrant)?;
        let (user, device) = (&self.token.localpart, &self.device.id);
        let new = NewPair::of(app, user, device, &id, session.scope.clone());
        let next = NextPair {
            access_hash: new.access_hash,
            access_expires: Some(new.access_expires),
            refresh_hash: new.refresh_hash,
            answer: seal_response(app, self.token.reveal(), (user, device), &new.response),
        };
        let until = tokens::previous_until(app.clock.now());
        let hash = self.token.hash();
        let saved = app
            .store
            .save_next_pair(user, device, &hash, slot, &next, Some(until));
        match saved.await? {
            RefreshOutcome::Written => Ok(Some(new.response)),
            RefreshOutcome::Conflict(Some(device)) => {
                self.device = *device;
                Ok(None)
            }
            RefreshOutcome::Conflict(None) => Err(GrantError::InvalidGrant),
        }
    }

    /// The response to a token that is neither the current nor the next one. Ends the session if the token is an old one
    /// of the session (OA-92).
    async fn repeat_or_end(&self) -> Result<TokenResponse, GrantError> {
        let app = self.app;
        let (account, device) = (&self.account, &self.device);
        if !account.is_device_valid(&device.id, device.epoch) {
            return Err(GrantError::InvalidGrant);
        }
        let hash = self.token.hash();
        let previous = device.previous.as_ref();
        let previous = previous.filter(|own| constant_time_eq(&own.refresh_hash.0, &hash.0));
        if let Some(previous) = previous.filter(|own| app.clock.now() < own.until) {
            return self.open(&previous.answer, device.access_expires);
        }
        if let (Some(id), Some(session)) = (&self.token.session, &device.oauth)
            && constant_time_eq(&hash_of_session(id).0, &session.id.0)
        {
            let user = &self.token.localpart;
            let ended = EndedSession::WithId(&session.id);
            end(app, user, Some(account), &device.id, ended).await?;
        }
        Err(GrantError::InvalidGrant)
    }

    fn open(&self, answer: &[u8], expires: Option<Timestamp>) -> Result<TokenResponse, GrantError> {
        let place = (&self.token.localpart, &self.device.id);
        open_response(self.app, self.token.reveal(), place, (answer, expires))
            .ok_or(GrantError::InvalidGrant)
    }
}

/// Seals a response under the refresh token or the device code that is exchanged for it.
pub(super) fn seal_response(
    app: &App,
    exchanged: &str,
    place: (&Localpart, &DeviceId),
    response: &TokenResponse,
) -> Vec<u8> {
    let keys = (&app.config.keys, &*app.rng);
    tokens::seal_answer(keys, exchanged, place, response)
}

/// Opens a stored response, whose access token expires at `expires`. If the root secret has been replaced twice since, it
/// cannot be opened. The response is the same, byte for byte, except for a lifetime that would be wrong by more than
/// [`LIFETIME_SLACK`]: a client logs out if a token is rejected long before its announced end (OA-87).
pub(super) fn open_response(
    app: &App,
    exchanged: &str,
    place: (&Localpart, &DeviceId),
    (answer, expires): (&[u8], Option<Timestamp>),
) -> Option<TokenResponse> {
    let opened = tokens::open_answer(&app.config.keys, exchanged, place, answer);
    let response: TokenResponse = opened?;
    let rest = expires.map_or(Duration::ZERO, |end| end.since(app.clock.now()));
    let announced = Duration::from_secs(response.expires_in);
    let is_near = announced <= rest + LIFETIME_SLACK;
    let expires_in = if is_near {
        response.expires_in
    } else {
        rest.as_secs()
    };
    Some(TokenResponse {
        expires_in,
        ..response
    })
}

/// Ends a session against the wish of its client, and notifies the account owner.
pub(super) async fn end(
    app: &App,
    user: &Localpart,
    account: Option<&AccountRow>,
    device: &DeviceId,
    session: EndedSession<'_>,
) -> Result<(), StoreError> {
    let notices = notices(app, user).await?;
    match remove(app, user, account, device, session, &notices).await {
        // The device has a newer session, or none.
        Err(RemoveError::Changed) | Ok(()) => Ok(()),
        Err(RemoveError::Store(error)) => Err(error),
    }
}

/// Revokes the session of a token, of either API and either kind (OA-105). An unknown token has no effect (OA-106). An
/// expired access token ends its session too, as long as it is the newest one (OA-109). If the request names no client or
/// another one, the account owner is notified: a scanner for leaked tokens may have sent it (OA-107).
pub async fn revoke(app: &App, text: &Secret, client_id: Option<&str>) -> Result<(), StoreError> {
    let server = &app.config.server_name;
    let kinds = [TokenKind::Access, TokenKind::Refresh].into_iter();
    let parsed = kinds.map(|kind| (kind, Token::parse(kind, text, server)));
    let Some((kind, token)) = parsed
        .into_iter()
        .find_map(|(kind, own)| Some((kind, own?)))
    else {
        return Ok(());
    };
    let user = &token.localpart;
    for _ in 0..MAX_ATTEMPTS {
        let rows = app.store.find_account_and_device(user, &token.device);
        let (Some(account), Some(device)) = rows.await? else {
            return Ok(());
        };
        match tokens::pair_of(kind, &token, &account, &device) {
            Ok(_) if account.kind != AccountKind::Guest => {}
            Err(AuthenticationError::Store(error)) => return Err(error),
            Ok(_) | Err(_) => return Ok(()),
        }
        let ended = EndedSession::WithToken(&device.access_hash);
        let own_client = device.oauth.as_ref().map(|session| session.client.as_str());
        let notices = if own_client.is_none() || own_client == client_id {
            Vec::new()
        } else {
            notices(app, user).await?
        };
        match remove(app, user, Some(&account), &device.id, ended, &notices).await {
            Ok(()) => return Ok(()),
            // A concurrent request has changed the tokens.
            Err(RemoveError::Changed) => {}
            Err(RemoveError::Store(error)) => return Err(error),
        }
    }
    Err(StoreError::Contended)
}

/// The notifications of an account owner that a session has ended.
async fn notices(app: &App, user: &Localpart) -> Result<Vec<NewMessage>, StoreError> {
    let addresses = app.store.addresses_of(user).await?;
    let addresses: Vec<_> = addresses.into_iter().map(|own| own.threepid).collect();
    Ok(security_notifications::mails(
        app,
        &addresses,
        Notice::SessionEnded,
    ))
}

/// The reason why a device was not removed.
#[derive(Debug)]
enum RemoveError {
    /// The device has other tokens, or no longer exists.
    Changed,
    Store(StoreError),
}

impl From<StoreError> for RemoveError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Deletes the device of a session, here and at the homeserver.
async fn remove(
    app: &App,
    user: &Localpart,
    account: Option<&AccountRow>,
    device: &DeviceId,
    session: EndedSession<'_>,
    notices: &[NewMessage],
) -> Result<(), RemoveError> {
    let deletion = Change::DevicesDeleted(std::slice::from_ref(device));
    let removed = async {
        let ended = app.store.end_session(user, device, session, notices);
        ended.await?.then_some(()).ok_or(RemoveError::Changed)
    };
    homeserver::carry_over(app, user, account, deletion, removed).await
}
