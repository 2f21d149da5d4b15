//! One user, one partition: the account row, which *is* the name claim, and the rows under it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, TransactWriteItem, Update};

use super::{
    AppservicesRow, CreateAccountError, DeviceRow, NewAccount, NewDevice, SessionRow, Store,
    StoreError,
    item::{Item, Map, Row, number, put, text, updating},
    keys::{self, MAIN, PK, SK},
    passwords::password_item,
    retry::condition_failed,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
};

/// What kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// Somebody who signed up.
    User,
    /// Somebody passing through.
    Guest,
    /// A user that an application service made.
    Appservice,
}

/// Whether the account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// It may.
    Active,
    /// Not until it is unlocked; tokens are kept (TOK-14).
    Locked,
    /// Only to leave (TOK-15).
    Suspended,
    /// Never again; the name stays taken (REG-16).
    Deactivated,
}

/// The one device that lives on although the epoch has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDevice {
    /// The device.
    pub device: DeviceId,
    /// The epoch its row must have.
    pub epoch: i64,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Whether it may be used.
    pub status: AccountStatus,
    /// What kind it is.
    pub kind: AccountKind,
    /// Devices of another epoch are dead.
    pub epoch: i64,
    /// The exception to that.
    pub spared: Option<KeptDevice>,
    /// Proofs of addresses that were asked for before this are worth nothing for the account.
    pub proofs_not_before: Timestamp,
    /// How often an address has been added or removed, each time on top of the number that was read.
    pub address_changes: i64,
}

/// What one read before registration is to find.
#[derive(Debug, Default, Clone, Copy)]
pub struct RegistrationLookup<'a> {
    /// The UIA session with this key.
    pub session: Option<&'a str>,
    /// Whether somebody has this name.
    pub name: Option<&'a Localpart>,
    /// The application services.
    pub appservices: bool,
}

/// What one read before registration found.
#[derive(Debug, Default)]
pub struct RegistrationFacts {
    /// The UIA session.
    pub session: Option<SessionRow>,
    /// The account that has the name.
    pub holder: Option<AccountRow>,
    /// The application services, if they were asked for: none stored is `Some` of an empty row.
    pub appservices: Option<AppservicesRow>,
}

impl AccountStatus {
    const ALL: [Self; 4] = [
        Self::Active,
        Self::Locked,
        Self::Suspended,
        Self::Deactivated,
    ];

    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let name = row.text("status")?;
        let found = Self::ALL.into_iter().find(|own| own.as_str() == name);
        found.ok_or_else(|| row.corrupt("status"))
    }
}

impl AccountKind {
    /// Its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guest => "guest",
            Self::Appservice => "appservice",
        }
    }
}

impl AccountRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let status = AccountStatus::read(row)?;
        let kind = match row.text("kind")? {
            "user" => AccountKind::User,
            "guest" => AccountKind::Guest,
            "appservice" => AccountKind::Appservice,
            _ => return Err(row.corrupt("kind")),
        };
        let spared = match row.text_if("spared_device")? {
            None => None,
            Some(device) => Some(KeptDevice {
                device: DeviceId::parse(device).ok_or_else(|| row.corrupt("spared_device"))?,
                epoch: row.number("spared_epoch")?,
            }),
        };
        Ok(Self {
            status,
            kind,
            epoch: row.number("epoch")?,
            spared,
            proofs_not_before: row.time_if("proofs_not_before")?.unwrap_or_default(),
            address_changes: row.number_if("address_changes")?.unwrap_or_default(),
        })
    }
}

impl Store {
    /// The account and the device, in one strongly consistent read.
    pub async fn find_account_and_device(
        &self,
        localpart: &Localpart,
        device: &DeviceId,
    ) -> Result<(Option<AccountRow>, Option<DeviceRow>), StoreError> {
        let (pk, sk) = (keys::user(localpart), keys::device(device));
        let wanted = [(pk.clone(), MAIN.to_owned()), (pk, sk.clone())];
        let found = self
            .batch_get(HashMap::from([(self.accounts.clone(), keys_of(&wanted))]))
            .await?;
        let (mut account, mut own_device) = (None, None);
        for row in found.into_values().flatten().map(Row::new) {
            if row.text(SK)? == MAIN {
                account = Some(AccountRow::read(&row)?);
            } else {
                own_device = Some(DeviceRow::read(&row)?);
            }
        }
        Ok((account, own_device))
    }

    /// The account with this name.
    pub async fn find_account(
        &self,
        localpart: &Localpart,
    ) -> Result<Option<AccountRow>, StoreError> {
        let wanted = RegistrationLookup {
            name: Some(localpart),
            ..RegistrationLookup::default()
        };
        Ok(self.registration_facts(wanted).await?.holder)
    }

    /// Everything that a request to register needs to know first, in one strongly consistent read
    /// (which is no snapshot: each row is of its own moment).
    pub async fn registration_facts(
        &self,
        wanted: RegistrationLookup<'_>,
    ) -> Result<RegistrationFacts, StoreError> {
        let mut in_accounts = Vec::new();
        in_accounts.extend(wanted.name.map(|name| (keys::user(name), MAIN.to_owned())));
        in_accounts.extend(
            wanted
                .appservices
                .then(|| (keys::APPSERVICES.to_owned(), MAIN.to_owned())),
        );
        let mut request = HashMap::new();
        if !in_accounts.is_empty() {
            request.insert(self.accounts.clone(), keys_of(&in_accounts));
        }
        if let Some(session) = wanted.session {
            request.insert(
                self.uia_sessions.clone(),
                vec![Map::from([(PK.to_owned(), text(session))])],
            );
        }
        let mut facts = RegistrationFacts {
            appservices: wanted.appservices.then(AppservicesRow::default),
            ..RegistrationFacts::default()
        };
        if request.is_empty() {
            return Ok(facts);
        }
        for (table, rows) in self.batch_get(request).await? {
            for row in rows.into_iter().map(Row::new) {
                if table == self.uia_sessions {
                    facts.session = Some(SessionRow::read(&row)?);
                } else if row.text(PK)? == keys::APPSERVICES {
                    facts.appservices = Some(AppservicesRow::read(&row)?);
                } else {
                    facts.holder = Some(AccountRow::read(&row)?);
                }
            }
        }
        Ok(facts)
    }

    /// Writes a new account with everything that belongs to it, or nothing (REG-15), under the name
    /// that its user ID is made of (REG-02). Of several who race for a name one gets it; the others
    /// get [`CreateAccountError::NameTaken`] (REG-14).
    pub async fn create_account(&self, new: &NewAccount) -> Result<(), CreateAccountError> {
        // The session comes first and the account second: their reasons are read by position, and
        // in that order, so that a finished twin is seen before the name it took.
        let mut items = Vec::new();
        let session = new.session.as_ref().map(|commit| {
            items.push(self.commit_session(commit));
            items.len() - 1
        });
        let account = items.len();
        items.push(self.account_item(new));
        items.extend(self.rows_under_account(new));
        let claims = items.len();
        items.extend(
            new.threepids
                .iter()
                .map(|proven| self.claim_threepid(&proven.threepid, &new.localpart, new.created)),
        );
        let proofs = items.len();
        items.extend(
            new.threepids
                .iter()
                .map(|proven| self.spend_validation(proven, new.created)),
        );
        items.extend(new.threepids.iter().map(|own| {
            self.own_threepid(&own.threepid, own.validated_at, &new.localpart, new.created)
        }));
        let token = new.registration_token.as_ref().map(|token_use| {
            items.push(self.spend_registration_token(token_use, new.created));
            items.len() - 1
        });
        let failed_among = |reasons: &[CancellationReason], first: usize| {
            (0..new.threepids.len()).find(|index| condition_failed(reasons, first + index))
        };
        self.transact(items, |reasons| {
            if session.is_some_and(|index| condition_failed(reasons, index)) {
                Some(CreateAccountError::SessionMoved)
            } else if condition_failed(reasons, account) {
                let upgrade = new.upgraded_guest.is_some();
                Some(if upgrade {
                    CreateAccountError::GuestGone
                } else {
                    CreateAccountError::NameTaken
                })
            } else if let Some(index) = failed_among(reasons, claims) {
                let medium = new.threepids[index].threepid.medium;
                Some(CreateAccountError::ThreePidTaken(medium))
            } else if let Some(index) = failed_among(reasons, proofs) {
                let medium = new.threepids[index].threepid.medium;
                Some(CreateAccountError::ValidationGone(medium))
            } else if token.is_some_and(|index| condition_failed(reasons, index)) {
                Some(CreateAccountError::RegistrationTokenSpent)
            } else {
                None
            }
        })
        .await
    }

    fn account_item(&self, new: &NewAccount) -> TransactWriteItem {
        let key = Item::under(keys::user(&new.localpart), MAIN);
        match new.upgraded_guest {
            None => put(
                &self.accounts,
                key.number("schema", 1)
                    .text("status", "active")
                    .text("kind", new.kind.as_str())
                    .number("epoch", FIRST_EPOCH)
                    .number("created", new.created.0)
                    .text("upstream", "none"),
                Some("attribute_not_exists(pk)"),
            ),
            // GUEST-08: the same name, and every token the guest had dies with the old epoch.
            Some(epoch) => {
                let update = Update::builder()
                    .table_name(&self.accounts)
                    .set_key(Some(key.build()))
                    .update_expression("SET kind = :user, epoch = :next, upgraded = :now REMOVE spared_device, spared_epoch")
                    .condition_expression("kind = :guest AND epoch = :epoch AND #status = :active")
                    .expression_attribute_names("#status", "status")
                    .expression_attribute_values(":active", text("active"))
                    .expression_attribute_values(":user", text(new.kind.as_str()))
                    .expression_attribute_values(":guest", text(AccountKind::Guest.as_str()))
                    .expression_attribute_values(":epoch", number(epoch))
                    .expression_attribute_values(":next", number(epoch + 1))
                    .expression_attribute_values(":now", number(new.created.0));
                updating(update)
            }
        }
    }

    /// The password's, the device's and the accepted terms' rows. The password is the one that the
    /// request's body set; nothing inside `auth` becomes one (REG-25).
    fn rows_under_account(&self, new: &NewAccount) -> Vec<TransactWriteItem> {
        let pk = keys::user(&new.localpart);
        let mut rows = Vec::new();
        if let Some(hash) = &new.password {
            rows.push(password_item(&pk, hash, new.created));
        }
        if let Some(device) = &new.device {
            let epoch = new.upgraded_guest.map_or(FIRST_EPOCH, |epoch| epoch + 1);
            rows.push(device_item(&pk, device, epoch, new.created));
        }
        for (policy, version) in &new.terms {
            let item = Item::under(&pk, keys::terms(policy)).number("schema", 1);
            rows.push(
                item.text("version", version)
                    .number("accepted", new.created.0),
            );
        }
        rows.into_iter()
            .map(|row| put(&self.accounts, row, None))
            .collect()
    }
}

/// The epoch of a new account.
pub(super) const FIRST_EPOCH: i64 = 1;

pub(super) fn device_item(pk: &str, device: &NewDevice, epoch: i64, now: Timestamp) -> Item {
    Item::under(pk, keys::device(&device.id))
        .number("schema", 1)
        .number("epoch", epoch)
        .text("access_hash", &device.access_hash.0)
        .number_if("access_expires", device.access_expires.map(|time| time.0))
        .text_if(
            "refresh_hash",
            device.refresh_hash.as_ref().map(|hash| hash.0.as_str()),
        )
        .text_if("display_name", device.display_name.as_deref())
        .number("issued_at", now.0)
        .text("upstream", "none")
}

pub(super) fn keys_of(keys: &[(String, String)]) -> Vec<HashMap<String, AttributeValue>> {
    keys.iter()
        .map(|(pk, sk)| Item::under(pk, sk).build())
        .collect()
}
