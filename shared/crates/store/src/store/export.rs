//! The export of an account for the operator: all its rows, without secrets and hashes.

use super::{
    AccountRow, OwnThreePid, Store, StoreError,
    dynamodb::{
        item::Row,
        keys::{self, BINDINGS, DEVICES, MAIN, PASSWORD, SK, TERMS, THREEPIDS},
    },
    passwords::read_password,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    password_hash,
    threepid::{Medium, ThreePid},
};

/// All stored data of an account.
#[derive(Debug)]
pub struct UserRecord {
    /// The account.
    pub account: AccountRow,
    /// The time of its creation.
    pub created: Timestamp,
    /// The time at which the guest became a user.
    pub upgraded: Option<Timestamp>,
    /// The time of its import from another homeserver.
    pub imported: Option<Timestamp>,
    /// The time of its deactivation.
    pub deactivated: Option<Timestamp>,
    /// Whether the user or the operator requested erasure at the deactivation.
    pub erased: bool,
    /// Its password, if it has a password.
    pub password: Option<PasswordRecord>,
    /// Its devices, including those with invalid tokens.
    pub devices: Vec<DeviceRecord>,
    /// The accepted policies.
    pub terms: Vec<TermsRecord>,
    /// Its 3PIDs.
    pub addresses: Vec<OwnThreePid>,
    /// The 3PIDs that are bound at identity servers.
    pub bindings: Vec<BindingRecord>,
}

/// A password without its hash.
#[derive(Debug)]
pub struct PasswordRecord {
    /// The scheme of its hash.
    pub scheme: String,
    /// The time at which it was set.
    pub set: Timestamp,
}

/// A device without its tokens.
#[derive(Debug)]
pub struct DeviceRecord {
    /// The device ID.
    pub id: DeviceId,
    /// The display name.
    pub display_name: Option<String>,
    /// The time at which its tokens were issued.
    pub issued: Timestamp,
    /// The time at which its access token expires.
    pub access_expires: Option<Timestamp>,
    /// Whether its tokens are valid for the account: see [`AccountRow::is_device_valid`].
    pub alive: bool,
}

/// An accepted policy.
#[derive(Debug)]
pub struct TermsRecord {
    /// The policy ID.
    pub policy: String,
    /// The accepted version.
    pub version: String,
    /// The time of acceptance.
    pub accepted: Timestamp,
}

/// A 3PID that is bound at an identity server.
#[derive(Debug)]
pub struct BindingRecord {
    /// The name of the identity server.
    pub id_server: String,
    /// The address in the form that the identity server uses.
    pub address: ThreePid,
    /// The time of the binding.
    pub bound: Timestamp,
}

impl Store {
    /// All stored data of the account with this username. Returns `None` if there is no account. One
    /// `Query` call for each megabyte, strongly consistent.
    pub async fn export_account(&self, user: &Localpart) -> Result<Option<UserRecord>, StoreError> {
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
                set: hash.changed_at,
            });
        } else if let Some(id) = sk.strip_prefix(DEVICES) {
            let id = DeviceId::parse(id).ok_or_else(|| row.corrupt("sk"))?;
            self.devices.push(DeviceRecord {
                alive: self.account.is_device_valid(&id, row.number("epoch")?),
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
