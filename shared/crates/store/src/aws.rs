//! Region, endpoints and credentials of AWS, and the HTTP client of all AWS clients.
//!
//! This module contains no service-specific code. `store` calls DynamoDB, `key_ring` calls Secrets
//! Manager, and the function `deliver` calls SES and SNS.

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

/// The timeout of one attempt of a call. AWS responds within milliseconds. The first call also opens
/// the connection.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// The timeout of a call with all its attempts. It must be well below the timeout of the functions.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// Region, endpoints and credentials of AWS.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// The endpoints that replace the default ones of the region.
    pub endpoints: Endpoints,
    /// The access key ID.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Endpoints of services. `None` means the default endpoint of the region.
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
    /// Reads the variables that Lambda sets, and the variables for endpoints that the AWS tools
    /// also use. The error names all missing variables.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let endpoint = |service: &str| {
            get(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| get("AWS_ENDPOINT_URL"))
        };
        let mut missing = Vec::new();
        let mut require = |name: &'static str| {
            let value = get(name);
            if value.is_none() {
                missing.push(format!("{name}: must be set"));
            }
            value.unwrap_or_default()
        };
        let aws = Self {
            region: require("AWS_REGION"),
            endpoints: Endpoints {
                dynamodb: endpoint("DYNAMODB"),
                secrets_manager: endpoint("SECRETS_MANAGER"),
                ses: endpoint("SES"),
                sns: endpoint("SNS"),
            },
            access_key_id: require("AWS_ACCESS_KEY_ID"),
            secret_access_key: Secret::new(require("AWS_SECRET_ACCESS_KEY")),
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

    /// The configuration of a client. Without `endpoint`, the client uses the default endpoint of
    /// the region.
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

/// The HTTP client of every AWS service. Does not open a connection.
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The timeouts of a call.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// Service and operation of a call, from the type of its error, for messages: `sns` and `GetSMSAttributes`. The errors
/// of the SDK themselves do not contain them.
pub fn operation<E>() -> (&'static str, &'static str) {
    let name = std::any::type_name::<E>();
    let krate = name.split("::").next().unwrap_or_default();
    let operation = name.rsplit("::").next().unwrap_or_default();
    (
        krate.trim_start_matches("aws_sdk_"),
        operation.trim_end_matches("Error"),
    )
}

/// The error of a call that must not be repeated if it may have succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsCallError {
    /// The service rejected the call with this error code. The call had no effect.
    Refused(String),
    /// The request did not reach the service. The call had no effect.
    Unreached,
    /// The call may have succeeded.
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
            // A 5xx response, a timeout or an incomplete response.
            _ => Self::Unsure,
        }
    }
}

/// Whether the connection could not be opened, so that no request was sent.
fn is_before_connection(mut error: Option<&(dyn Error + 'static)>) -> bool {
    while let Some(here) = error {
        if let Some(error) = here.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
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
