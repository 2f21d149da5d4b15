//! The DynamoDB client and the code that all calls share: keys, attributes, expressions,
//! transactions and retries.

mod capacity;
pub(super) mod client;
pub(super) mod expression;
pub(super) mod item;
pub(super) mod keys;
mod read;
mod retry;
pub(super) mod transaction;
pub(super) mod write;
