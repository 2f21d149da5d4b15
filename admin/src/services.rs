//! The AWS clients of the admin CLI, for calls that `Store` does not provide, and the requirements of every call.

use std::{error::Error, time::Duration};

use anyhow::bail;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use http::Uri;

use crate::environment::Environment;

/// The time in which the credentials must be found. They may come from a service or from another program.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// The variables that name the endpoint of one service.
const ENDPOINTS: [&str; 4] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SES",
    "AWS_ENDPOINT_URL_SNS",
];

/// Clients of DynamoDB, SES and SNS, for the AWS account or the endpoints that the environment sets.
#[derive(Debug, Clone)]
pub struct Services {
    /// The prefix of the table names (`GATEHOUSE_TABLES`).
    pub tables: String,
    /// The client for `doctor`, and for `Store`.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The client for the checks of e-mail.
    pub ses: aws_sdk_ses::Client,
    /// The client for the checks of text messages.
    pub sns: aws_sdk_sns::Client,
}

/// Fails if no call can succeed: without a region, without credentials, or with an invalid endpoint. The error names
/// everything that is missing.
pub async fn check_access(aws: &SdkConfig, environment: &Environment) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for name in ENDPOINTS.into_iter().chain([ENDPOINT]) {
        if let Some(value) = environment.get(name).filter(|value| !is_endpoint(value)) {
            missing.push(format!(
                "{name}: `{value}` is not a valid endpoint; it must be a URL with https or http"
            ));
        }
    }
    if aws.region().is_none() {
        missing.push("there is no region; set AWS_REGION to the region of the stack".to_owned());
    }
    if let Some(reason) = missing_credentials(aws).await {
        missing.push(reason);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        bail!(missing.join("\n"))
    }
}

fn is_endpoint(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

async fn missing_credentials(aws: &SdkConfig) -> Option<String> {
    const ADVICE: &str =
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, as for every AWS tool";
    let Some(provider) = aws.credentials_provider() else {
        return Some(format!("there are no AWS credentials; {ADVICE}"));
    };
    let found = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
    match found {
        Ok(Ok(_)) => None,
        Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => {
            Some(format!("there are no AWS credentials; {ADVICE}"))
        }
        Ok(Err(error)) => {
            let cause = innermost(&error);
            let cause = cause.trim_end_matches('.');
            Some(format!("there are no AWS credentials: {cause}; {ADVICE}"))
        }
        Err(_) => Some(format!(
            "the AWS credentials were not found in time; {ADVICE}"
        )),
    }
}

/// The text of the last error in the chain of causes, which is the most specific one.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The endpoint of DynamoDB, and the variable that sets it.
pub(crate) fn dynamodb_endpoint(environment: &Environment) -> Option<(&'static str, String)> {
    let names = [ENDPOINTS[0], ENDPOINT].into_iter();
    let mut set = names.filter_map(|name| Some((name, environment.get(name)?)));
    set.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn problems(aws: SdkConfig, variables: &[(&str, &str)]) -> Vec<String> {
        let own = variables.iter();
        let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let checked = check_access(&aws, &Environment::of(own)).await;
        let error = checked.err().map(|error| error.to_string());
        error
            .into_iter()
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[tokio::test]
    async fn everything_that_is_missing_is_named_once() {
        let found = problems(SdkConfig::builder().build(), &[]).await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("no region") && found[1].contains("no AWS credentials"));
        for invalid in ["not-a-url", "localhost:8000", "ftp://x", "https:///x"] {
            let found = problems(SdkConfig::builder().build(), &[(ENDPOINTS[2], invalid)]).await;
            assert_eq!(found.len(), 3, "{found:?}");
            assert!(
                found[0].contains(ENDPOINTS[2]) && found[0].contains(invalid),
                "{found:?}"
            );
        }
        for valid in [
            "http://127.0.0.1:8000",
            "https://x.example/y",
            "http://[::1]:1",
        ] {
            let found = problems(SdkConfig::builder().build(), &[(ENDPOINT, valid)]).await;
            assert_eq!(found.len(), 2, "{found:?}");
        }
    }
}
