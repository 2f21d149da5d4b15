//! The domain: accounts, passwords, tokens, rate limits, validation sessions, identity servers and the settings.
//!
//! Nothing here knows HTTP requests, Matrix error codes or table keys.

use gatehouse_model::{
    appservices, client_network, clock, host_name, id_server_name, ids, metrics, opaque_debug,
    outbox, password_hash, rng, secrets, signing, stage_type, threepid, validation_session,
};
use gatehouse_store::{aws, store};

pub mod accounts;
pub mod app;
pub mod captcha;
pub mod config;
pub mod id_server_client;
pub mod identity_servers;
pub mod key_ring;
pub mod limits;
pub mod notices;
pub mod passwords;
pub mod threepid_validation;
pub mod threepids;
pub mod tokens;
