//! The embedded `DynamoDB` and the proxy in front of it.

pub mod embedded;
pub mod proxy;
