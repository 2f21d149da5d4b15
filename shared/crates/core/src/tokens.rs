//! Access and refresh tokens: their form, and what one is worth.
//!
//! A token says whose it is, so that it is looked up by key: `gha_` (or `ghr_`), localpart, device
//! and 160 random bits, all in URL-safe base64, and a checksum. Junk is refused before any read.
//! Only a token's SHA-256 is stored: the token is random enough to need no key.

mod caller;
mod login;
mod pairs;

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub use crate::secrets::TokenHash;
pub use caller::{Caller, CallerError, as_user, identify};
pub use login::{Issued, Login, issue};
pub use pairs::RefreshToken;

use self::pairs::Pair;
use crate::{
    app::App,
    appservices::Appservice,
    ids::{DeviceId, Localpart},
    metrics,
    rng::Rng,
    secrets::{Secret, sha256_base64},
    store::{AccountKind, AccountRow, AccountStatus, DeviceRow, NextPair, StoreError},
};

const SECRET_BYTES: usize = 20;
/// Four bytes of checksum in base64.
const CHECKSUM_CHARS: usize = 6;
/// Longer than the longest token: 255 bytes of localpart and four times that of device ID.
const MAX_TOKEN_CHARS: usize = 2048;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Goes with requests.
    Access,
    /// Buys a new pair.
    Refresh,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "gha_",
            Self::Refresh => "ghr_",
        }
    }
}

/// A token whose form and checksum are right. Whether it is worth anything is another question.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it says it is.
    pub localpart: Localpart,
    /// The device it says it belongs to.
    pub device: DeviceId,
    text: Secret,
}

impl Token {
    /// Makes a new token.
    pub fn mint(kind: TokenKind, localpart: &Localpart, device: &DeviceId, rng: &dyn Rng) -> Self {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let body = format!(
            "{}{}.{}.{}",
            kind.prefix(),
            encode(localpart.as_str()),
            encode(device.as_str()),
            rng.base64::<SECRET_BYTES>()
        );
        let text = format!("{body}_{}", checksum(&body));
        Self {
            localpart: localpart.clone(),
            device: device.clone(),
            text: Secret::new(text),
        }
    }

    /// Parses a token of this kind; `None` for anything that [`mint`](Self::mint) cannot have made.
    pub fn parse(kind: TokenKind, text: &Secret, server: &crate::ids::ServerName) -> Option<Self> {
        let whole = text.reveal();
        if whole.len() > MAX_TOKEN_CHARS || !whole.is_ascii() {
            return None;
        }
        let (body, sum) = whole.split_at_checked(whole.len().checked_sub(CHECKSUM_CHARS + 1)?)?;
        if sum.strip_prefix('_')? != checksum(body) {
            return None;
        }
        let mut parts = body.strip_prefix(kind.prefix())?.split('.');
        let mut decode =
            || String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
        let localpart = Localpart::parse(&decode()?, server).ok()?;
        let device = DeviceId::parse(&decode()?)?;
        Some(Self {
            localpart,
            device,
            text: text.clone(),
        })
    }

    /// The token's text, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256_base64(self.text.reveal().as_bytes()))
    }
}

/// Whether `text` looks like one of our tokens, so that it cannot be an application service's.
pub fn has_our_prefix(text: &str) -> bool {
    [TokenKind::Access, TokenKind::Refresh]
        .iter()
        .any(|kind| text.starts_with(kind.prefix()))
}

fn checksum(body: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..4])
}

/// Why a token is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// It is no token, or of no living device of a living account (TOK-05).
    #[error("the token is not known")]
    Unknown,
    /// Its time is over; the device lives on (TOK-12).
    #[error("the token has expired")]
    Expired,
    /// The account is locked (TOK-14).
    #[error("the account is locked")]
    Locked,
    /// It is an application service's, where only a device's is of any use.
    #[error("the token is an application service's")]
    Appservice,
    /// It could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who is asking: what needs a user takes this, and only the functions here that judge a token make it.
#[derive(Debug)]
pub struct Session {
    /// The user.
    pub localpart: Localpart,
    /// The device whose token it was.
    pub device: DeviceId,
    /// The account.
    pub account: AccountRow,
    /// What is stored of the token.
    pub access_hash: TokenHash,
    /// The epoch of the device's row.
    pub device_epoch: i64,
}

/// Guests may not do this (GUEST-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("guests may not do this")]
pub struct GuestForbiddenError;

impl Session {
    /// Refuses guests.
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

/// Tells whose token this is, by one strongly consistent read of account and device. The first use
/// of a new token ends the one before it, which is a write.
pub async fn authenticate(app: &App, text: &Secret) -> Result<Session, AuthenticationError> {
    let token = parse_device_token(app, text).await?;
    let (account, device) = app
        .store
        .find_account_and_device(&token.localpart, &token.device)
        .await?;
    authenticate_with(app, token, account, device).await
}

/// The same, from rows that have been read with others of the request.
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

/// The same for who wants to log out, which a locked account may (TOK-14). Nothing is written: the
/// device is about to end.
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

/// The token, if it has the form of a device's. A good token of an application service is told apart
/// from what is none: who is told that its token is not known may throw it away.
async fn parse_device_token(app: &App, text: &Secret) -> Result<Token, AuthenticationError> {
    match Token::parse(TokenKind::Access, text, &app.config.server_name) {
        Some(token) => Ok(token),
        None if authenticate_appservice(app, text).await?.is_some() => {
            Err(AuthenticationError::Appservice)
        }
        None => Err(AuthenticationError::Unknown),
    }
}

/// The verdict on a token whose rows have been read, and the pair that it is of if that is new. The
/// rule: the hash is one of a living device of a living account, and its time is not over.
fn check_token(
    app: &App,
    token: Token,
    account: Option<AccountRow>,
    device: Option<DeviceRow>,
) -> Result<(Session, Option<NextPair>), AuthenticationError> {
    let (Some(account), Some(device)) = (account, device) else {
        return Err(AuthenticationError::Unknown);
    };
    let pair = pairs::pair_of(TokenKind::Access, &token, &account, &device)?;
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
        localpart: token.localpart,
        device: token.device,
        account,
    };
    Ok((session, next))
}

/// The application service whose token this is. Our own tokens are told apart without a read.
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
    fn a_token_says_whose_it_is() {
        let token = Token::parse(TokenKind::Access, &mint("pho.ne_ü").text, &server()).unwrap();
        assert_eq!(
            (token.localpart.as_str(), token.device.as_str()),
            ("alice", "pho.ne_ü")
        );
    }

    #[test]
    fn a_refresh_token_is_no_access_token() {
        assert!(Token::parse(TokenKind::Refresh, &mint("D").text, &server()).is_none());
    }

    #[test]
    fn cve_2019_11842_tokens_do_not_repeat() {
        let tokens: std::collections::HashSet<_> =
            (0..10_000).map(|_| mint("D").hash().0).collect();
        assert_eq!(tokens.len(), 10_000);
    }

    proptest! {
        #[test]
        fn a_device_id_survives_the_token(device in "\\PC{1,255}") {
            prop_assume!(DeviceId::parse(&device).is_some());
            let token = Token::parse(TokenKind::Access, &mint(&device).text, &server()).unwrap();
            prop_assert_eq!(token.device.as_str(), device);
        }

        #[test]
        fn junk_is_no_token(text in ".*") {
            prop_assert!(Token::parse(TokenKind::Access, &Secret::new(text), &server()).is_none());
        }

        #[test]
        fn a_token_with_one_character_changed_is_no_token(at in 0usize..48, to in "[a-zA-Z0-9]") {
            let token = mint("DEVICE");
            let mut text = token.reveal().to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != token.reveal());
            prop_assert!(Token::parse(TokenKind::Access, &Secret::new(text), &server()).is_none());
        }
    }
}
