//! Device rows: the token hashes of a device, login and logout.

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::{
    NewDevice, OAuthSession, Store, StoreError,
    dynamodb::{
        expression::UpdateExpression,
        item::{Item, Row, blob, number, text},
        keys::{self, MAIN, SK},
        transaction::{transact_check, transact_update},
        write::ConditionalWrite,
    },
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    outbox::NewMessage,
    secrets::TokenHash,
};

/// The access hash of a device without a current access token. No token has this hash.
pub(super) const NO_TOKEN: &str = "none";

/// The attributes of the next pair of tokens.
pub(super) const NEXT: [&str; 4] = [
    "next_access_hash",
    "next_access_expires",
    "next_refresh_hash",
    "next_answer",
];

/// The attributes of a session of the OAuth 2.0 API.
const OAUTH: [&str; 3] = ["oauth_client", "oauth_session", "scope"];
/// The attributes of the pair of tokens before the current one.
pub(super) const PREVIOUS: [&str; 3] =
    ["previous_refresh_hash", "previous_answer", "previous_until"];

/// A device and the hashes of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device ID.
    pub id: DeviceId,
    /// The epoch of the account at the login.
    pub epoch: i64,
    /// The hash of the access token.
    pub access_hash: TokenHash,
    /// The time at which the access token expires.
    pub access_expires: Option<Timestamp>,
    /// The hash of the refresh token, if the client uses refresh tokens.
    pub refresh_hash: Option<TokenHash>,
    /// The pair of tokens that follows these tokens, if there is one.
    pub next: Option<NextPair>,
    /// The time of the login. A refresh does not change it.
    pub issued_at: Timestamp,
    /// The session of the OAuth 2.0 API that the device belongs to.
    pub oauth: Option<OAuthSession>,
    /// The last pair of tokens that this pair replaced, for a short time.
    pub previous: Option<PreviousPair>,
}

/// The refresh token that was exchanged for the current pair of tokens (OA-91).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousPair {
    /// The hash of the refresh token.
    pub refresh_hash: TokenHash,
    /// The response with the current pair, sealed with that refresh token.
    pub answer: Vec<u8>,
    /// The time until which that refresh token gets this response.
    pub until: Timestamp,
}

/// A pair of tokens that the client has not used yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextPair {
    /// The hash of the access token.
    pub access_hash: TokenHash,
    /// The time at which the access token expires.
    pub access_expires: Option<Timestamp>,
    /// The hash of the refresh token.
    pub refresh_hash: TokenHash,
    /// The response with both tokens, sealed with the refresh token that the client exchanged for them.
    pub answer: Vec<u8>,
}

/// The reason why a device was not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveDeviceError {
    /// The epoch of the account has changed since the user was authenticated, or the account has
    /// been deactivated.
    #[error("the account has changed since the login was authenticated; log in again")]
    AccountChanged,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DeviceRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: device_id(row)?,
            epoch: row.number("epoch")?,
            access_hash: TokenHash(row.text("access_hash")?.to_owned()),
            access_expires: row.time_if("access_expires")?,
            refresh_hash: row
                .text_if("refresh_hash")?
                .map(|hash| TokenHash(hash.to_owned())),
            next: NextPair::read(row)?,
            issued_at: row.time_if("issued_at")?.unwrap_or_default(),
            oauth: OAuthSession::read(row)?,
            previous: PreviousPair::read(row)?,
        })
    }
}

/// The ID in the key of a device row.
pub(super) fn device_id(row: &Row) -> Result<DeviceId, StoreError> {
    let id = row.text(SK)?.strip_prefix(keys::DEVICES);
    id.and_then(DeviceId::parse)
        .ok_or_else(|| row.corrupt("sk"))
}

impl OAuthSession {
    fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(client) = row.text_if(OAUTH[0])? else {
            return Ok(None);
        };
        Ok(Some(Self {
            client: client.to_owned(),
            id: TokenHash(row.text(OAUTH[1])?.to_owned()),
            scope: row.text(OAUTH[2])?.to_owned(),
        }))
    }
}

impl PreviousPair {
    fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(refresh_hash) = row.text_if(PREVIOUS[0])? else {
            return Ok(None);
        };
        Ok(Some(Self {
            refresh_hash: TokenHash(refresh_hash.to_owned()),
            answer: row.bytes(PREVIOUS[1])?.to_vec(),
            until: row.time(PREVIOUS[2])?,
        }))
    }
}

impl NextPair {
    fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(access_hash) = row.text_if(NEXT[0])? else {
            return Ok(None);
        };
        Ok(Some(Self {
            access_hash: TokenHash(access_hash.to_owned()),
            access_expires: row.time_if(NEXT[1])?,
            refresh_hash: TokenHash(row.text(NEXT[2])?.to_owned()),
            answer: row.bytes(NEXT[3])?.to_vec(),
        }))
    }

    /// Whether the access token has expired.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.access_expires.is_some_and(|expires| expires <= now)
    }
}

impl Store {
    /// Writes a device with its tokens. An existing device with this ID keeps its display name
    /// (REG-19), and its old tokens become invalid (TOK-09). One `TransactWriteItems` call.
    ///
    /// `epoch` is the epoch of the account at the time of the authentication. If it has changed, or
    /// the account has been deactivated, nothing is written and the error is
    /// [`SaveDeviceError::AccountChanged`]. (A device row with an old epoch would be invalid in any
    /// case, except if it has the ID of the device that a password change kept.)
    pub async fn save_device(
        &self,
        user: &Localpart,
        device: &NewDevice,
        epoch: i64,
        now: Timestamp,
    ) -> Result<(), SaveDeviceError> {
        let pk = keys::user(user);
        let mut transaction = self.transaction();
        transaction
            .add(self.check_epoch(&pk, epoch, "deactivated"))
            .or(SaveDeviceError::AccountChanged);
        transaction.add(self.device_update(&pk, device, epoch, now));
        transaction.commit().await
    }

    /// The condition that an account has this epoch and none of two statuses: deactivated, and `excluded`.
    pub(super) fn check_epoch(&self, pk: &str, epoch: i64, excluded: &str) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(pk, MAIN).build()))
            .condition_expression("epoch = :epoch AND NOT #status IN (:deactivated, :excluded)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":epoch", number(epoch))
            .expression_attribute_values(":deactivated", text("deactivated"))
            .expression_attribute_values(":excluded", text(excluded));
        transact_check(check)
    }

    /// The write of a device with its tokens.
    pub(super) fn device_update(
        &self,
        pk: &str,
        device: &NewDevice,
        epoch: i64,
        now: Timestamp,
    ) -> TransactWriteItem {
        let mut update = UpdateExpression::default()
            .set("schema", number(1))
            .set("epoch", number(epoch))
            .set("issued_at", number(now.0))
            .set_if_absent("upstream", text("none"));
        if let Some(name) = &device.display_name {
            update = update.set_if_absent("display_name", text(name));
        }
        for (attribute, value) in tokens(device) {
            update = update.set_or_remove(attribute, value);
        }
        for attribute in PREVIOUS {
            update = update.remove(attribute);
        }
        let session = device.oauth.as_ref();
        let session = session.map(|own| [&own.client, &own.id.0, &own.scope]);
        for (position, attribute) in OAUTH.into_iter().enumerate() {
            let value = session.map(|values| text(values[position]));
            update = update.set_or_remove(attribute, value);
        }
        let builder = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(pk, keys::device(&device.id)).build()))
            .update_expression(update.expression())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values));
        transact_update(builder)
    }

    /// Deletes a device (OUT-01). One `DeleteItem` call on the condition that `access` is its
    /// access token or the access token of its next pair. Returns `false` if the device has other tokens,
    /// and `true` if it no longer exists.
    pub async fn remove_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        access: &TokenHash,
    ) -> Result<bool, StoreError> {
        let key = Item::under(keys::user(user), keys::device(device));
        let request = self
            .client
            .delete_item()
            .table_name(&self.accounts)
            .set_key(Some(key.build()))
            .condition_expression("access_hash = :access OR next_access_hash = :access")
            .expression_attribute_values(":access", text(&access.0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(match self.delete_item(request).await? {
            ConditionalWrite::Written(_) | ConditionalWrite::ConditionFailed(None) => true,
            ConditionalWrite::ConditionFailed(Some(_)) => false,
        })
    }

    /// Invalidates the tokens of all devices of an account (OUT-02), regardless of its epoch and of the device that
    /// a password change kept, and enqueues the purge of the device rows. One `TransactWriteItems` call of two
    /// items, regardless of the number of devices.
    pub async fn revoke_devices(
        &self,
        user: &Localpart,
        purge: &NewMessage,
    ) -> Result<(), StoreError> {
        let account = Update::builder()
            .table_name(&self.accounts)
            .set_key(Some(Item::under(keys::user(user), MAIN).build()))
            .update_expression("SET epoch = epoch + :one REMOVE spared_device, spared_epoch")
            .condition_expression("attribute_exists(epoch)")
            .expression_attribute_values(":one", number(1));
        let mut transaction = self.transaction();
        transaction.add(transact_update(account));
        transaction.add(self.enqueue(purge));
        transaction.commit().await
    }
}

/// The attributes of the tokens of a new device. If the client gets the response again until it uses a token, they are the
/// next pair, whose first use is recorded, and the device code has the place of the refresh token before them (OA-117).
fn tokens(device: &NewDevice) -> [(&'static str, Option<AttributeValue>); 7] {
    let access = Some(text(&device.access_hash.0));
    let expires = device.access_expires.map(|time| number(time.0));
    let refresh = device.refresh_hash.as_ref().map(|hash| text(&hash.0));
    let (current, next) = match &device.repeated {
        Some(repeated) => {
            let code = Some(text(&repeated.device_code.0));
            let response = Some(blob(repeated.sealed.clone()));
            let current = [Some(text(NO_TOKEN)), None, code];
            (current, [access, expires, refresh, response])
        }
        None => ([access, expires, refresh], [None, None, None, None]),
    };
    let [access, expires, refresh] = current;
    let [next_access, next_expires, next_refresh, answer] = next;
    [
        ("access_hash", access),
        ("access_expires", expires),
        ("refresh_hash", refresh),
        (NEXT[0], next_access),
        (NEXT[1], next_expires),
        (NEXT[2], next_refresh),
        (NEXT[3], answer),
    ]
}

/// The row of the first device of a new account.
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
