//! The DynamoDB client and its retry settings.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
};
use aws_smithy_runtime::client::retries::RetryPartition;

use super::capacity::Capacity;
use crate::aws::{self, Aws};

/// The maximum number of attempts of the SDK, the first one included. The SDK repeats a call after
/// a throttle, a service error or a broken connection, but not after a transaction conflict: see
/// `retry`.
const ATTEMPTS: u32 = 4;

pub(in crate::store) fn client(aws: &Aws) -> Client {
    let mut config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws::http_client())
        .region(aws.region())
        .credentials_provider(aws.credentials())
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(Duration::from_millis(50)),
        )
        .retry_partition(RetryPartition::custom("gatehouse").build())
        .timeout_config(aws::timeouts())
        .interceptor(Capacity);
    if let Some(endpoint) = &aws.endpoints.dynamodb {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}
