//! DynamoDB access: one method for each read and write of the domain. Only this module uses the
//! DynamoDB client.
//!
//! A method makes one call unless its documentation says otherwise. Uniqueness and single use are
//! conditions of the write itself. A failed condition is a typed outcome, never a [`StoreError`].
//! Reads that a decision depends on are strongly consistent. The store does not check expiry times:
//! the caller compares them with the clock, and TTL only deletes old rows. `docs/storage.md`
//! describes the rows and their attributes.

mod account_list;
mod account_mutations;
mod accounts;
mod appservices;
mod auth_lookup;
mod browser_sessions;
mod commands;
mod conflict;
mod device_codes;
mod device_list;
mod device_polls;
mod devices;
mod dynamodb;
mod export;
mod homeserver_updates;
mod identity_bindings;
mod imports;
mod limits;
mod moderation;
mod oauth_clients;
mod oauth_codes;
mod oauth_sessions;
mod outbox;
mod passwords;
mod purge;
mod registration_tokens;
mod threepids;
mod token_pairs;
mod uia_sessions;
mod validation_sessions;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;

pub use account_list::AccountPage;
pub use accounts::{
    AccountKind, AccountRow, AccountStatus, FIRST_EPOCH, HomeserverState, KeptDevice,
    RegistrationFacts, RegistrationLookup,
};
pub use appservices::AppservicesRow;
pub use auth_lookup::{AttemptBuckets, AttemptFacts, CallerFacts, LoginFacts, TokenDevice};
pub use browser_sessions::BrowserSessionRow;
pub use commands::{
    AddThreePidError, ChangeAccountError, CreateAccountError, Deactivation, DeviceLogout,
    MAX_THREEPIDS, NewAccount, NewDevice, NewThreePid, OAuthSession, PasswordChange,
    RemoveThreePidError, RemovedThreePid, RepeatedResponse,
};
pub use conflict::{Attempt, retry_on_conflict};
pub use device_codes::{
    Approval, DecideDeviceError, DeviceCodeRow, DeviceCodeState, DeviceDecision,
};
pub use device_list::{DevicePage, ListedDevice};
pub use device_polls::PollOutcome;
pub use devices::{DeviceRow, NextPair, PreviousPair, SaveDeviceError};
pub use export::{BindingRecord, DeviceRecord, PasswordRecord, TermsRecord, UserRecord};
pub use homeserver_updates::{PendingUpdate, UpdateLease, user_of_update};
pub use identity_bindings::{IdentityBinding, RecordBindingError};
pub use imports::{ExistingAccount, ImportAccountError, ImportedAccount, ImportedDevice};
pub use limits::{GcraUpdate, LimitDecision};
pub use moderation::{Moderation, StatusChange};
pub use oauth_clients::ClientRow;
pub use oauth_codes::CodeRow;
pub use oauth_sessions::{EndedSession, ExchangeCodeError, ExchangedRow};
pub use outbox::{DueMessages, DuePage};
pub use purge::{PurgeItem, PurgePage};
pub use registration_tokens::{RegistrationToken, RegistrationTokenRow, TokenUse};
pub use threepids::OwnThreePid;
pub use token_pairs::{PairSlot, RefreshOutcome};
pub use uia_sessions::{SaveSessionError, SessionCommit, SessionRow};
pub use validation_sessions::{SaveValidationError, ValidationRow};

use crate::{aws::Aws, rng::Rng};

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Every attempt conflicted with another write to the same rows, or DynamoDB throttled the
    /// call. Nothing was written.
    #[error("concurrent writes or throttling prevented the call; try again")]
    Contended,
    /// DynamoDB could not be reached, did not respond in time or failed.
    #[error("DynamoDB is unavailable: {0}")]
    Unavailable(String),
    /// DynamoDB rejected the call because of an error in the code or in the deployment.
    #[error("DynamoDB rejected the call: {0}")]
    Refused(String),
    /// A row does not have the format that the store writes.
    #[error("the row {key} is corrupt: {what}")]
    Corrupt {
        /// The part of the row's key that may be logged.
        key: String,
        /// The attribute, or the error in it.
        what: &'static str,
    },
}

/// Access to the tables.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    accounts: String,
    uia_sessions: String,
    limits: String,
    validations: String,
    outbox: String,
    oauth: String,
    rng: Arc<dyn Rng>,
}

impl Store {
    /// A store for the tables whose names begin with `tables`. Does not open a connection.
    pub fn new(aws: &Aws, tables: &str, rng: Arc<dyn Rng>) -> Self {
        Self::with_client(dynamodb::client::client(aws), tables, rng)
    }

    /// A store with an existing client, for the admin CLI, which creates its own client.
    pub fn with_client(client: Client, tables: &str, rng: Arc<dyn Rng>) -> Self {
        Self {
            client,
            accounts: format!("{tables}-accounts"),
            uia_sessions: format!("{tables}-uia-sessions"),
            limits: format!("{tables}-limits"),
            validations: format!("{tables}-proofs"),
            outbox: format!("{tables}-outbox"),
            oauth: format!("{tables}-oauth"),
            rng,
        }
    }
}
