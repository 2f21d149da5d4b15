//! The client of DynamoDB and what the calls to it share: keys, attributes, expressions, retries.

mod capacity;
pub(super) mod client;
mod delete;
pub(super) mod expression;
pub(super) mod item;
pub(super) mod keys;
mod read;
pub(super) mod retry;
