//! The AWS clients of the admin CLI, for calls that `Store` does not provide.

/// Clients of DynamoDB, SES and SNS, for the AWS account or the endpoints that the environment sets.
#[derive(Debug, Clone)]
pub struct Services {
    /// The prefix of the table names.
    pub tables: String,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// SES.
    pub ses: aws_sdk_ses::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
}
