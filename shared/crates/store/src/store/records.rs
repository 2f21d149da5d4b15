//! Everything that is stored under a user's name, for the operator. What is secret, hashes included,
//! stays here.

use super::{
    AccountRow, OwnThreePid, Store, StoreError,
    item::Row,
    keys::{self, BINDINGS, DEVICES, MAIN, PASSWORD, SK, TERMS, THREEPIDS},
    passwords::read_password,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash,
    threepid::{Medium, ThreePid},
};

/// All that is stored of a user.
#[derive(Debug)]
pub struct UserRecord {
    /// The account.
    pub account: AccountRow,
    /// When it was made.
    pub created: Timestamp,
    /// When the guest became a user.
    pub upgraded: Option<Timestamp>,
    /// When it was brought here from another server.
    pub imported: Option<Timestamp>,
    /// When it ended.
    pub deactivated: Option<Timestamp>,
    /// Whether its user, or the operator, wanted nothing kept then.
    pub erased: bool,
    /// Its password, if it has one.
    pub password: Option<PasswordRecord>,
    /// Its devices, dead ones too.
    pub devices: Vec<DeviceRecord>,
    /// The policies that were accepted.
    pub terms: Vec<TermsRecord>,
    /// Its addresses.
    pub addresses: Vec<OwnThreePid>,
    /// What is bound at identity servers.
    pub bindings: Vec<BindingRecord>,
}

/// What is said of a password.
#[derive(Debug)]
pub struct PasswordRecord {
    /// How it is hashed.
    pub scheme: String,
    /// When it was set.
    pub set: Timestamp,
}

/// A device without its tokens.
#[derive(Debug)]
pub struct DeviceRecord {
    /// Its id.
    pub id: DeviceId,
    /// What its user calls it.
    pub display_name: Option<String>,
    /// When its tokens were made.
    pub issued: Timestamp,
    /// When its access token expires.
    pub access_expires: Option<Timestamp>,
    /// Whether somebody is logged in to it, as far as the account is concerned.
    pub alive: bool,
}

/// A policy that was accepted.
#[derive(Debug)]
pub struct TermsRecord {
    /// Its id.
    pub policy: String,
    /// Which version of it.
    pub version: String,
    /// When.
    pub accepted: Timestamp,
}

/// An address that is bound at an identity server.
#[derive(Debug)]
pub struct BindingRecord {
    /// The server.
    pub id_server: String,
    /// The address, as that server writes it.
    pub address: ThreePid,
    /// Since when.
    pub bound: Timestamp,
}

impl Store {
    /// All that is stored under this name; nothing if nobody has it. Strongly consistent, page by
    /// page.
    pub async fn find_record(&self, user: &Localpart) -> Result<Option<UserRecord>, StoreError> {
        let rows = self.rows_under(&keys::user(user), "").await?;
        let mut main = None;
        for row in &rows {
            if row.text(SK)? == MAIN {
                main = Some(row);
            }
        }
        let Some(main) = main else { return Ok(None) };
        let mut record = UserRecord::begin(main)?;
        for row in &rows {
            record.add(row)?;
        }
        Ok(Some(record))
    }
}

impl UserRecord {
    fn begin(main: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: AccountRow::read(main)?,
            created: main.time("created")?,
            upgraded: main.time_if("upgraded")?,
            imported: main.time_if("imported")?,
            deactivated: main.time_if("deactivated")?,
            erased: main.time_if("erased")?.is_some(),
            password: None,
            devices: Vec::new(),
            terms: Vec::new(),
            addresses: Vec::new(),
            bindings: Vec::new(),
        })
    }

    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        let sk = row.text(SK)?;
        if sk == PASSWORD {
            let hash = read_password(row)?;
            self.password = Some(PasswordRecord {
                scheme: password_hash::scheme(&hash.phc).to_owned(),
                set: hash.set,
            });
        } else if let Some(id) = sk.strip_prefix(DEVICES) {
            let id = DeviceId::parse(id).ok_or_else(|| row.corrupt("sk"))?;
            self.devices.push(DeviceRecord {
                alive: self.account.lets_live(&id, row.number("epoch")?),
                id,
                display_name: row.text_if("display_name")?.map(str::to_owned),
                issued: row.time("issued_at")?,
                access_expires: row.time_if("access_expires")?,
            });
        } else if let Some(policy) = sk.strip_prefix(TERMS) {
            self.terms.push(TermsRecord {
                policy: policy.to_owned(),
                version: row.text("version")?.to_owned(),
                accepted: row.time("accepted")?,
            });
        } else if sk.starts_with(THREEPIDS) {
            self.addresses.push(OwnThreePid::read(row)?);
        } else if sk.starts_with(BINDINGS) {
            let medium = Medium::parse(row.text("medium")?).ok_or_else(|| row.corrupt("medium"))?;
            self.bindings.push(BindingRecord {
                id_server: row.text("id_server")?.to_owned(),
                address: ThreePid {
                    medium,
                    address: row.text("address")?.to_owned(),
                },
                bound: row.time("bound")?,
            });
        }
        Ok(())
    }
}
