//! The sessions of the OAuth 2.0 API: their start by an authorization code or a device code, and their end.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem, Update};

use super::{
    CodeRow, DeviceCodeRow, NewDevice, Store, StoreError,
    dynamodb::{
        item::{Item, text},
        keys,
        transaction::{transact_delete, transact_update},
    },
};
use crate::{
    clock::Timestamp,
    ids::{DeviceId, Localpart},
    outbox::NewMessage,
    secrets::TokenHash,
};

/// The row that a client exchanges for the tokens of a session.
#[derive(Debug, Clone, Copy)]
pub enum ExchangedRow<'a> {
    /// An authorization code.
    Code(&'a CodeRow),
    /// A device code, and the time until which the client gets its response again.
    DeviceCode(&'a DeviceCodeRow, Timestamp),
}

/// The reason why a code was not exchanged. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeCodeError {
    /// The code was exchanged before, or a device code has expired.
    #[error("the code was exchanged before")]
    CodeUsed,
    /// The epoch of the account has changed since the user gave consent, or the account is locked or deactivated.
    #[error("the account has changed since the user gave consent")]
    AccountChanged,
    /// The registration of the client has expired.
    #[error("the registration of the client has expired")]
    ClientExpired,
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The session to end. The device keeps a newer session.
#[derive(Debug, Clone, Copy)]
pub enum EndedSession<'a> {
    /// The session whose ID has this hash.
    WithId(&'a TokenHash),
    /// The session with this access token in the current pair.
    WithToken(&'a TokenHash),
}

impl Store {
    /// Exchanges a code for the tokens of `device`. One `TransactWriteItems` call: the code is used, the device is
    /// written as in [`save_device`](Self::save_device), and the registration of `new_client`, if there is one, becomes
    /// permanent.
    pub async fn exchange(
        &self,
        row: ExchangedRow<'_>,
        user: &Localpart,
        device: &NewDevice,
        (epoch, now): (i64, Timestamp),
        new_client: Option<&str>,
    ) -> Result<(), ExchangeCodeError> {
        let pk = keys::user(user);
        let mut transaction = self.transaction();
        if let Some(session) = &device.oauth {
            let exchanged = match row {
                ExchangedRow::Code(code) => self.exchange_code(code, &session.id),
                ExchangedRow::DeviceCode(code, repeat_until) => {
                    self.exchange_device_code(code, &session.id, (now, repeat_until))
                }
            };
            transaction.add(exchanged).or(ExchangeCodeError::CodeUsed);
        }
        transaction
            .add(self.check_epoch(&pk, epoch, "locked"))
            .or(ExchangeCodeError::AccountChanged);
        transaction.add(self.device_update(&pk, device, epoch, now));
        if let Some(client) = new_client {
            transaction
                .add(self.keep_client(client))
                .or(ExchangeCodeError::ClientExpired);
        }
        transaction.commit().await
    }

    /// Makes a code usable again after the homeserver did not create the device of its session, whose tokens nobody has.
    /// One `UpdateItem` call on the condition that the code was exchanged for this session.
    pub async fn reopen(
        &self,
        row: ExchangedRow<'_>,
        session: &TokenHash,
    ) -> Result<(), StoreError> {
        match row {
            ExchangedRow::Code(code) => self.reopen_code(code, session).await,
            ExchangedRow::DeviceCode(code, _) => self.reopen_device_code(code, session).await,
        }
    }

    /// The write of a registration that no longer expires. A concurrent exchange may have made it permanent already.
    fn keep_client(&self, id: &str) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(&self.oauth)
            .set_key(Some(Item::at(keys::oauth_client(id)).build()))
            .update_expression("REMOVE expires, #ttl")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#ttl", "ttl");
        transact_update(update)
    }

    /// Deletes the device of a session and enqueues the notifications of its end. One `TransactWriteItems` call. Returns
    /// `false` if the device has no such session.
    pub async fn end_session(
        &self,
        user: &Localpart,
        device: &DeviceId,
        session: EndedSession<'_>,
        notices: &[NewMessage],
    ) -> Result<bool, StoreError> {
        let (condition, hash) = match session {
            EndedSession::WithId(hash) => ("oauth_session = :hash", hash),
            EndedSession::WithToken(hash) => ("access_hash = :hash", hash),
        };
        let delete = Delete::builder()
            .table_name(&self.accounts)
            .set_key(Some(
                Item::under(keys::user(user), keys::device(device)).build(),
            ))
            .condition_expression(condition)
            .expression_attribute_values(":hash", text(&hash.0));
        let mut transaction = self.transaction::<EndSessionError>();
        transaction
            .add(transact_delete(delete))
            .or(EndSessionError::NoSession);
        transaction.add_all(notices.iter().map(|notice| self.enqueue(notice)));
        match transaction.commit().await {
            Ok(()) => Ok(true),
            Err(EndSessionError::NoSession) => Ok(false),
            Err(EndSessionError::Store(error)) => Err(error),
        }
    }
}

/// The reason why no session was ended.
#[derive(Debug, thiserror::Error)]
enum EndSessionError {
    #[error("the device has no such session")]
    NoSession,
    #[error(transparent)]
    Store(#[from] StoreError),
}
