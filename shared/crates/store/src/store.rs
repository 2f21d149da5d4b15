//! The tables, in the words of the domain. The only room that knows DynamoDB.
//!
//! Every verb is one round trip unless it says otherwise. Uniqueness and single use are conditions
//! of the write itself; "condition failed" is a typed outcome, never an error. Reads that decide
//! anything are strongly consistent. Expiry is not looked at here: callers hold it against the
//! clock, TTL only tidies up. The shapes of all rows are written down in `docs/storage.md`.

mod accounts;
mod appservices;
mod bindings;
mod callers;
mod capacity;
mod change;
mod changes;
mod commands;
mod connection;
mod delete;
mod device_list;
mod devices;
mod get;
mod imports;
mod item;
mod keys;
mod limits;
mod moderation;
mod outbox;
mod passwords;
mod records;
mod registration_tokens;
mod remains;
mod retry;
mod threepids;
mod token_pairs;
mod uia_sessions;
mod validation_sessions;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;

pub use accounts::{
    AccountKind, AccountRow, AccountStatus, KeptDevice, RegistrationFacts, RegistrationLookup,
};
pub use appservices::AppservicesRow;
pub use bindings::{IdentityBinding, RecordBindingError};
pub use callers::CallerFacts;
pub use commands::{
    AddThreePidError, ChangeAccountError, CreateAccountError, Deactivation, DeviceLogout,
    MAX_THREEPIDS, NewAccount, NewDevice, NewThreePid, PasswordChange, RemoveThreePidError,
    RemovedThreePid,
};
pub use device_list::{DevicePage, ListedDevice};
pub use devices::{DeviceRow, SaveDeviceError};
pub use imports::{ImportAccountError, ImportedAccount};
pub use limits::{GcraUpdate, LimitDecision};
pub use moderation::{Moderation, StatusChange};
pub use outbox::{DueMessages, DuePage};
pub use passwords::LoginFacts;
pub use records::{BindingRecord, DeviceRecord, PasswordRecord, TermsRecord, UserRecord};
pub use registration_tokens::{RegistrationToken, RegistrationTokenRow, TokenUse};
pub use remains::{PurgeItem, PurgePage};
pub use threepids::OwnThreePid;
pub use token_pairs::{NextPair, PairSlot, RefreshOutcome};
pub use uia_sessions::{SaveSessionError, SessionCommit, SessionRow};
pub use validation_sessions::{SaveValidationError, ValidationRow};

use crate::{aws::Aws, rng::Rng};

/// A call did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Others wrote to the same rows, or the table was throttled, until patience ended. Nothing
    /// was written.
    #[error("the rows are contended")]
    Contended,
    /// The service could not be reached, did not answer in time or failed.
    #[error("the table service is unavailable: {0}")]
    Unavailable(String),
    /// The service refused the call: a fault of ours or of the deployment.
    #[error("the table service refused the call: {0}")]
    Refused(String),
    /// A row is not of the shape we write.
    #[error("the row {key} is corrupt: {what}")]
    Corrupt {
        /// The row's key, as far as it may be logged.
        key: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The tables.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    accounts: String,
    uia_sessions: String,
    limits: String,
    proofs: String,
    outbox: String,
    rng: Arc<dyn Rng>,
}

impl Store {
    /// A store on the tables with this prefix. Opens no connection.
    pub fn new(aws: &Aws, tables: &str, rng: Arc<dyn Rng>) -> Self {
        Self::with_client(connection::client(aws), tables, rng)
    }

    /// A store over a client made elsewhere: the operator's command makes its own.
    pub fn with_client(client: Client, tables: &str, rng: Arc<dyn Rng>) -> Self {
        Self {
            client,
            accounts: format!("{tables}-accounts"),
            uia_sessions: format!("{tables}-uia-sessions"),
            limits: format!("{tables}-limits"),
            proofs: format!("{tables}-proofs"),
            outbox: format!("{tables}-outbox"),
            rng,
        }
    }
}
