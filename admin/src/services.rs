//! The AWS clients of the admin CLI, for calls that `Store` does not provide.

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
