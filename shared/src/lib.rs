//! Gatehouse: the account front door of a Matrix homeserver.
//!
//! The crate that every function is built from. Its modules form four layers: `model` (values), `store` (DynamoDB),
//! `core` (the account domain) and `http` (requests and answers). `tests/contract/layering.rs` lists the modules of
//! each layer in their import order; a module imports only modules before it.

pub mod accounts;
pub mod app;
pub mod appservices;
pub mod aws;
pub mod captcha;
pub mod client_network;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod devices;
pub mod error;
pub mod host_name;
pub mod http;
pub mod id_server_client;
pub mod id_server_name;
pub mod identity_servers;
pub mod ids;
pub mod key_ring;
pub mod lambda;
pub mod limits;
pub mod metrics;
pub mod notices;
pub mod outbox;
pub mod own_addresses;
pub mod pages;
pub mod password_hash;
pub mod passwords;
pub mod request_token;
pub mod rng;
pub mod secrets;
pub mod signing;
pub mod stage_type;
pub mod store;
pub mod threepid;
pub mod threepids;
pub mod tokens;
pub mod uia;
pub mod uia_request;
pub mod validation_pages;
pub mod validation_session;
