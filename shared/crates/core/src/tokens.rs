//! Access and refresh tokens: their format, and their validation.
//!
//! A token contains its user and device, so that it can be looked up by key: `gha_` (or `ghr_`), localpart,
//! device and 160 random bits, all in URL-safe base64, and a checksum. Tokens of the OAuth 2.0 API begin with `gho_` (or
//! `ghs_`), and their refresh tokens also contain the ID of their session. A malformed token is rejected without any read. Only the SHA-256 of a token is stored: a token has enough entropy to need no key. `imported` has the format
//! of the tokens that an import from Synapse keeps valid.

mod caller;
mod charge;
mod imported;
mod introspection;
mod login;
mod pairs;

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub use crate::secrets::TokenHash;
pub use caller::{Caller, CallerError, as_user, identify};
pub use charge::{TokenLimits, charge};
pub use imported::{ImportedPair, imported_device};
pub use introspection::introspect;
pub(crate) use login::log_in_at;
pub use login::{Issued, Login, LoginError, issue, log_in};
pub use pairs::RefreshToken;
pub(crate) use pairs::{Pair, open_answer, pair_of, previous_until, seal_answer};

use crate::{
    app::App,
    appservices::Appservice,
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    metrics,
    rng::Rng,
    secrets::{Secret, sha256_base64},
    store::{AccountKind, AccountRow, AccountStatus, DeviceRow, NextPair, StoreError, TokenDevice},
};

const SECRET_BYTES: usize = 20;
/// The length of four bytes in base64.
const CHECKSUM_CHARS: usize = 6;
/// The maximum length of a token. The longest valid token contains a localpart of 255 bytes and a device ID of four
/// times that length, in base64, and is shorter than this maximum.
const MAX_TOKEN_CHARS: usize = 2048;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Authenticates requests.
    Access,
    /// Can be exchanged for a new pair of tokens.
    Refresh,
}

/// The API that issued a token (OA-85).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenApi {
    /// The account API: login and registration.
    Account,
    /// The OAuth 2.0 API.
    OAuth,
}

impl TokenApi {
    const ALL: [Self; 2] = [Self::Account, Self::OAuth];

    fn prefix(self, kind: TokenKind) -> &'static str {
        match (self, kind) {
            (Self::Account, TokenKind::Access) => "gha_",
            (Self::Account, TokenKind::Refresh) => "ghr_",
            (Self::OAuth, TokenKind::Access) => "gho_",
            (Self::OAuth, TokenKind::Refresh) => "ghs_",
        }
    }
}

/// A token with the right format and checksum. It may still be unknown, expired or revoked.
#[derive(Debug, Clone)]
pub struct Token {
    /// The user that the token names.
    pub localpart: Localpart,
    /// The device that the token names, or the key of the row that names the device of an imported token.
    pub device: TokenDevice,
    /// The API that issued the token.
    pub api: TokenApi,
    /// The ID of the session, in a refresh token of the OAuth 2.0 API.
    pub session: Option<Secret>,
    text: Secret,
}

impl Token {
    /// Creates a random token of the account API.
    pub fn mint(kind: TokenKind, localpart: &Localpart, device: &DeviceId, rng: &dyn Rng) -> Self {
        Self::with(TokenApi::Account, kind, (localpart, device), None, rng)
    }

    /// Creates a random token of the OAuth 2.0 API. `session` is the ID of the session, which only a refresh token
    /// contains.
    pub fn mint_oauth(
        kind: TokenKind,
        localpart: &Localpart,
        device: &DeviceId,
        session: &Secret,
        rng: &dyn Rng,
    ) -> Self {
        let session = match kind {
            TokenKind::Access => None,
            TokenKind::Refresh => Some(session),
        };
        Self::with(TokenApi::OAuth, kind, (localpart, device), session, rng)
    }

    fn with(
        api: TokenApi,
        kind: TokenKind,
        (localpart, device): (&Localpart, &DeviceId),
        session: Option<&Secret>,
        rng: &dyn Rng,
    ) -> Self {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let mut body = format!(
            "{}{}.{}.",
            api.prefix(kind),
            encode(localpart.as_str()),
            encode(device.as_str())
        );
        if let Some(session) = session {
            body = format!("{body}{}.", session.reveal());
        }
        body.push_str(&rng.base64::<SECRET_BYTES>());
        let text = format!("{body}_{}", checksum(&body));
        Self {
            localpart: localpart.clone(),
            device: TokenDevice::Named(device.clone()),
            api,
            session: session.cloned(),
            text: Secret::new(text),
        }
    }

    /// Parses a token of this kind, of any API. Returns `None` for everything that neither [`mint`](Self::mint) nor Synapse can have
    /// made.
    pub fn parse(kind: TokenKind, text: &Secret, server: &crate::ids::ServerName) -> Option<Self> {
        let whole = text.reveal();
        if whole.len() > MAX_TOKEN_CHARS || !whole.is_ascii() {
            return None;
        }
        if !imported::has_prefix(whole) {
            return Self::parse_own(kind, text, server);
        }
        Some(Self {
            localpart: imported::localpart_of(kind, whole, server)?,
            device: TokenDevice::Imported(TokenHash(sha256_base64(whole.as_bytes()))),
            api: TokenApi::Account,
            session: None,
            text: text.clone(),
        })
    }

    /// Parses a token that this server made.
    fn parse_own(kind: TokenKind, text: &Secret, server: &crate::ids::ServerName) -> Option<Self> {
        let whole = text.reveal();
        let (body, sum) = whole.split_at_checked(whole.len().checked_sub(CHECKSUM_CHARS + 1)?)?;
        if sum.strip_prefix('_')? != checksum(body) {
            return None;
        }
        let (api, body) = TokenApi::ALL
            .into_iter()
            .find_map(|api| Some((api, body.strip_prefix(api.prefix(kind))?)))?;
        let mut parts = body.split('.');
        let mut decode =
            || String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
        let localpart = Localpart::parse(&decode()?, server).ok()?;
        let device = DeviceId::parse(&decode()?)?;
        let session = match (api, kind) {
            (TokenApi::OAuth, TokenKind::Refresh) => Some(Secret::new(parts.next()?.to_owned())),
            _ => None,
        };
        Some(Self {
            localpart,
            device: TokenDevice::Named(device),
            api,
            session,
            text: text.clone(),
        })
    }

    /// The token as a string, for the response that contains it.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// The hash of the token, which is stored.
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256_base64(self.text.reveal().as_bytes()))
    }
}

/// Whether `text` has the prefix of a token of a user and therefore is not an `as_token`.
pub fn has_our_prefix(text: &str) -> bool {
    let kinds = [TokenKind::Access, TokenKind::Refresh];
    let is_own = |api: TokenApi| kinds.iter().any(|kind| text.starts_with(api.prefix(*kind)));
    imported::has_prefix(text) || TokenApi::ALL.into_iter().any(is_own)
}

fn checksum(body: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..4])
}

/// The reason why a token is rejected.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The token is malformed, or its device or account does not exist, is deactivated or has other tokens
    /// (TOK-05).
    #[error("the token is unknown")]
    Unknown,
    /// The token has expired. Its device still exists (TOK-12).
    #[error("the token has expired")]
    Expired,
    /// The account is locked (TOK-14).
    #[error("the account is locked")]
    Locked,
    /// The token belongs to an application service, but only a token of a device is accepted.
    #[error("the token belongs to an application service")]
    Appservice,
    /// The token could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An authenticated user. Functions that need a user take this type, and only the functions of this module that
/// validate a token create it.
#[derive(Debug)]
pub struct Session {
    /// The localpart of the user.
    pub localpart: Localpart,
    /// The device of the token.
    pub device: DeviceId,
    /// The account of the user.
    pub account: AccountRow,
    /// The stored hash of the token.
    pub access_hash: TokenHash,
    /// The epoch in the row of the device.
    pub device_epoch: i64,
    /// The time of the login of the device.
    pub issued_at: Timestamp,
    /// The time at which the token expires. `None` if it does not expire.
    pub expires: Option<Timestamp>,
    /// The client of the OAuth 2.0 API that the device belongs to. `None` for a device of the account API.
    pub oauth_client: Option<String>,
}

/// Guests must not use this endpoint (GUEST-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guests must not use this endpoint")]
pub struct GuestForbiddenError;

/// A token of the OAuth 2.0 API must not use this endpoint, which asks for the password (OA-146).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token of the OAuth 2.0 API must not use this endpoint")]
pub struct OAuthTokenError;

impl Session {
    /// Fails for a token of the OAuth 2.0 API.
    pub fn ensure_account_api(&self) -> Result<(), OAuthTokenError> {
        match self.oauth_client {
            Some(_) => Err(OAuthTokenError),
            None => Ok(()),
        }
    }

    /// Fails for guests.
    pub fn ensure_not_guest(&self) -> Result<(), GuestForbiddenError> {
        check_not_guest(&self.account)
    }
}

fn check_not_guest(account: &AccountRow) -> Result<(), GuestForbiddenError> {
    match account.kind {
        AccountKind::Guest => Err(GuestForbiddenError),
        AccountKind::User | AccountKind::Appservice => Ok(()),
    }
}

/// Validates an access token with one strongly consistent read of account and device, or with two for an imported token.
/// The first use of a new token also writes, because it invalidates the previous token.
pub async fn authenticate(app: &App, text: &Secret) -> Result<Session, AuthenticationError> {
    let token = parse_device_token(app, text).await?;
    authenticate_token(app, token).await
}

/// Like [`authenticate`], with a token that is already parsed.
async fn authenticate_token(app: &App, token: Token) -> Result<Session, AuthenticationError> {
    let (account, device) = app
        .store
        .find_account_and_device(&token.localpart, &token.device)
        .await?;
    authenticate_with(app, token, account, device).await
}

/// Like [`authenticate`], with rows that were read together with other rows of the request.
pub async fn authenticate_with(
    app: &App,
    token: Token,
    account: Option<AccountRow>,
    device: Option<DeviceRow>,
) -> Result<Session, AuthenticationError> {
    let (session, next) = check_token(app, token, account, device)?;
    metrics::user(&session.localpart);
    match session.account.status {
        AccountStatus::Locked => return Err(AuthenticationError::Locked),
        AccountStatus::Active | AccountStatus::Suspended | AccountStatus::Deactivated => {}
    }
    if let Some(next) = next {
        pairs::promote(app, &session, &next).await?;
    }
    Ok(session)
}

/// Like [`authenticate`], for a logout, which is allowed on a locked account (TOK-14). Nothing is written,
/// because the device is about to be removed.
pub async fn authenticate_for_logout(
    app: &App,
    text: &Secret,
) -> Result<Session, AuthenticationError> {
    let token = parse_device_token(app, text).await?;
    let (account, device) = app
        .store
        .find_account_and_device(&token.localpart, &token.device)
        .await?;
    let (session, _) = check_token(app, token, account, device)?;
    metrics::user(&session.localpart);
    Ok(session)
}

/// Parses the token of a device. A valid token of an application service has a separate error, because a client may
/// discard a token that the server reports as unknown.
async fn parse_device_token(app: &App, text: &Secret) -> Result<Token, AuthenticationError> {
    match Token::parse(TokenKind::Access, text, &app.config.server_name) {
        Some(token) => Ok(token),
        None if authenticate_appservice(app, text).await?.is_some() => {
            Err(AuthenticationError::Appservice)
        }
        None => Err(AuthenticationError::Unknown),
    }
}

/// Validates a token against its rows and returns the pair of the token if that pair is new. The hash must
/// belong to an existing device of an account that is not deactivated, and the token must not have expired.
fn check_token(
    app: &App,
    token: Token,
    account: Option<AccountRow>,
    device: Option<DeviceRow>,
) -> Result<(Session, Option<NextPair>), AuthenticationError> {
    let (Some(account), Some(device)) = (account, device) else {
        return Err(AuthenticationError::Unknown);
    };
    let pair = pair_of(TokenKind::Access, &token, &account, &device)?;
    let expires = pair.expires(&device);
    if expires.is_some_and(|expires| expires <= app.clock.now()) {
        return Err(AuthenticationError::Expired);
    }
    let next = match pair {
        Pair::Current => None,
        Pair::Next(next) => Some(next.clone()),
    };
    let session = Session {
        access_hash: token.hash(),
        device_epoch: device.epoch,
        issued_at: device.issued_at,
        localpart: token.localpart,
        device: device.id,
        account,
        expires,
        oauth_client: device.oauth.map(|session| session.client),
    };
    Ok((session, next))
}

/// The application service with this token. For tokens of this server, nothing is read.
pub async fn authenticate_appservice(
    app: &App,
    text: &Secret,
) -> Result<Option<Arc<Appservice>>, StoreError> {
    if has_our_prefix(text.reveal()) {
        return Ok(None);
    }
    let appservices = app.appservices().await?;
    Ok(appservices.by_token(&app.config.keys, text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ids::ServerName, rng::SystemRng};

    fn server() -> ServerName {
        ServerName::parse("example.org").unwrap()
    }

    fn mint(device: &str) -> Token {
        let localpart = Localpart::parse("alice", &server()).unwrap();
        Token::mint(
            TokenKind::Access,
            &localpart,
            &DeviceId::parse(device).unwrap(),
            &SystemRng,
        )
    }

    #[test]
    fn a_token_names_its_user_and_device() {
        let token = Token::parse(TokenKind::Access, &mint("pho.ne_ü").text, &server()).unwrap();
        assert_eq!(
            (token.localpart.as_str(), token.device),
            (
                "alice",
                TokenDevice::Named(DeviceId::parse("pho.ne_ü").unwrap())
            )
        );
    }

    #[test]
    fn a_refresh_token_is_not_an_access_token() {
        assert!(Token::parse(TokenKind::Refresh, &mint("D").text, &server()).is_none());
    }

    #[test]
    fn cve_2019_11842_tokens_are_unique() {
        let tokens: std::collections::HashSet<_> =
            (0..10_000).map(|_| mint("D").hash().0).collect();
        assert_eq!(tokens.len(), 10_000);
    }

    proptest! {
        #[test]
        fn a_device_id_is_recovered_from_its_token(device in "\\PC{1,255}") {
            prop_assume!(DeviceId::parse(&device).is_some());
            let token = Token::parse(TokenKind::Access, &mint(&device).text, &server()).unwrap();
            let named = TokenDevice::Named(DeviceId::parse(&device).unwrap());
            prop_assert_eq!(token.device, named);
        }

        #[test]
        fn arbitrary_text_is_not_a_token(text in ".*") {
            prop_assert!(Token::parse(TokenKind::Access, &Secret::new(text), &server()).is_none());
        }

        #[test]
        fn a_token_with_a_changed_character_is_rejected(at in 0usize..48, to in "[a-zA-Z0-9]") {
            let token = mint("DEVICE");
            let mut text = token.reveal().to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != token.reveal());
            prop_assert!(Token::parse(TokenKind::Access, &Secret::new(text), &server()).is_none());
        }
    }
}
