//! The store: DynamoDB in operations of the domain, such as `create_account` or `save_uia_session`.

use gatehouse_model::{
    appservices, clock, ids, metrics, opaque_debug, outbox, password_hash, rng, secrets, threepid,
    validation_session,
};

pub mod aws;
pub mod store;
