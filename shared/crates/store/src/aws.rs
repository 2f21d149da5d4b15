//! Where the AWS services are, who we are there, and the HTTP client for all of them.
//!
//! Knows no service: each has its own room, `store` for DynamoDB, `key_ring` for Secrets Manager, the
//! function `deliver` for SES and SNS.

use std::{error::Error, io, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion, http::SharedHttpClient, orchestrator::HttpResponse,
    result::SdkError,
};
use aws_smithy_types::{error::metadata::ProvideErrorMetadata, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};

use crate::secrets::Secret;

/// How long one attempt at a call may take. AWS answers in milliseconds; a first call also pays for
/// the connection.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take with all its attempts: well below the functions' own timeout.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the AWS services are and who we are there.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// Services that are not at the region's own address.
    pub endpoints: Endpoints,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// The addresses of services that are not where the region has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// DynamoDB
    pub dynamodb: Option<String>,
    /// Secrets Manager
    pub secrets_manager: Option<String>,
    /// SES
    pub ses: Option<String>,
    /// SNS
    pub sns: Option<String>,
}

impl Aws {
    /// Reads the variables that Lambda sets, and the endpoints that the AWS tools know. Faults are
    /// all told at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let endpoint = |service: &str| {
            get(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| get("AWS_ENDPOINT_URL"))
        };
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
            endpoints: Endpoints {
                dynamodb: endpoint("DYNAMODB"),
                secrets_manager: endpoint("SECRETS_MANAGER"),
                ses: endpoint("SES"),
                sns: endpoint("SNS"),
            },
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

    /// The credentials, for a client's configuration.
    pub fn credentials(&self) -> aws_credential_types::Credentials {
        aws_credential_types::Credentials::new(
            &self.access_key_id,
            self.secret_access_key.reveal(),
            self.session_token
                .as_ref()
                .map(|token| token.reveal().clone()),
            None,
            "gatehouse",
        )
    }

    /// The configuration of a client, for a service that is at `endpoint` if not at the region's own.
    pub fn sdk_config(&self, endpoint: Option<&str>) -> SdkConfig {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .region(self.region())
            .credentials_provider(SharedCredentialsProvider::new(self.credentials()))
            .timeout_config(timeouts());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config.build()
    }

    /// The region, for a client's configuration.
    pub fn region(&self) -> Region {
        Region::new(self.region.clone())
    }
}

/// The HTTP client of every AWS service. Opens no connection.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// How patient we are with a call.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// What became of a call that failed, for those that must not be made twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsCallError {
    /// The service said no, for the reason with this code: nothing has happened.
    Refused(String),
    /// It was not even asked.
    Unreached,
    /// It may have done it and may not.
    Unsure,
}

impl<E: ProvideErrorMetadata> From<&SdkError<E, HttpResponse>> for AwsCallError {
    fn from(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => Self::Unreached,
            SdkError::DispatchFailure(failure) => {
                let source = failure.as_connector_error().map(|error| error as _);
                if is_before_connection(source) {
                    Self::Unreached
                } else {
                    Self::Unsure
                }
            }
            SdkError::ServiceError(service) if service.raw().status().is_client_error() => {
                Self::Refused(service.err().code().unwrap_or("unknown").to_owned())
            }
            // A fault of its own, no answer, half an answer.
            _ => Self::Unsure,
        }
    }
}

/// Whether an error is one that only the opening of a connection has.
fn is_before_connection(mut error: Option<&(dyn Error + 'static)>) -> bool {
    while let Some(here) = error {
        if let Some(fault) = here.downcast_ref::<io::Error>() {
            return matches!(
                fault.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::AddrNotAvailable
            );
        }
        error = here.source();
    }
    false
}
