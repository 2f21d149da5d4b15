//! The domain: accounts, passwords, tokens, rate limits, validation sessions, identity servers and the
//! configuration.
//!
//! This crate depends neither on HTTP requests nor on Matrix error codes nor on the keys of the tables.

use gatehouse_model::{
    appservices, client_network, clock, format_date, host_name, id_server_name, ids, metrics,
    opaque_debug, outbox, password_hash, rng, secrets, signing, stage_type, threepid,
    validation_session,
};
use gatehouse_store::{aws, store};

pub mod accounts;
pub mod app;
pub mod captcha;
pub mod config;
pub mod homeserver;
pub mod homeserver_client;
mod http_exchange;
pub mod id_server_client;
pub mod identity_servers;
pub mod key_ring;
pub mod limits;
pub mod oauth;
pub mod passwords;
pub mod security_notifications;
pub mod threepid_validation;
pub mod threepids;
pub mod tokens;
