//! Browser sessions: a user who is logged in on the pages of this server (OA-57).
//!
//! A session is a row whose key is the hash of the browser's cookie. It begins with a login or a sign-up, always with a
//! new cookie (OA-55). It ends after 30 minutes without use, after 12 hours, with a logout, and with a lock, a
//! deactivation, a new password or a new epoch of the account.

use std::time::Duration;

use super::{Client, ClientId};
use crate::{
    app::App,
    client_network::ClientNetwork,
    clock::{Timestamp, millis},
    ids::{DeviceId, Localpart},
    limits::{self, LimitError},
    metrics,
    secrets::{Secret, TokenHash, sha256_base64},
    store::{AccountRow, AccountStatus, BrowserSessionRow, DeviceRow, StoreError, TokenDevice},
    tokens::TokenLimits,
};

/// The time without use after which a session ends.
const IDLE: Duration = Duration::from_mins(30);
/// The time after which a session ends.
const LIFETIME: Duration = Duration::from_hours(12);
/// The time of the last use is written at most once in this time.
const USE_INTERVAL: Duration = Duration::from_mins(1);
/// The time after the entry of the password in which the user may make a change (OA-128).
const RECENT: Duration = Duration::from_mins(5);
/// The random bytes of a cookie (OA-55).
const COOKIE_BYTES: usize = 32;
/// The length of these bytes in base64.
const COOKIE_CHARS: usize = 43;

/// A new value of the cookie. It has no session.
pub fn new_cookie(app: &App) -> Secret {
    Secret::new(app.rng.base64::<COOKIE_BYTES>())
}

/// Parses a cookie. Returns `None` for a value that this server never issues, so that it causes no read.
pub fn parse_cookie(text: &str) -> Option<Secret> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_valid = text.len() == COOKIE_CHARS && text.bytes().all(is_base64);
    is_valid.then(|| Secret::new(text.to_owned()))
}

fn hash_of(cookie: &Secret) -> TokenHash {
    TokenHash(sha256_base64(cookie.reveal().as_bytes()))
}

/// The valid session of a browser.
#[derive(Debug)]
pub struct BrowserSession {
    /// The user.
    pub localpart: Localpart,
    /// The account of the user, which is active or suspended.
    pub account: AccountRow,
    /// The time at which the user entered the password or signed up.
    pub authenticated: Timestamp,
}

/// A new session: the cookie of the browser, and the row for the transaction that creates the account, or for
/// [`begin`]. `authenticated` must be a time before the password was read: a password that was replaced after the read then
/// counts as replaced.
pub fn prepare(
    app: &App,
    localpart: &Localpart,
    epoch: i64,
    authenticated: Timestamp,
) -> (Secret, BrowserSessionRow) {
    let cookie = new_cookie(app);
    let now = app.clock.now();
    let row = BrowserSessionRow {
        hash: hash_of(&cookie),
        localpart: localpart.clone(),
        epoch,
        authenticated,
        last_use: now,
        ends: now.plus(LIFETIME),
    };
    (cookie, row)
}

/// Begins a session after a login and ends the session of the earlier cookie. Two concurrent writes. Returns the new
/// cookie. `authenticated` is as in [`prepare`].
pub async fn begin(
    app: &App,
    (localpart, epoch): (&Localpart, i64),
    authenticated: Timestamp,
    earlier: &Secret,
) -> Result<Secret, StoreError> {
    let (cookie, row) = prepare(app, localpart, epoch, authenticated);
    let (saved, ended) = tokio::join!(app.store.save_browser_session(&row), end(app, earlier));
    saved.and(ended)?;
    Ok(cookie)
}

/// Ends the session of a cookie, if there is one. One write.
pub async fn end(app: &App, cookie: &Secret) -> Result<(), StoreError> {
    app.store.delete_browser_session(&hash_of(cookie)).await
}

/// Reads a client and the session row of a cookie in one call, without a session that has ended by its age or without use.
pub async fn find_with_client(
    app: &App,
    client: &ClientId,
    cookie: Option<&Secret>,
) -> Result<(Option<Client>, Option<BrowserSessionRow>), StoreError> {
    let hash = cookie.map(hash_of);
    let (client_row, session) = app
        .store
        .find_client_and_browser_session(client.as_str(), hash.as_ref())
        .await?;
    let session = session.filter(|row| !has_ended(row, app.clock.now()));
    Ok((Client::of_row(app, client, client_row)?, session))
}

/// Reads the session row of a cookie. `None` if the session has ended by its age or without use. One read.
pub async fn find(app: &App, cookie: &Secret) -> Result<Option<BrowserSessionRow>, StoreError> {
    let row = app.store.find_browser_session(&hash_of(cookie)).await?;
    Ok(row.filter(|row| !has_ended(row, app.clock.now())))
}

/// The session of a row, if it is valid, and the time at which the password of its account was set. One read.
pub async fn with_password(
    app: &App,
    row: BrowserSessionRow,
) -> Result<Option<(BrowserSession, Option<Timestamp>)>, StoreError> {
    let found = app.store.find_login(&row.localpart).await?;
    Ok(found.and_then(|facts| {
        let password_set = facts.password.map(|password| password.changed_at);
        Some((BrowserSession::check(row, facts.account)?, password_set))
    }))
}

/// Whether a session has ended by its age or without use.
fn has_ended(row: &BrowserSessionRow, now: Timestamp) -> bool {
    now >= row.ends || now >= row.last_use.plus(IDLE)
}

/// The session of a row, if it is valid, and a live device of its account. Makes one read, or none for a row that has
/// ended.
pub async fn with_device(
    app: &App,
    row: Option<BrowserSessionRow>,
    device: Option<&DeviceId>,
) -> Result<Option<(BrowserSession, Option<DeviceRow>)>, StoreError> {
    let now = app.clock.now();
    let Some(row) = row.filter(|row| !has_ended(row, now)) else {
        return Ok(None);
    };
    let store = &app.store;
    let (account, device) = match device.cloned() {
        Some(id) => {
            let device = TokenDevice::Named(id);
            store
                .find_account_and_device(&row.localpart, &device)
                .await?
        }
        None => (store.find_account(&row.localpart).await?, None),
    };
    Ok(account.and_then(|account| {
        let device = device.filter(|device| account.is_device_valid(&device.id, device.epoch));
        Some((BrowserSession::check(row, account)?, device))
    }))
}

impl BrowserSession {
    fn check(row: BrowserSessionRow, account: AccountRow) -> Option<Self> {
        let is_usable = match account.status {
            AccountStatus::Active | AccountStatus::Suspended => true,
            AccountStatus::Locked | AccountStatus::Deactivated => false,
        };
        // A new password ends the session even if the devices stay: otherwise the session of a thief could add a device.
        let is_older_than_password = row.authenticated < account.proofs_not_before;
        if !is_usable || account.epoch != row.epoch || is_older_than_password {
            return None;
        }
        metrics::user(&row.localpart);
        Some(Self {
            localpart: row.localpart,
            account,
            authenticated: row.authenticated,
        })
    }
}

impl BrowserSession {
    /// Whether the user entered the current password, which was set at `password_set`, recently enough for a change
    /// (OA-128). A password change need not end the session, so a password that was entered before it does not count.
    pub fn is_recent(&self, now: Timestamp, password_set: Timestamp) -> bool {
        password_set <= self.authenticated && now < self.authenticated.plus(RECENT)
    }
}

/// Charges a change by page to the quotas of a change with an access token: those of its network and of the cookie
/// (OA-155).
pub async fn charge(app: &App, cookie: &Secret, network: ClientNetwork) -> Result<(), LimitError> {
    let TokenLimits {
        network: by_network,
        token,
    } = TokenLimits::WRITE;
    let charges = [
        (by_network, network.to_string()),
        (token, hash_of(cookie).0),
    ];
    limits::consume_all(app, &charges).await
}

/// Records the use of a session by a `POST` request, at most once a minute. Requests with `GET` write nothing, and a
/// session that has ended stays ended. One write at most.
pub async fn record_use(app: &App, row: &BrowserSessionRow) -> Result<(), StoreError> {
    let now = app.clock.now();
    if has_ended(row, now) || now.0 < row.last_use.0 + millis(USE_INTERVAL) {
        return Ok(());
    }
    app.store.record_browser_use(&row.hash, now).await
}
