//! One fault at a time, at each DynamoDB call of an operation. The client repeats the failed request.

mod account_threepids;
mod accounts;
pub(crate) mod registration;
mod validation;
