//! The embedded `DynamoDB`, and the proxy in front of it that every caller uses.

pub mod embedded;
pub mod proxy;
