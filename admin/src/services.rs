//! The clients of AWS that the operator's command asks questions with, beside the store's verbs.

/// DynamoDB, SES and SNS, wherever the environment points.
#[derive(Debug, Clone)]
pub struct Services {
    /// Prefix of the tables' names.
    pub tables: String,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// SES.
    pub ses: aws_sdk_ses::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
}
