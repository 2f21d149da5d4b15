//! Browser sessions: a user who is logged in on the pages of this server (OA-57).
//!
//! A session is a row whose key is the hash of the browser's cookie. It begins with a login or a sign-up, always with a
//! new cookie (OA-55). It ends after 30 minutes without use, after 12 hours, with a logout, and with a lock, a
//! deactivation or a new epoch of the account.

use std::time::Duration;

use super::{Client, ClientId};
use crate::{
    app::App,
    clock::{Timestamp, millis},
    ids::{DeviceId, Localpart},
    metrics,
    secrets::{Secret, TokenHash, sha256_base64},
    store::{AccountRow, AccountStatus, BrowserSessionRow, DeviceRow, StoreError, TokenDevice},
};

/// The time without use after which a session ends.
const IDLE: Duration = Duration::from_mins(30);
/// The time after which a session ends.
const LIFETIME: Duration = Duration::from_hours(12);
/// The time of the last use is written at most once in this time.
const USE_INTERVAL: Duration = Duration::from_mins(1);
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
/// [`begin`].
pub fn prepare(app: &App, localpart: &Localpart, epoch: i64) -> (Secret, BrowserSessionRow) {
    let cookie = new_cookie(app);
    let now = app.clock.now();
    let row = BrowserSessionRow {
        hash: hash_of(&cookie),
        localpart: localpart.clone(),
        epoch,
        authenticated: now,
        last_use: now,
        ends: now.plus(LIFETIME),
    };
    (cookie, row)
}

/// Begins a session after a login and ends the session of the earlier cookie. Two concurrent writes. Returns the new
/// cookie.
pub async fn begin(
    app: &App,
    localpart: &Localpart,
    epoch: i64,
    earlier: &Secret,
) -> Result<Secret, StoreError> {
    let (cookie, row) = prepare(app, localpart, epoch);
    let (saved, ended) = tokio::join!(app.store.save_browser_session(&row), end(app, earlier));
    saved.and(ended)?;
    Ok(cookie)
}

/// Ends the session of a cookie, if there is one. One write.
pub async fn end(app: &App, cookie: &Secret) -> Result<(), StoreError> {
    app.store.delete_browser_session(&hash_of(cookie)).await
}

/// Reads a client and the session row of a cookie in one call.
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
    Ok((Client::of_row(app, client, client_row)?, session))
}

/// Reads the session row of a cookie. Returns `None` for a session that has ended by its age or without use.
pub async fn find(app: &App, cookie: &Secret) -> Result<Option<BrowserSessionRow>, StoreError> {
    let row = app.store.find_browser_session(&hash_of(cookie)).await?;
    Ok(row.filter(|row| !has_ended(row, app.clock.now())))
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
        if !is_usable || account.epoch != row.epoch {
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

/// Records the use of a session by a `POST` request, at most once a minute. Requests with `GET` write nothing, and a
/// session that has ended stays ended. One write at most.
pub async fn record_use(app: &App, row: &BrowserSessionRow) -> Result<(), StoreError> {
    let now = app.clock.now();
    if has_ended(row, now) || now.0 < row.last_use.0 + millis(USE_INTERVAL) {
        return Ok(());
    }
    app.store.record_browser_use(&row.hash, now).await
}
