//! The AWS clients of the admin CLI, for calls that the store does not have.

/// Clients of DynamoDB, SES and SNS, for the account or endpoints of the environment.
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
