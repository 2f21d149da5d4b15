//! Account rows. An account is one partition: the account row, which also reserves the username,
//! and the rows under it.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};

use super::{
    AppservicesRow, CreateAccountError, NewAccount, SessionRow, Store, StoreError,
    devices::device_item,
    dynamodb::{
        item::{Item, Row, number, text},
        keys::{self, MAIN},
        transaction::{Transaction, put, transact_update},
    },
    passwords::password_item,
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
};

/// The epoch of a new account.
pub const FIRST_EPOCH: i64 = 1;

/// The kind of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// A registered user.
    User,
    /// A guest.
    Guest,
    /// A user that an application service registered.
    Appservice,
}

/// The status of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// The account may be used.
    Active,
    /// The account must not be used until it is unlocked. Its tokens are kept (TOK-14).
    Locked,
    /// The account may only be used to log out and to deactivate it (TOK-15).
    Suspended,
    /// The account can never be used again. Its username stays reserved (REG-16).
    Deactivated,
}

/// Whether the homeserver has the account (HS-11, HS-12).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HomeserverState {
    /// The homeserver has never been asked to create it.
    #[default]
    NotProvisioned,
    /// The homeserver may have been asked to create it. Its name was free there before.
    Provisioning,
    /// The homeserver has it.
    Provisioned,
    /// The homeserver has an account with this name that was not created by this server.
    Foreign,
}

/// The device that a password change left logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDevice {
    /// The device ID.
    pub device: DeviceId,
    /// The epoch in the device's row, which the password change did not update.
    pub epoch: i64,
}

/// An account row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The status.
    pub status: AccountStatus,
    /// The kind.
    pub kind: AccountKind,
    /// The tokens of a device row with another epoch are invalid, except those of `kept_device`.
    pub epoch: i64,
    /// The device that stays valid with an older epoch.
    pub kept_device: Option<KeptDevice>,
    /// Validation sessions that started earlier are invalid for this account.
    pub proofs_not_before: Timestamp,
    /// The same for the sessions of established 3PIDs, which a password reset with a recent 3PID does not invalidate.
    pub established_not_before: Timestamp,
    /// The time of the last password reset by a validated 3PID. Client networks that were used earlier are no longer
    /// known.
    pub reset_at: Timestamp,
    /// The number of additions and removals of 3PIDs. Each change is conditional on the number
    /// that was read.
    pub address_changes: i64,
    /// Whether the homeserver has the account.
    pub homeserver: HomeserverState,
    /// Whether the user or the operator has requested erasure (DEACT-12).
    pub is_erased: bool,
}

/// The rows to read before a registration.
#[derive(Debug, Default, Clone, Copy)]
pub struct RegistrationLookup<'a> {
    /// The UIA session with this key.
    pub session: Option<&'a str>,
    /// The account with this username.
    pub name: Option<&'a Localpart>,
    /// The application services, if `true`.
    pub appservices: bool,
}

/// The rows that a [`RegistrationLookup`] found.
#[derive(Debug, Default)]
pub struct RegistrationFacts {
    /// The UIA session.
    pub session: Option<SessionRow>,
    /// The account with the username.
    pub holder: Option<AccountRow>,
    /// The application services, if they were requested. An empty row means that none are stored.
    pub appservices: Option<AppservicesRow>,
}

impl AccountStatus {
    const ALL: [Self; 4] = [
        Self::Active,
        Self::Locked,
        Self::Suspended,
        Self::Deactivated,
    ];

    /// The stored value.
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

impl HomeserverState {
    const ALL: [Self; 4] = [
        Self::NotProvisioned,
        Self::Provisioning,
        Self::Provisioned,
        Self::Foreign,
    ];

    /// The stored value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotProvisioned => "none",
            Self::Provisioning => "provisioning",
            Self::Provisioned => "provisioned",
            Self::Foreign => "foreign",
        }
    }

    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let Some(name) = row.text_if("upstream")? else {
            return Ok(Self::default());
        };
        let found = Self::ALL.into_iter().find(|own| own.as_str() == name);
        found.ok_or_else(|| row.corrupt("upstream"))
    }
}

impl AccountKind {
    /// The stored value.
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
        let kept_device = match row.text_if("spared_device")? {
            None => None,
            Some(device) => Some(KeptDevice {
                device: DeviceId::parse(device).ok_or_else(|| row.corrupt("spared_device"))?,
                epoch: row.number("spared_epoch")?,
            }),
        };
        let proofs_not_before = row.time_if("proofs_not_before")?.unwrap_or_default();
        // Any later change sets another `proofs_not_before`, so that the pair of attributes is void. A function of an
        // earlier version does not remove the pair.
        let established_not_before = match row.time_if("recent_reset")? {
            Some(time) if time == proofs_not_before => row.time("established_not_before")?,
            _ => proofs_not_before,
        };
        Ok(Self {
            status,
            kind,
            epoch: row.number("epoch")?,
            kept_device,
            proofs_not_before,
            established_not_before,
            reset_at: row.time_if("reset_at")?.unwrap_or_default(),
            address_changes: row.number_if("address_changes")?.unwrap_or_default(),
            homeserver: HomeserverState::read(row)?,
            is_erased: row.time_if("erased")?.is_some(),
        })
    }

    /// Whether the tokens of a device with this epoch are valid: the epoch is the account's, or the
    /// last password change left the device logged in.
    pub fn is_device_valid(&self, device: &DeviceId, epoch: i64) -> bool {
        let kept_device = self.kept_device.as_ref();
        self.status != AccountStatus::Deactivated
            && (epoch == self.epoch
                || kept_device.is_some_and(|kept_device| {
                    kept_device.device == *device && kept_device.epoch == epoch
                }))
    }
}

impl Store {
    /// Writes a new account with all its rows, or nothing (REG-15), under the localpart of its user
    /// ID (REG-02). One `TransactWriteItems` call.
    ///
    /// If several concurrent calls have the same username, one succeeds and the others fail with
    /// [`CreateAccountError::NameTaken`] (REG-14). The condition on the UIA session takes precedence: a concurrent
    /// duplicate of a request that has succeeded must fail because of the finished session, not
    /// because of the username that the other request has taken.
    pub async fn create_account(&self, new: &NewAccount) -> Result<(), CreateAccountError> {
        let mut transaction = self.transaction();
        if let Some(commit) = &new.session {
            let item = self.commit_session(commit);
            transaction.add(item).or(CreateAccountError::SessionChanged);
        }
        let account_conflict = match new.upgraded_guest {
            Some(_) => CreateAccountError::GuestChanged,
            None => CreateAccountError::NameTaken,
        };
        transaction.add(self.account_item(new)).or(account_conflict);
        transaction.add_all(self.rows_under_account(new));
        self.add_threepids(&mut transaction, new);
        if let Some(token_use) = &new.registration_token {
            let item = self.spend_registration_token(token_use, new.created);
            transaction
                .add(item)
                .or(CreateAccountError::RegistrationTokenSpent);
        }
        if let Some(session) = &new.browser_session {
            transaction.add(put(&self.oauth, session.item(), None));
        }
        transaction.commit().await
    }

    /// Adds the reservations of the 3PIDs before the items that spend the validated sessions, so that a 3PID of
    /// another account is reported before a spent session.
    fn add_threepids(
        &self,
        transaction: &mut Transaction<'_, CreateAccountError>,
        new: &NewAccount,
    ) {
        for validated in &new.threepids {
            let claim = self.claim_threepid(&validated.threepid, &new.localpart, new.created);
            let taken = CreateAccountError::ThreePidTaken(validated.threepid.medium);
            transaction.add(claim).or(taken);
        }
        for validated in &new.threepids {
            for spent in self.spend_validation(validated, new.created) {
                let gone = CreateAccountError::ValidationGone(validated.threepid.medium);
                transaction.add(spent).or(gone);
            }
        }
        transaction.add_all(new.threepids.iter().map(|own| {
            self.threepid_under_owner(&own.threepid, own.validated_at, &new.localpart, new.created)
        }));
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
                    .text("upstream", new.homeserver.as_str()),
                Some("attribute_not_exists(pk)"),
            ),
            // GUEST-08: the username stays, and the new epoch invalidates all tokens of the guest.
            Some(epoch) => {
                let update = Update::builder()
                    .table_name(&self.accounts)
                    .set_key(Some(key.build()))
                    .update_expression(
                        "SET kind = :user, epoch = :next, upgraded = :now, upstream = :upstream \
                         REMOVE spared_device, spared_epoch",
                    )
                    .condition_expression("kind = :guest AND epoch = :epoch AND #status = :active")
                    .expression_attribute_names("#status", "status")
                    .expression_attribute_values(":active", text("active"))
                    .expression_attribute_values(":user", text(new.kind.as_str()))
                    .expression_attribute_values(":guest", text(AccountKind::Guest.as_str()))
                    .expression_attribute_values(":epoch", number(epoch))
                    .expression_attribute_values(":next", number(epoch + 1))
                    .expression_attribute_values(":upstream", text(new.homeserver.as_str()))
                    .expression_attribute_values(":now", number(new.created.0));
                transact_update(update)
            }
        }
    }

    /// The rows of the password, the device and the accepted policies. The password is the one in
    /// the request body; a password inside `auth` never becomes the password of the account (REG-25).
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
            rows.push(
                Item::under(&pk, keys::terms(policy))
                    .number("schema", 1)
                    .text("version", version)
                    .number("accepted", new.created.0),
            );
        }
        rows.into_iter()
            .map(|row| put(&self.accounts, row, None))
            .collect()
    }
}
