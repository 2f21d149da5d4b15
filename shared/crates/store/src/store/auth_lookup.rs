//! Reads of all rows that a request needs before it is authenticated: one `BatchGetItem` call each.
//!
//! An imported token does not name its device. Its row, which is read with the other rows, names the device, and a
//! second call reads the device.
//!
//! The reads are strongly consistent, but not a snapshot: each row is read at its own point in time.

use std::collections::HashMap;

use super::{
    AccountRow, AppservicesRow, DeviceRow, RegistrationFacts, RegistrationLookup, SessionRow,
    Store, StoreError,
    dynamodb::{
        item::{Item, Map, Row},
        keys::{self, APPSERVICES, IMPORTED_TOKENS, MAIN, PASSWORD, PK, SK},
    },
    passwords::read_password,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash::PasswordHash,
    secrets::TokenHash,
};

/// The device of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenDevice {
    /// The token contains the ID of its device.
    Named(DeviceId),
    /// The token was imported from a homeserver. The row of this hash contains the ID of its device.
    Imported(TokenHash),
}

/// The rows of an authenticated request.
#[derive(Debug, Default)]
pub struct CallerFacts {
    /// The account of the access token.
    pub account: Option<AccountRow>,
    /// The ID of the device of the access token, even if the device no longer exists. `None` if the token is an imported
    /// token without a row.
    pub device_id: Option<DeviceId>,
    /// The device of the access token.
    pub device: Option<DeviceRow>,
    /// The password of the account.
    pub password: Option<PasswordHash>,
    /// The UIA session.
    pub session: Option<SessionRow>,
}

/// The rows of a login.
#[derive(Debug, Clone)]
pub struct LoginFacts {
    /// The account.
    pub account: AccountRow,
    /// The hash of its password, if it has a password.
    pub password: Option<PasswordHash>,
}

/// The keys of the rate-limit rows of a password attempt.
#[derive(Debug)]
pub struct AttemptBuckets {
    /// The bucket of the account.
    pub account: String,
    /// The row that marks the client's network as known to the account.
    pub known_network: String,
}

/// The rows of a password attempt.
#[derive(Debug, Default)]
pub struct AttemptFacts {
    /// The account, if it exists.
    pub login: Option<LoginFacts>,
    /// The theoretical arrival time (TAT) of the account's bucket, if there is a bucket.
    pub arrival: Option<Timestamp>,
    /// The time until which the client's network is known, if it was marked.
    pub known_until: Option<Timestamp>,
}

/// The rows that one call found.
#[derive(Default)]
struct FoundRows {
    account: Option<AccountRow>,
    device_id: Option<DeviceId>,
    device: Option<DeviceRow>,
    password: Option<PasswordHash>,
    appservices: Option<AppservicesRow>,
    session: Option<SessionRow>,
    /// The TAT of a bucket.
    arrival: Option<Timestamp>,
    known_until: Option<Timestamp>,
}

impl Store {
    /// The account with this username.
    pub async fn find_account(
        &self,
        localpart: &Localpart,
    ) -> Result<Option<AccountRow>, StoreError> {
        let account = account_key(localpart, MAIN);
        Ok(self.find_rows(vec![account], None).await?.account)
    }

    /// An account and the device of one of its tokens.
    pub async fn find_account_and_device(
        &self,
        localpart: &Localpart,
        device: &TokenDevice,
    ) -> Result<(Option<AccountRow>, Option<DeviceRow>), StoreError> {
        let account = vec![account_key(localpart, MAIN)];
        let found = self
            .find_token_rows(localpart, Some(device), account, None)
            .await?;
        Ok((found.account, found.device))
    }

    /// An account and its password.
    pub async fn find_login(&self, name: &Localpart) -> Result<Option<LoginFacts>, StoreError> {
        let found = self.find_rows(login_keys(name), None).await?;
        Ok(found.login())
    }

    /// An account, its password and the rate-limit rows of a password attempt, all in one call, so that no further call
    /// depends on what was found.
    pub async fn find_attempt(
        &self,
        name: &Localpart,
        buckets: Option<&AttemptBuckets>,
    ) -> Result<AttemptFacts, StoreError> {
        let mut request = HashMap::from([(self.accounts.clone(), login_keys(name))]);
        if let Some(buckets) = buckets {
            let keys = [&buckets.account, &buckets.known_network];
            let keys = keys.map(|key| Item::at(key).build());
            request.insert(self.limits.clone(), keys.to_vec());
        }
        let found = self.read_rows(request).await?;
        Ok(AttemptFacts {
            arrival: found.arrival,
            known_until: found.known_until,
            login: found.login(),
        })
    }

    /// The UIA session with this key.
    pub async fn find_uia_session(&self, key: &str) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.find_rows(Vec::new(), Some(key)).await?.session)
    }

    /// The account, device and password of an access token, and a UIA session.
    pub async fn find_caller(
        &self,
        user: Option<(&Localpart, &TokenDevice)>,
        session: Option<&str>,
    ) -> Result<CallerFacts, StoreError> {
        let found = match user {
            Some((user, device)) => {
                self.find_token_rows(user, Some(device), login_keys(user), session)
                    .await?
            }
            None => self.find_rows(Vec::new(), session).await?,
        };
        Ok(found.caller())
    }

    /// The account and password of a user, and the device that started a UIA session of the user. A session that an
    /// earlier version started names no device.
    pub async fn find_session_owner(
        &self,
        user: &Localpart,
        device: Option<&DeviceId>,
    ) -> Result<CallerFacts, StoreError> {
        let device = device.cloned().map(TokenDevice::Named);
        let found = self
            .find_token_rows(user, device.as_ref(), login_keys(user), None)
            .await?;
        Ok(found.caller())
    }

    /// Rows of an account, the device of one of its tokens, and a UIA session. One call, and a second call if the token
    /// was imported and has a row.
    async fn find_token_rows(
        &self,
        user: &Localpart,
        device: Option<&TokenDevice>,
        mut account_keys: Vec<Map>,
        session: Option<&str>,
    ) -> Result<FoundRows, StoreError> {
        let device_key = |id: &DeviceId| account_key(user, &keys::device(id));
        account_keys.extend(device.map(|device| match device {
            TokenDevice::Named(id) => device_key(id),
            TokenDevice::Imported(hash) => account_key(user, &keys::imported_token(hash)),
        }));
        let mut found = self.find_rows(account_keys, session).await?;
        match device {
            Some(TokenDevice::Named(id)) => found.device_id = Some(id.clone()),
            Some(TokenDevice::Imported(_)) => {
                if let Some(id) = &found.device_id {
                    let key = vec![device_key(id)];
                    found.device = self.find_rows(key, None).await?.device;
                }
            }
            None => {}
        }
        Ok(found)
    }

    /// The rows that a registration needs first.
    pub async fn registration_facts(
        &self,
        lookup: RegistrationLookup<'_>,
    ) -> Result<RegistrationFacts, StoreError> {
        let mut keys = Vec::new();
        keys.extend(lookup.name.map(|name| account_key(name, MAIN)));
        if lookup.appservices {
            keys.push(Item::under(APPSERVICES, MAIN).build());
        }
        let found = self.find_rows(keys, lookup.session).await?;
        let appservices = found.appservices.unwrap_or_default();
        Ok(RegistrationFacts {
            session: found.session,
            holder: found.account,
            appservices: lookup.appservices.then_some(appservices),
        })
    }

    /// Reads rows of `accounts` and a UIA session. Makes no call if there are no keys.
    async fn find_rows(
        &self,
        account_keys: Vec<Map>,
        session: Option<&str>,
    ) -> Result<FoundRows, StoreError> {
        let mut request = HashMap::new();
        if !account_keys.is_empty() {
            request.insert(self.accounts.clone(), account_keys);
        }
        if let Some(session) = session {
            request.insert(self.uia_sessions.clone(), vec![Item::at(session).build()]);
        }
        self.read_rows(request).await
    }

    async fn read_rows(&self, request: HashMap<String, Vec<Map>>) -> Result<FoundRows, StoreError> {
        let mut found = FoundRows::default();
        for (table, rows) in self.batch_get(request).await? {
            for row in rows.into_iter().map(Row::new) {
                if table == self.uia_sessions {
                    found.session = Some(SessionRow::read(&row)?);
                } else if table == self.limits {
                    found.arrival = found.arrival.or(row.time_if("tat")?);
                    found.known_until = found.known_until.or(row.time_if("known_until")?);
                } else {
                    found.add(&row)?;
                }
            }
        }
        Ok(found)
    }
}

impl FoundRows {
    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        match (row.text(PK)?, row.text(SK)?) {
            (APPSERVICES, _) => self.appservices = Some(AppservicesRow::read(row)?),
            (_, MAIN) => self.account = Some(AccountRow::read(row)?),
            (_, PASSWORD) => self.password = Some(read_password(row)?),
            (_, sk) if sk.starts_with(IMPORTED_TOKENS) => {
                let id = DeviceId::parse(row.text("device")?);
                self.device_id = Some(id.ok_or_else(|| row.corrupt("device"))?);
            }
            _ => self.device = Some(DeviceRow::read(row)?),
        }
        Ok(())
    }

    fn caller(self) -> CallerFacts {
        CallerFacts {
            account: self.account,
            device_id: self.device_id,
            device: self.device,
            password: self.password,
            session: self.session,
        }
    }

    fn login(self) -> Option<LoginFacts> {
        let password = self.password;
        self.account.map(|account| LoginFacts { account, password })
    }
}

fn login_keys(name: &Localpart) -> Vec<Map> {
    vec![account_key(name, MAIN), account_key(name, PASSWORD)]
}

fn account_key(user: &Localpart, sk: &str) -> Map {
    Item::under(keys::user(user), sk).build()
}
