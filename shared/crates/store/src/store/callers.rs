//! What a request about an account needs to know first.

use std::collections::HashMap;

use super::{
    AccountRow, DeviceRow, SessionRow, Store, StoreError,
    accounts::keys_of,
    item::{Map, Row, text},
    keys::{self, MAIN, PASSWORD, PK, SK},
    passwords::read_password,
};
use crate::{
    ids::{DeviceId, Localpart},
    password_hash::PasswordHash,
};

/// What one read found.
#[derive(Debug, Default)]
pub struct CallerFacts {
    /// The account of the token.
    pub account: Option<AccountRow>,
    /// The device of the token.
    pub device: Option<DeviceRow>,
    /// The account's password.
    pub password: Option<PasswordHash>,
    /// The UIA session.
    pub session: Option<SessionRow>,
}

impl Store {
    /// A user with their device and password, and a UIA session, in one strongly consistent read
    /// (which is no snapshot: each row is of its own moment).
    pub async fn find_caller(
        &self,
        user: Option<(&Localpart, &DeviceId)>,
        session: Option<&str>,
    ) -> Result<CallerFacts, StoreError> {
        let mut request = HashMap::new();
        if let Some((user, device)) = user {
            let pk = keys::user(user);
            let wanted = [MAIN.to_owned(), PASSWORD.to_owned(), keys::device(device)];
            let wanted = wanted.map(|sk| (pk.clone(), sk));
            request.insert(self.accounts.clone(), keys_of(&wanted));
        }
        if let Some(session) = session {
            let key = Map::from([(PK.to_owned(), text(session))]);
            request.insert(self.uia_sessions.clone(), vec![key]);
        }
        let mut facts = CallerFacts::default();
        if request.is_empty() {
            return Ok(facts);
        }
        for (table, rows) in self.batch_get(request).await? {
            for row in rows.into_iter().map(Row::new) {
                if table == self.uia_sessions {
                    facts.session = Some(SessionRow::read(&row)?);
                    continue;
                }
                match row.text(SK)? {
                    MAIN => facts.account = Some(AccountRow::read(&row)?),
                    PASSWORD => facts.password = Some(read_password(&row)?),
                    _ => facts.device = Some(DeviceRow::read(&row)?),
                }
            }
        }
        Ok(facts)
    }
}
