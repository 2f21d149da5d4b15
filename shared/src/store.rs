//! The tables, in the words of the domain. The only room that knows DynamoDB.
//!
//! Every verb is one round trip unless it says otherwise. Uniqueness and single use are conditions
//! of the write itself; "condition failed" is a typed outcome, never an error. Reads that decide
//! anything are strongly consistent. Expiry is not looked at here: callers hold it against the
//! clock, TTL only tidies up. The shapes of all rows are written down in `docs/storage.md`.

mod accounts;
mod appservices;
mod item;
mod keys;
mod limits;
mod registration_tokens;
mod retry;
mod uia_sessions;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

pub use accounts::{AccountKind, AccountRow, AccountStatus, DeviceRow, Facts, Spared, Wanted};
pub use appservices::AppservicesRow;
pub use limits::CellVerdict;
pub use registration_tokens::{NewRegistrationToken, RegistrationTokenRow, TokenUse};
pub use uia_sessions::{SaveSessionError, SessionRow};

use crate::{app::Aws, chance::Chance};

/// How long one attempt at a call may take. DynamoDB answers in milliseconds; a first call also
/// pays for the connection.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call may take with all its attempts: well below the functions' own timeout.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(6);
/// How often the SDK tries, the first time included. It repeats throttles, faults of the service
/// and broken connections, but no conflict of transactions: that is ours (`retry`).
const ATTEMPTS: u32 = 4;

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
        /// The row's key.
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
    chance: Arc<dyn Chance>,
}

impl Store {
    /// A store on the tables with this prefix.
    pub fn new(aws: &Aws, http: SharedHttpClient, tables: &str, chance: Arc<dyn Chance>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let credentials = Credentials::new(
            &aws.access_key_id,
            aws.secret_access_key.reveal(),
            aws.session_token
                .as_ref()
                .map(|token| token.reveal().clone()),
            None,
            "gatehouse",
        );
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(aws.region.clone()))
            .credentials_provider(credentials)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(Duration::from_millis(50)),
            )
            .timeout_config(timeouts);
        if let Some(endpoint) = &aws.dynamodb_endpoint {
            config = config.endpoint_url(endpoint);
        }
        Self::with_client(Client::from_conf(config.build()), tables, chance)
    }

    /// A store over a client made elsewhere: the operator's command makes its own.
    pub fn with_client(client: Client, tables: &str, chance: Arc<dyn Chance>) -> Self {
        Self {
            client,
            accounts: format!("{tables}-accounts"),
            uia_sessions: format!("{tables}-uia-sessions"),
            limits: format!("{tables}-limits"),
            chance,
        }
    }
}
