//! The cost of each operation: DynamoDB calls, sequential round trips and capacity units. A change that
//! makes an operation more expensive fails here and has to give its reason.

mod account_threepids;
mod accounts;
mod devices;
mod messages;
pub(crate) mod registration;
mod validation;
