//! The pairs of tokens of a device, and their exchange by refresh tokens.
//!
//! A refresh token is exchanged for a new pair. Until one of the new tokens is used, the old ones stay valid
//! and the same refresh token gives the same response again, so that a lost response does not end the session
//! (REFR-03). The stored response is sealed with the refresh token that it was issued for, so that access to the
//! table alone does not reveal the new tokens.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{AuthenticationError, Issued, Session, Token, TokenApi, TokenHash, TokenKind};
use crate::{
    app::App,
    clock::{Timestamp, millis},
    ids::{DeviceId, Localpart},
    rng::Rng,
    secrets::{KeyPurpose, KeyRing, Secret, constant_time_eq, fields},
    store::{AccountRow, AccountStatus, DeviceRow, NextPair, PairSlot, RefreshOutcome, StoreError},
};

/// The maximum number of attempts to write a pair to a row with concurrent writes.
const MAX_ATTEMPTS: usize = 5;
/// How long after the first use of a new token of the OAuth 2.0 API the refresh token before it gets the same response
/// (OA-91). Two processes of one application may refresh at the same time.
const KEEP_PREVIOUS: Duration = Duration::from_secs(30);

/// The pair of a device that a token belongs to.
#[derive(Debug)]
pub(crate) enum Pair<'a> {
    /// The pair that is in use.
    Current,
    /// The pair after it, which has not been used yet.
    Next(&'a NextPair),
}

impl Pair<'_> {
    /// The time at which the access token of the pair expires.
    pub(super) fn expires(&self, device: &DeviceRow) -> Option<Timestamp> {
        match self {
            Self::Current => device.access_expires,
            Self::Next(next) => next.access_expires,
        }
    }
}

/// The pair of a token. Fails if the token belongs to no pair of the device, or if the device or the account is
/// no longer valid.
pub(crate) fn pair_of<'a>(
    kind: TokenKind,
    token: &Token,
    account: &AccountRow,
    device: &'a DeviceRow,
) -> Result<Pair<'a>, AuthenticationError> {
    let hash = token.hash();
    let is = |own: &TokenHash| constant_time_eq(&own.0, &hash.0);
    let of = |next: &NextPair| match kind {
        TokenKind::Access => is(&next.access_hash),
        TokenKind::Refresh => is(&next.refresh_hash),
    };
    let current = match kind {
        TokenKind::Access => is(&device.access_hash),
        TokenKind::Refresh => device.refresh_hash.as_ref().is_some_and(is),
    };
    if !account.is_device_valid(&device.id, device.epoch) {
        return Err(AuthenticationError::Unknown);
    }
    match device.next.as_ref().filter(|next| of(next)) {
        Some(next) => Ok(Pair::Next(next)),
        None if current => Ok(Pair::Current),
        None => Err(AuthenticationError::Unknown),
    }
}

/// Handles the first use of a new access token: its pair becomes the current one, and the tokens of the
/// previous pair become invalid.
pub(super) async fn promote(
    app: &App,
    session: &Session,
    next: &NextPair,
) -> Result<(), AuthenticationError> {
    let store = &app.store;
    let until = session
        .oauth_client
        .as_ref()
        .map(|_| previous_until(app.clock.now()));
    let promoted = store.promote_next_pair(&session.localpart, &session.device, next, until);
    if promoted.await? {
        Ok(())
    } else {
        Err(AuthenticationError::Unknown)
    }
}

/// The time until which the refresh token before a pair of the OAuth 2.0 API gets the same response. The pair is used
/// for the first time.
pub(crate) fn previous_until(now: Timestamp) -> Timestamp {
    now.plus(KEEP_PREVIOUS)
}

/// A refresh token with the rows of its account and device.
#[derive(Debug)]
pub struct RefreshToken {
    token: Token,
    account: AccountRow,
    device: DeviceRow,
}

impl RefreshToken {
    /// Parses the token and reads its rows with one strongly consistent read, or with two for an imported token. The
    /// token is validated when it is redeemed.
    pub async fn read(app: &App, text: &Secret) -> Result<Self, AuthenticationError> {
        // OA-148: a token of the OAuth 2.0 API is exchanged at the token endpoint only.
        let token = Token::parse(TokenKind::Refresh, text, &app.config.server_name)
            .filter(|token| token.api == TokenApi::Account)
            .ok_or(AuthenticationError::Unknown)?;
        let rows = app
            .store
            .find_account_and_device(&token.localpart, &token.device);
        let (Some(account), Some(device)) = rows.await? else {
            return Err(AuthenticationError::Unknown);
        };
        Ok(Self {
            token,
            account,
            device,
        })
    }

    /// The key of the quota of the device. Fails if the token is not valid, so that a forged token, which can name any
    /// device, is not charged to that device.
    pub fn device_quota_key(&self) -> Result<String, AuthenticationError> {
        pair_of(TokenKind::Refresh, &self.token, &self.account, &self.device)?;
        let (user, device) = (&self.token.localpart, &self.device.id);
        Ok(format!("{}#{}", user.as_str(), device.as_str()))
    }

    /// Exchanges the refresh token for the next pair. Returns the same pair again until one of its tokens has
    /// been used or its access token has expired.
    pub async fn redeem(mut self, app: &App) -> Result<Issued, AuthenticationError> {
        let own_hash = self.token.hash();
        for _ in 0..MAX_ATTEMPTS {
            let pair = pair_of(TokenKind::Refresh, &self.token, &self.account, &self.device)?;
            // TOK-14: the error must not reveal to a caller with an invalid token that the account is locked.
            if self.account.status == AccountStatus::Locked {
                return Err(AuthenticationError::Locked);
            }
            let slot = match (pair, &self.device.next) {
                (Pair::Next(used), _) => PairSlot::After(used),
                (Pair::Current, None) => PairSlot::AfterCurrent,
                (Pair::Current, Some(given)) if given.has_expired(app.clock.now()) => {
                    PairSlot::InsteadOf(given)
                }
                (Pair::Current, Some(given)) => return self.open(app, given),
            };
            let (issued, next) = self.mint(app);
            let (user, device) = (&self.token.localpart, &self.device.id);
            let saved = app
                .store
                .save_next_pair(user, device, &own_hash, slot, &next, None);
            match saved.await? {
                RefreshOutcome::Written => return Ok(issued),
                RefreshOutcome::Conflict(Some(device)) => self.device = *device,
                RefreshOutcome::Conflict(None) => return Err(AuthenticationError::Unknown),
            }
        }
        Err(StoreError::Contended.into())
    }

    fn mint(&self, app: &App) -> (Issued, NextPair) {
        let lifetime = app.config.tokens.refreshable;
        let mint = |kind| Token::mint(kind, &self.token.localpart, &self.device.id, &*app.rng);
        let (access, refresh) = (mint(TokenKind::Access), mint(TokenKind::Refresh));
        let issued = Issued {
            access_token: Some(access.reveal().to_owned()),
            device_id: None,
            refresh_token: Some(refresh.reveal().to_owned()),
            expires_in_ms: lifetime.map(millis),
        };
        let answer = seal_answer(
            (&app.config.keys, &*app.rng),
            self.token.reveal(),
            (&self.token.localpart, &self.device.id),
            &issued,
        );
        let next = NextPair {
            access_hash: access.hash(),
            access_expires: lifetime.map(|lifetime| app.clock.now().plus(lifetime)),
            refresh_hash: refresh.hash(),
            answer,
        };
        (issued, next)
    }

    /// Opens the stored response. If the root secret has been replaced twice since, the response cannot be opened
    /// and the refresh token is unusable.
    fn open(&self, app: &App, given: &NextPair) -> Result<Issued, AuthenticationError> {
        let keys = &app.config.keys;
        let place = (&self.token.localpart, &self.device.id);
        open_answer(keys, self.token.reveal(), place, &given.answer)
            .ok_or(AuthenticationError::Unknown)
    }
}

/// Opens a response that [`seal_answer`] sealed.
pub(crate) fn open_answer<T: DeserializeOwned>(
    keys: &KeyRing,
    exchanged: &str,
    (user, device): (&Localpart, &DeviceId),
    answer: &[u8],
) -> Option<T> {
    let (salt, place) = (exchanged.as_bytes(), place(user, device));
    let plaintext = keys.open(KeyPurpose::Refresh, salt, &place, answer).ok()?;
    serde_json::from_slice(Secret::new(plaintext).reveal()).ok()
}

/// Seals the response with a new pair under the refresh token or the device code that is exchanged for the pair.
pub(crate) fn seal_answer(
    (keys, rng): (&KeyRing, &dyn Rng),
    exchanged: &str,
    (user, device): (&Localpart, &DeviceId),
    issued: &impl Serialize,
) -> Vec<u8> {
    // Serialisation cannot fail: every member is a string or a number.
    let plaintext = Secret::new(serde_json::to_vec(issued).unwrap_or_default());
    keys.seal(
        KeyPurpose::Refresh,
        exchanged.as_bytes(),
        &place(user, device),
        plaintext.reveal(),
        rng,
    )
}

/// The associated data of a sealed response, which can be opened only in the row of its device.
fn place(localpart: &Localpart, device: &DeviceId) -> Vec<u8> {
    fields(&[
        localpart.as_str().as_bytes(),
        device.as_str().as_bytes(),
        b"next_answer",
    ])
}
