//! The client of DynamoDB: how often it tries.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, retry::RetryConfig},
};
use aws_smithy_runtime::client::retries::RetryPartition;

use super::capacity::Capacity;
use crate::aws::{self, Aws};

/// How often the SDK tries, the first time included. It repeats throttles, faults of the service
/// and broken connections, but no conflict of transactions: that is ours (`retry`).
const ATTEMPTS: u32 = 4;

pub(super) fn client(aws: &Aws) -> Client {
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
