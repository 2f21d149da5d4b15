//! The connection to DynamoDB: where it is, who we are there, how patient we are.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::secrets::Secret;

/// How long one attempt at a call may take. DynamoDB answers in milliseconds; a first call also
/// pays for the connection.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take with all its attempts: well below the functions' own timeout.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the SDK tries, the first time included. It repeats throttles, faults of the service
/// and broken connections, but no conflict of transactions: that is ours (`retry`).
const ATTEMPTS: u32 = 4;

/// Where the AWS services are and who we are there.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// DynamoDB's endpoint, if it is not the region's own.
    pub dynamodb_endpoint: Option<String>,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
}

impl Aws {
    /// Reads the variables that Lambda sets, and the endpoint that the AWS tools know. Faults are
    /// all told at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let mut missing = Vec::new();
        let mut demand = |name: &'static str| {
            let value = get(name);
            if value.is_none() {
                missing.push(format!("{name}: must be set"));
            }
            value.unwrap_or_default()
        };
        let aws = Self {
            region: demand("AWS_REGION"),
            dynamodb_endpoint: get("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| get("AWS_ENDPOINT_URL")),
            access_key_id: demand("AWS_ACCESS_KEY_ID"),
            secret_access_key: Secret::new(demand("AWS_SECRET_ACCESS_KEY")),
            session_token: get("AWS_SESSION_TOKEN").map(Secret::new),
        };
        if missing.is_empty() {
            Ok(aws)
        } else {
            Err(missing.join("\n"))
        }
    }
}

/// The HTTP client of every AWS service. Opens no connection.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

pub(super) fn client(aws: &Aws) -> Client {
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
        .http_client(http_client())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(credentials)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(50)),
        )
        .retry_partition(RetryPartition::custom("gatehouse").build())
        .timeout_config(timeouts);
    if let Some(endpoint) = &aws.dynamodb_endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}
